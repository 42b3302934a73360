"""Which backups in a folder are this host's, and which of them are older than wanted. Nothing else is ever removed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from samstudio import moments
from samstudio.backup import manifest
from samstudio.backup.manifest import Manifest
from samstudio.errors import SamstudioError

PREFIX = "samstudio-"


def name(host: str, moment: datetime) -> str:
    return f"{PREFIX}{host}-{moment.strftime(moments.STAMP)}"


def unfinished(name: str) -> str:
    return f".{name}.unfinished"


def finished(target: Path, host: str) -> list[Path]:
    """This host's whole backups, the oldest first."""
    return [folder for folder, _ in _newest_first(target, host)][::-1]


def latest(target: Path, host: str) -> tuple[Path, Manifest] | None:
    return next(_newest_first(target, host), None)


def remove_older(target: Path, host: str, count: int) -> list[Path]:
    """Keep the newest `count` of this host's backups.

    Returns:
        what was removed.
    """
    removed = finished(target, host)[:-count]
    for folder in removed:
        # Without its name first: what is half removed is no backup any more.
        gone = folder.rename(target / unfinished(folder.name))
        shutil.rmtree(gone)
    return removed


def remove_unfinished(target: Path, host: str) -> None:
    """What a backup of this host left that was cut off."""
    named = re.compile(re.escape(f".{PREFIX}{host}-") + r"\d{8}T\d{6}Z\.unfinished")
    for path in target.iterdir():
        if named.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)


def _newest_first(target: Path, host: str) -> Iterator[tuple[Path, Manifest]]:
    """This host's whole backups: by name and by what they say of themselves."""
    named = re.compile(re.escape(f"{PREFIX}{host}-") + r"\d{8}T\d{6}Z")
    there = sorted(path for path in target.iterdir() if named.fullmatch(path.name)) if target.is_dir() else []
    for folder in reversed(there):
        if (said := _said(folder)) and said.host == host:
            yield folder, said


def _said(folder: Path) -> Manifest | None:
    if folder.is_symlink():
        return None
    try:
        return manifest.read(folder)
    except SamstudioError:
        return None
