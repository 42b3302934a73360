"""Whether a disk has room for a copy, asked before anything is written."""

from __future__ import annotations

import shutil
from pathlib import Path

from samstudio.errors import SamstudioError

#: left free on the disk that is written to
SPARE_BYTES = 64 << 20


def require(there: Path, size: int, *, message: str, command: str, note: str = "") -> None:
    """
    Args:
        there: a folder on the disk. size: bytes; a little more must be free. note: follows what is expected.

    Raises:
        SamstudioError: less is free.
    """
    free, wanted = shutil.disk_usage(there).free, size + SPARE_BYTES
    if free < wanted:
        raise SamstudioError(
            message,
            found=f"{free / 2**20:.0f} MiB free at {there}",
            expected=f"{wanted / 2**20:.0f} MiB{note}",
            command=command,
        )
