"""Source trees: which files belong to them, and their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

#: never part of what is deployed: tests, and what compilers and installers leave behind
LEFT_OUT = ("tests", "build", "dist", "__pycache__")
LEFT_OUT_SUFFIXES = (".so", ".egg-info")
#: what a deploy runs; settings and inventories are not among it
CODE = ("ansible.cfg", "backend", "playbooks", "roles", "samstudio", "site.yml", "tools")


def files(folder: Path) -> Iterator[Path]:
    """The files of a source tree, relative to it, in order; hidden ones left out."""
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and not any(_left_out(part) for part in relative.parts):
            yield relative


def chosen(home: Path, parts: Iterable[str]) -> Iterator[Path]:
    """The files of some top-level files and folders of a tree."""
    for part in parts:
        if (home / part).is_file():
            yield Path(part)
        else:
            yield from (part / path for path in files(home / part))


def _left_out(part: str) -> bool:
    return part.startswith(".") or part in LEFT_OUT or part.endswith(LEFT_OUT_SUFFIXES)


def digest(folder: Path) -> str:
    """Twelve hex digits over names and contents."""
    return _digest(folder, files(folder))


def project_digest(home: Path) -> str:
    """Twelve hex digits over what a deploy runs, so that a bundle and a tree know each other."""
    return _digest(home, chosen(home, CODE))


def _digest(folder: Path, paths: Iterable[Path]) -> str:
    together = hashlib.sha256()
    for path in paths:
        together.update(f"{path}\0{hashlib.sha256((folder / path).read_bytes()).hexdigest()}\0".encode())
    return together.hexdigest()[:12]
