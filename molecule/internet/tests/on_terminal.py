"""on_terminal.py USER PASSWORD COMMAND: run a command as a user on a terminal, and type the password when asked."""

from __future__ import annotations

import os
import pty
import re
import sys

PROMPT = re.compile(rb"(\[sudo\] password for \w+|BECOME password): ?$")

user, password, command = sys.argv[1:]
child, terminal = pty.fork()
if child == 0:
    os.execvp("su", ["su", user, "--session-command", command])  # --command takes the terminal away
said = b""
while True:
    try:
        part = os.read(terminal, 4096)
    except OSError:
        break
    if not part:
        break
    said += part
    if PROMPT.search(said):
        os.write(terminal, password.encode() + b"\n")
sys.stdout.write(said.decode(errors="replace"))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
