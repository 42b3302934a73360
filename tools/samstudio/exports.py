"""What Label Studio keeps of exports: a copy of each that was downloaded, and the snapshots made through its API.

Neither counts against a limit, and Label Studio 1.23 leaves a snapshot's file where its record is deleted.
"""

from __future__ import annotations

from pathlib import Path

from samstudio.errors import SamstudioError

FOLDERS = ("export", "media/export")


def kept(data: Path) -> dict[str, int]:
    """How many `files` and `bytes` they are, below Label Studio's folder of data.

    Raises:
        SamstudioError: the folder cannot be looked into.
    """
    sizes = []
    try:
        if data.is_dir():
            list(data.iterdir())  # rglob keeps quiet about a folder that it may not read
        for folder in FOLDERS:
            sizes += [path.lstat().st_size for path in (data / folder).rglob("*") if path.is_file()]
    except OSError as error:
        raise SamstudioError(
            "Label Studio's exports cannot be counted.",
            found=str(error),
            expected="to run as root",
            command="sudo samstudio status",
        ) from error
    return {"files": len(sizes), "bytes": sum(sizes)}
