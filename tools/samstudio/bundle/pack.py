"""Write a bundle: one tar file, its manifest first."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from samstudio.bundle import check
from samstudio.errors import SamstudioError

#: tells how many bytes more are done
Advance = Callable[[int], None]


def manifest(description: Mapping[str, Any], members: Mapping[str, Path], advance: Advance) -> dict[str, Any]:
    """The description of a bundle, with size and SHA-256 of each member."""
    return {
        "format": check.FORMAT,
        **description,
        "members": {
            name: {"bytes": path.stat().st_size, "sha256": _sha256(path, advance)} for name, path in members.items()
        },
    }


def write(file: Path, manifest: Mapping[str, Any], members: Mapping[str, Path], advance: Advance) -> int:
    """Write `file`, by way of a .part beside it. Returns its size.

    Raises:
        SamstudioError: it does not fit on the disk, or cannot be written.
    """
    part = file.with_name(file.name + ".part")
    needed = sum(path.stat().st_size for path in members.values())
    free = shutil.disk_usage(file.parent).free
    if free < needed:
        raise SamstudioError(
            "The bundle does not fit.",
            found=f"{free / 2**30:.1f} GiB free in {file.parent}",
            expected=f"{needed / 2**30:.1f} GiB",
            command="./samstudio bundle create /path/with/space/bundle.tar",
        )
    try:
        with tarfile.open(part, "w", format=tarfile.GNU_FORMAT) as bundle:
            written = json.dumps(manifest, indent=1).encode()
            bundle.addfile(_entry(check.MANIFEST, len(written)), io.BytesIO(written))
            for name, path in members.items():
                with path.open("rb") as source:
                    entry = _entry(name, path.stat().st_size)
                    entry.mtime = int(path.stat().st_mtime)
                    entry.mode = 0o755 if os.access(path, os.X_OK) else 0o644
                    bundle.addfile(entry, _Counted(source, advance))
        part.replace(file)
    except OSError as error:
        raise SamstudioError(
            "The bundle cannot be written.",
            found=str(error),
            expected=f"a writable {file.parent}",
            command=f"df -h {file.parent}",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
    return file.stat().st_size


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size = size
    return entry


def _sha256(path: Path, advance: Advance) -> str:
    with path.open("rb") as source:
        counted = _Counted(source, advance)
        return check.hashed(iter(lambda: counted.read(check.CHUNK), b""))


class _Counted:
    """A file that tells how much of it was read."""

    def __init__(self, source: IO[bytes], advance: Advance) -> None:
        self._source = source
        self._advance = advance

    def read(self, size: int = -1) -> bytes:
        chunk = self._source.read(size)
        self._advance(len(chunk))
        return chunk
