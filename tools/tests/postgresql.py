"""A real PostgreSQL of this machine, and the tools led to it: where they ask a container, they ask this server."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from samstudio.backup.postgresql import USER, PostgreSQL

from tools.tests import servers

START_SECONDS = 60
#: initdb refuses root
UID = 65534


@dataclass(frozen=True)
class Server:
    folder: Path
    port: int

    def argv(self, words: Sequence[str]) -> list[str]:
        program, *rest = words
        return [str(_bin() / program), f"--host={self.folder}", f"--port={self.port}", f"--username={USER}", *rest]

    @property
    def settings(self) -> dict[str, str]:
        """Of a Label Studio on it."""
        return {
            "DJANGO_DB": "default",
            "POSTGRE_HOST": str(self.folder),
            "POSTGRE_PORT": str(self.port),
            "POSTGRE_USER": USER,
            "POSTGRE_PASSWORD": "",
        }

    @contextlib.contextmanager
    def asked(self) -> Iterator[PostgreSQL]:
        """The tools' own client on it: what it would run in a container is run here."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(PostgreSQL, "_argv", lambda _, words: self.argv(words))
            yield PostgreSQL("no-container")


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Server]:
    """
    Args:
        folder: empty; its path may be 80 characters long, for a socket is in it.
    """
    user: dict[str, Any] = {} if os.geteuid() else {"user": UID, "group": UID, "extra_groups": []}
    if user:
        os.chown(folder, UID, UID)
    data, server = folder / "data", Server(folder, servers.free_port())
    words = ["initdb", "-D", str(data), "-U", USER, "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
    made = [str(_bin() / words[0]), *words[1:]]
    subprocess.run(made, check=True, capture_output=True, timeout=120, cwd=folder, **user)
    options = ["-p", str(server.port), "-k", str(folder), "-c", "listen_addresses=", "-c", "fsync=off"]
    # Another zone than UTC: times have to be right all the same.
    options += ["-c", "timezone=Asia/Kolkata"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [_bin() / "postgres", "-D", data, *options], stdout=log, stderr=log, cwd=folder, **user
        )
    try:
        _wait(server, process)
        yield server
    finally:
        servers.stop(process, seconds=20)


def _wait(server: Server, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while subprocess.run(server.argv(["pg_isready"]), capture_output=True, timeout=10, check=False).returncode:
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError((server.folder / "log").read_text(errors="replace")[-3000:])
        time.sleep(0.1)


def _bin() -> Path:
    return max(Path("/usr/lib/postgresql").glob("*/bin"))
