"""One at a time: backup, restore and what else must not meet them hold one lock a host, which ends with its process."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from samstudio.errors import SamstudioError

#: beside deployment.yml; the playbooks that deploy and destroy try it as well (roles/samstudio_tools/tasks/alone.yml)
NAME = "lock"
MOMENT_SECONDS = 1.0


@contextmanager
def held(config_dir: Path, verb: str) -> Iterator[None]:
    """Hold the host's lock; the kernel releases it, however the process ends.

    Raises:
        SamstudioError: somebody else holds it. Their words say who.
    """
    path = config_dir / NAME
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _taken(handle):
            raise SamstudioError(
                f"samstudio {verb} has to wait for its turn; nothing was done.",
                found=f"running: {_said(handle)}",
                expected="nobody else at work on this host's data",
                command=f"samstudio {verb}   # once the other one has ended; fuser -v {path} shows its process",
            )
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"samstudio {verb}, process {os.getpid()}, since {now}\n".encode(), 0)
        yield
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def holder(config_dir: Path) -> str:
    """Who holds the host's lock; "" if nobody does."""
    try:
        handle = os.open(config_dir / NAME, os.O_RDONLY)
    except FileNotFoundError:
        return ""
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _said(handle)
    else:
        return ""
    finally:
        os.close(handle)


def _taken(handle: int) -> bool:
    """Try for a moment: who only looks whether the lock is free holds it for that long."""
    end = time.monotonic() + MOMENT_SECONDS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        else:
            return True


def _said(handle: int) -> str:
    return os.pread(handle, 500, 0).decode(errors="replace").strip() or "another samstudio that has just begun"
