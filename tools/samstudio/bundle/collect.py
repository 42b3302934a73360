"""Debian packages with all that they depend on, and wheels. Run again, only what is missing is fetched."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from samstudio.errors import SamstudioError

#: one download of everything over a slow line
TIMEOUT = 4 * 3600.0


def packages(names: Sequence[str], work: Path) -> list[Path]:
    """The .deb files of `names` and of everything below them, down to libc: the other host may have less than this one.

    apt resolves them against an empty list of installed packages, with lists and a cache of its own below `work`.

    Raises:
        SamstudioError: apt failed.
    """
    installed = work / "installed"
    for folder in ("lists/partial", "cache/archives/partial"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    installed.write_text("")
    own = {
        "Dir::State::Lists": work / "lists",
        "Dir::State::status": installed,
        "Dir::Cache": work / "cache",
        "Debug::NoLocking": "true",
        "APT::Sandbox::User": "root",
        "APT::Get::Assume-Yes": "true",
        "APT::Install-Recommends": "false",
    }
    apt = ["apt-get", "--quiet=2", *(f"--option={name}={value}" for name, value in own.items())]
    for arguments in (["update"], ["autoclean"], ["install", "--download-only", *names]):
        _run([*apt, *arguments], "See that apt-get update works on this host, then run the same command again")
    return sorted((work / "cache" / "archives").glob("*.deb"))


def plain_name(package: Path) -> str:
    """A file name without the `%3a` of an epoch, which apt's file method would read as a colon."""
    return package.name.replace("%3a", "-")


def packages_index(files: Iterable[Path]) -> str:
    """The `Packages` file of a flat repository of these .deb files, under their plain names."""
    stanzas = []
    for file in files:
        control = _run(["dpkg-deb", "--field", str(file)], f"Remove {file} and run the same command again")
        content = file.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        place = f"Filename: ./{plain_name(file)}\nSize: {len(content)}\nSHA256: {digest}\n"
        stanzas.append(f"{control.rstrip()}\n{place}")
    return "\n".join(stanzas)


def wheels(locks: Iterable[Path], work: Path) -> list[Path]:
    """The wheels of the lock files, hashes checked, for the Python that runs this.

    Raises:
        SamstudioError: pip failed.
    """
    content = [lock.read_bytes() for lock in locks]
    folder = work / hashlib.sha256(b"".join(content) + sys.version.encode()).hexdigest()[:12]
    for lock in locks:
        _run(
            [
                sys.executable,
                "-m",
                "pip",
                "download",
                "--quiet",
                "--disable-pip-version-check",
                "--no-deps",
                "--require-hashes",
                "--only-binary=:all:",
                f"--dest={folder}",
                f"--requirement={lock}",
            ],
            "See that pip download works on this host, then run the same command again",
        )
    return sorted(folder.glob("*.whl"))


def _run(argv: list[str], command: str) -> str:
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            check=True,
            timeout=TIMEOUT,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = str(getattr(error, "stderr", "") or error).strip().splitlines()
        raise SamstudioError(
            f"{argv[0]} failed.", found=" ".join(said[-3:]), expected="its answer", command=command
        ) from error
    return done.stdout
