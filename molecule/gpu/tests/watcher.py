"""Ask for one task after the other through the balancer until a file appears; run on Label Studio's host.

usage: watcher.py STOP OUTCOMES
OUTCOMES gets a line of JSON for each request: `task`, `gpu` (of the backend that answered, "" for nothing), `out` (the
backends that got no requests).
"""

from __future__ import annotations

import itertools
import json
import socket
import sys
import time
import urllib.request
from pathlib import Path

TASKS = 24
# Each task is asked for twice a second. Above 50 times in ten seconds it would be one that many people click on, which
# is every backend's.
PAUSE_SECONDS = 0.02
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def states() -> dict[str, str]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect("/var/lib/samstudio/backend-balancer/admin.sock")
        connection.sendall(b"show stat sam2 4 -1\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    header, *rows = (line.split(",") for line in answer.removeprefix("# ").strip().splitlines())
    return {row[header.index("svname")]: row[header.index("status")] for row in rows}


stop, outcomes = map(Path, sys.argv[1:])
with outcomes.open("w", buffering=1) as file:
    for task in itertools.cycle(range(TASKS)):
        if stop.exists():
            break
        try:
            gpu = opener.open(f"http://172.30.9.20:9090/gpu?task={task}", timeout=30).read().decode().strip()
        except OSError:
            gpu = ""
        try:
            out = sorted(name for name, state in states().items() if not state.startswith("UP"))
        except OSError:  # reading its configuration anew
            out = []
        file.write(json.dumps({"task": task, "gpu": gpu, "out": out}) + "\n")
        time.sleep(PAUSE_SECONDS)
