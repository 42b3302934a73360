#!/usr/bin/env python3
"""Is this bundle whole, and is it for this host? Or unpack what apt and pip take from it.

Runs on the host itself, before anything is installed there, with nothing but the standard library (Python 3.9 or
later): ./samstudio calls it, and Ansible sends this one file.

    check.py FILE               {"manifest": …} without the members, or {"problem": …} and exit code 1
    check.py FILE --unpack DIR  packages and wheels into DIR, beside an apt.conf that knows nothing else: {"changed": …}
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import quote

FORMAT = 1
MANIFEST = "manifest.json"
MANIFEST_LIMIT = 2**24
IMAGES = "images.tar"
PROJECT, PACKAGES, WHEELS, CHECKPOINT = "samstudio", "debs", "wheels", "checkpoint"
FOLDERS = (PROJECT, PACKAGES, WHEELS, CHECKPOINT)
CHUNK = 2**20


class Problem(Exception):
    """Why a bundle cannot be used: what was found, what was expected, the command that mends it."""

    def __init__(self, message: str, found: str, expected: str, command: str) -> None:
        super().__init__(message)
        self.fields = {"message": message, "found": found, "expected": expected, "command": command}


def damaged(path: Path, found: str, expected: str) -> Problem:
    return Problem(
        "The bundle is damaged.", found, expected, f"copy {path.name} anew and compare sha256sum on both sides"
    )


@contextmanager
def opened(path: Path) -> Iterator[tarfile.TarFile]:
    """The bundle for reading; whatever the tar format or the disk says against it becomes a Problem."""
    try:
        with tarfile.open(path, "r:") as bundle:
            yield bundle
    except FileNotFoundError as error:
        raise Problem(
            "There is no such bundle.", f"no file {path} on {platform.node()}", "a bundle there", f"ls -l {path.parent}"
        ) from error
    except (tarfile.TarError, EOFError) as error:
        raise damaged(path, str(error) or type(error).__name__, "a whole tar file") from error
    except OSError as error:
        raise Problem("The bundle cannot be read.", str(error), "a readable file", f"ls -l {path}") from error


def manifest_of(bundle: tarfile.TarFile) -> tuple[dict[str, Any], bytes]:
    """The manifest, parsed and as it is written: the first member."""
    path = Path(str(bundle.name))
    first = bundle.next()
    if first is None or first.name != MANIFEST or not first.isreg() or first.size > MANIFEST_LIMIT:
        raise damaged(path, f"{first.name if first else 'nothing'} first", f"{MANIFEST} first")
    written = b"".join(_chunks(bundle, first))
    try:
        manifest = json.loads(written)
        number, members = manifest["format"], manifest["members"]
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(path, f"{MANIFEST}: {error}", "a manifest") from error
    if number != FORMAT:
        raise Problem(
            "The bundle was made by another version.",
            f"format {number}",
            f"format {FORMAT}",
            f"tar -xf {path} {PROJECT} && cd {PROJECT}",
        )
    for name in members:
        if not _belongs(name):
            raise damaged(path, f"a member named {name}", f"names below {', '.join(FOLDERS)}")
    return manifest, written


def verify(path: Path) -> dict[str, Any]:
    """Read every byte; return the manifest.

    Raises:
        Problem: a member is missing, cut short, changed, foreign, doubled, or no plain file.
    """
    with opened(path) as bundle:
        manifest, _ = manifest_of(bundle)
        missing = dict(manifest["members"])
        for member, wanted in _named(bundle, manifest):
            if missing.pop(member.name, None) is None:
                raise damaged(path, f"{member.name} twice", "each member once")
            _compare(path, member, wanted, hashed(_chunks(bundle, member)))
    if missing:
        raise damaged(path, f"{len(missing)} members missing, {min(missing)} among them", "what the manifest names")
    return manifest


def refuse_elsewhere(manifest: Mapping[str, Any], system: Mapping[str, str], arch: str) -> None:
    """
    Raises:
        Problem: the bundle was made on another release or architecture than this host's.
    """
    made = manifest["os"]
    if (made["id"], made["version"], manifest["arch"]) != (system["id"], system["version"], arch):
        raise Problem(
            "The bundle is for another kind of host.",
            f"a bundle for {made['name']} on {manifest['arch']}",
            f"one for {system['name']} on {arch}",
            f"./samstudio bundle create, on a connected {system['name']} host ({arch})",
        )


def unpack(path: Path, folder: Path) -> bool:
    """Packages and wheels, for apt and pip. Says whether there was anything to do.

    Raises:
        Problem: the bundle is damaged; `folder` is as it was.
    """
    part = folder.with_name(folder.name + ".part")
    with opened(path) as bundle:
        manifest, written = manifest_of(bundle)
        if (folder / MANIFEST).is_file() and (folder / MANIFEST).read_bytes() == written:
            return False
        shutil.rmtree(part, ignore_errors=True)
        for name in (PACKAGES, WHEELS, "lists/partial"):
            (part / name).mkdir(parents=True)
        for member, wanted in _named(bundle, manifest):
            if member.name.startswith((f"{PACKAGES}/", f"{WHEELS}/")):
                with (part / member.name).open("wb") as target:
                    digest = hashed(_copied(_chunks(bundle, member), target))
                _compare(path, member, wanted, digest)
    (part / "sources.list").write_text(f"deb [trusted=yes] file:{quote(str(folder / PACKAGES))} ./\n")
    (part / "apt.conf").write_text(apt_configuration(folder))
    (part / MANIFEST).write_bytes(written)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    return True


def apt_configuration(folder: Path) -> str:
    """For APT_CONFIG: the packages in `folder`, and no other source. Root reads them, wherever they lie."""
    settings = {
        "Dir::Etc::SourceList": folder / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": folder / "lists",
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "APT::Sandbox::User": "root",
    }
    return "".join(f'{name} "{value}";\n' for name, value in settings.items())


def this_system() -> dict[str, str]:
    values = platform.freedesktop_os_release()
    return {"id": values.get("ID", ""), "version": values.get("VERSION_ID", ""), "name": values.get("PRETTY_NAME", "")}


def hashed(chunks: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def _belongs(name: str) -> bool:
    parts = PurePosixPath(name).parts
    plain = "/".join(parts) == name and ".." not in parts
    return plain and (name == IMAGES or (len(parts) > 1 and parts[0] in FOLDERS))


def _named(bundle: tarfile.TarFile, manifest: Mapping[str, Any]) -> Iterator[tuple[tarfile.TarInfo, dict[str, Any]]]:
    """The members after the manifest, each with what the manifest says of it."""
    members = iter(bundle)
    next(members)
    for member in members:
        wanted = manifest["members"].get(member.name)
        if wanted is None or not member.isreg():
            found = f"{member.name}, which the manifest does not name as a file"
            raise damaged(Path(str(bundle.name)), found, "what the manifest names")
        yield member, wanted


def _chunks(bundle: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    source = bundle.extractfile(member)
    assert source is not None
    while chunk := source.read(CHUNK):
        yield chunk


def _copied(chunks: Iterator[bytes], target: IO[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        target.write(chunk)
        yield chunk


def _compare(path: Path, member: tarfile.TarInfo, wanted: Mapping[str, Any], sha256: str) -> None:
    if (member.size, sha256) != (wanted["bytes"], wanted["sha256"]):
        found = f"{member.name} with {member.size:,} bytes, sha256 {sha256}"
        raise damaged(path, found, f"{wanted['bytes']:,} bytes, sha256 {wanted['sha256']}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Check a bundle, or unpack its packages and wheels.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--unpack", type=Path, metavar="DIR")
    chosen = parser.parse_args()
    os.umask(0o022)
    try:
        if chosen.unpack:
            answer: dict[str, Any] = {"changed": unpack(chosen.bundle, chosen.unpack)}
        else:
            manifest = verify(chosen.bundle)
            refuse_elsewhere(manifest, this_system(), platform.machine())
            members = manifest.pop("members")
            answer = {"manifest": manifest, "members": len(members), "bytes": chosen.bundle.stat().st_size}
    except Problem as problem:
        answer = {"problem": problem.fields}
        for name, text in problem.fields.items():
            sys.stderr.write(f"{text}\n" if name == "message" else f"  {name + ':':10}{text}\n")
    json.dump(answer, sys.stdout)
    return int("problem" in answer)


if __name__ == "__main__":
    sys.exit(main())
