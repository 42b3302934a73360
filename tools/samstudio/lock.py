"""One at a time, by locks that end with their process: one a host, for backup, restore and what else must not meet
them; and one a name, for the same work of the same user."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from samstudio import moments
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
        now = moments.now()
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
        return "" if _locked(handle, fcntl.LOCK_SH) else _said(handle)
    finally:
        os.close(handle)


@contextmanager
def alone(name: str) -> Iterator[bool]:
    """Whether no other process of this user on this machine holds the name; no folder of a deployment is needed."""
    handle = os.open(_named(name), os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        yield _taken(handle)
    finally:
        os.close(handle)


@contextmanager
def only_one(name: str, *, message: str, command: str) -> Iterator[None]:
    """Hold the name.

    Raises:
        SamstudioError: another process does; `message` and `command` are for its reader.
    """
    with alone(name) as ours:
        if not ours:
            raise SamstudioError(message, found="a process that is at work", expected="one at a time", command=command)
        yield


def is_held(name: str) -> bool:
    """Whether a process holds the name with `alone`."""
    try:
        handle = os.open(_named(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _locked(handle, fcntl.LOCK_SH)
    finally:
        os.close(handle)


def _named(name: str) -> Path:
    return Path(tempfile.gettempdir()) / f"samstudio-{os.getuid()}-{name}.lock"


def _taken(handle: int) -> bool:
    """Try for a moment: who only looks whether the lock is free holds it for that long."""
    end = time.monotonic() + MOMENT_SECONDS
    while not (taken := _locked(handle, fcntl.LOCK_EX)) and time.monotonic() <= end:
        time.sleep(0.05)
    return taken


def _locked(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _said(handle: int) -> str:
    return os.pread(handle, 500, 0).decode(errors="replace").strip() or "another samstudio that has just begun"
