"""A stand-in for the balancer: HAProxy's admin socket, which speaks as 2.6 does, and nothing that balances."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class HAProxy:
    """HAProxy as far as the tools use it: two servers that change state at once and are never busy for long."""

    path: Path
    #: of every server
    address: str
    states: dict[str, str] = field(default_factory=lambda: {"gpu1": "UP", "gpu2": "UP"})
    #: answers to `show stat` that still tell of a request in progress
    busy: int = 0
    heard: list[str] = field(default_factory=list)

    def answer(self, command: str) -> str:
        self.heard.append(command)
        if told := re.fullmatch(r"set server sam2/(\S+) state (\S+)", command):
            name, state = told.groups()
            if name not in self.states:
                return "No such server.\n\n"
            if self.states[name] != "DOWN":
                self.states[name] = {"drain": "DRAIN", "ready": "UP"}[state]
            return "\n"
        active, self.busy = (1, self.busy - 1) if self.busy else (0, 0)
        rows = [f"sam2,{name},{active},7,{state},{self.address}," for name, state in self.states.items()]
        return "\n".join(["# pxname,svname,scur,stot,status,addr,", *rows, "", ""])


@contextmanager
def running(folder: Path, address: str = "10.0.0.1:9090") -> Iterator[HAProxy]:
    stand_in = HAProxy(folder / "admin.sock", address)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(stand_in.path))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(stand_in.answer(connection.recv(4096).decode().strip()).encode())

        thread = threading.Thread(target=serve)
        thread.start()
        yield stand_in
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
