"""Kernels by the names of their releases, as ``uname -r`` prints them: ``6.1.0-41-amd64``, ``6.8.0-90-generic``."""

from __future__ import annotations

import re
from collections.abc import Sequence


def newer_kernel(running: str, installed: Sequence[str]) -> str | None:
    """The newest installed kernel of the running one's flavour, if it is newer than the running one."""
    release, flavour = _parts(running)
    newest = max(
        (name for name in installed if _parts(name)[1] == flavour), key=lambda name: _parts(name)[0], default=""
    )
    return newest if newest and _parts(newest)[0] > release else None


def _parts(name: str) -> tuple[tuple[int, ...], str]:
    match = re.search(r"-([a-z][a-z0-9-]*)$", name)
    flavour = match.group(1) if match else ""
    return tuple(int(number) for number in re.findall(r"\d+", name.removesuffix(flavour))), flavour
