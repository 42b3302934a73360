"""What a backup says of itself, and whether that is true."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from samstudio import files
from samstudio.backup.contents import Contents
from samstudio.errors import SamstudioError

FILE = "manifest.json"
FORMAT = "samstudio backup 1"
DATA, SECRETS, CONFIG = "data", "secrets", "config"
CHUNK = 1 << 20
Advance = Callable[[int], None]
#: shows how far something of so many bytes is
Bar = Callable[[str, int], AbstractContextManager[Advance]]
_STRICT = ConfigDict(extra="forbid")


@checked(frozen=True, config=_STRICT)
class Member:
    bytes: int
    sha256: str
    #: seconds since 1970, in nanoseconds: by size and time the next backup knows what has not changed
    modified: int


@checked(frozen=True, config=_STRICT)
class LeftOut:
    """Something that is not in the backup, where it is, and how it comes back."""

    what: str
    where: str
    back: str


@checked(frozen=True, config=_STRICT)
class Image:
    """A container's image: what the engine calls it, and its content's digest."""

    tags: tuple[str, ...]
    id: str


@checked(frozen=True, config=_STRICT)
class Manifest:
    host: str
    #: UTC, when its database was copied
    created: str
    #: the version of these tools
    samstudio: str
    label_studio: str
    #: "sqlite" or "postgresql"
    database: str
    #: the file with the database in it
    database_file: str
    #: what the live database took on its disk
    database_bytes: int
    contents: Contents
    #: by container
    images: Mapping[str, Image]
    left_out: tuple[LeftOut, ...]
    #: by path in the backup
    files: Mapping[str, Member]
    format: str = FORMAT

    @property
    def bytes(self) -> int:
        return sum(member.bytes for member in self.files.values())


_MANIFEST = TypeAdapter(Manifest)


def write(folder: Path, manifest: Manifest) -> None:
    files.write(folder / FILE, json.dumps(asdict(manifest), indent=1) + "\n", mode=0o600)


def read(folder: Path) -> Manifest:
    """
    Raises:
        SamstudioError: this is no finished backup, or one of another format.
    """
    try:
        described: Any = json.loads((folder / FILE).read_bytes())
        return _MANIFEST.validate_python(described)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _unusable(folder, f"no {FILE} in it") from error
    except ValidationError as error:
        made = described.get("format") if isinstance(described, dict) else None
        said = f"format {made!r}" if made != FORMAT else f"{error.errors()[0]['loc']}: {error.errors()[0]['msg']}"
        raise _unusable(folder, said) from error
    except ValueError as error:
        raise _unusable(folder, f"a {FILE} that ends too early, or is no JSON: {error}") from error


def check(folder: Path, manifest: Manifest, advance: Advance, read_before: Collection[str] = ()) -> None:
    """Read the bytes of a backup again, from the disk.

    Args:
        advance: told how many bytes were read.
        read_before: files that were read, and right, a moment ago.

    Raises:
        SamstudioError: a file is missing, too many, or not what it was.
    """
    there = {name for name, _ in walk(folder)} - {FILE}
    wrong = [f"{name}: not in the manifest" for name in sorted(there - set(manifest.files))]
    for name, member in manifest.files.items():
        if not _inside(name) or name not in there:
            wrong.append(f"{name}: missing")
        elif name not in read_before and sha256(folder / name, advance) != member.sha256:
            wrong.append(f"{name}: other bytes than were written")
    if wrong:
        raise SamstudioError(
            f"{folder} is damaged; it is not used.",
            found="; ".join(wrong[:5]) + (f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""),
            expected=f"the {len(manifest.files)} files of {FILE}, each with its SHA-256",
            command=f"ls -d {folder.parent}/samstudio-*   # another backup, or another copy of this one",
        )


def walk(folder: Path) -> Iterator[tuple[str, Path]]:
    """Each file below a folder, by its path there; links count as files and are not followed."""
    for above, folders, names in os.walk(folder):
        links = [name for name in folders if Path(above, name).is_symlink()]
        folders[:] = sorted(set(folders) - set(links))
        for name in sorted([*names, *links]):
            yield str(Path(above, name).relative_to(folder)), Path(above, name)


def sha256(file: Path, advance: Advance = lambda _: None) -> str:
    """The digest of a file's bytes as the disk has them; "" for a link and whatever else is no file."""
    if file.is_symlink() or not file.is_file():
        return ""
    digest = hashlib.sha256()
    with file.open("rb") as source:
        os.posix_fadvise(source.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            advance(len(chunk))
    return digest.hexdigest()


def copy(source: Path, target: Path, advance: Advance) -> str:
    """Copy a file's bytes, mode and times.

    Returns:
        the digest of the bytes that were read.

    Raises:
        FileNotFoundError: the source went away.
    """
    digest = hashlib.sha256()
    with source.open("rb") as reading, target.open("wb") as writing:
        had = os.fstat(reading.fileno())
        os.fchmod(writing.fileno(), had.st_mode & 0o777)
        while chunk := reading.read(CHUNK):
            digest.update(chunk)
            writing.write(chunk)
            advance(len(chunk))
    os.utime(target, ns=(had.st_atime_ns, had.st_mtime_ns))
    return digest.hexdigest()


def _inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _unusable(folder: Path, found: str) -> SamstudioError:
    return SamstudioError(
        f"{folder} is no backup that this samstudio can use.",
        found=found,
        expected=f"a folder that samstudio backup finished ({FORMAT})",
        command="ls -d /var/backups/samstudio/samstudio-*",
    )
