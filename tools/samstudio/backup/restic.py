"""Backups in a restic repository: encrypted, checked, kept and pruned by restic's own program (restic.readthedocs.io).

A snapshot holds one backup's folder as its root. The password is handed over by the name of its file.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from samstudio.backup import manifest, room
from samstudio.deployment import Deployment
from samstudio.errors import SamstudioError, WrongCommandLine
from samstudio.secret_store import SecretStore

PREFIX = "restic:"
#: what is not tagged with it is somebody else's, and is neither restored nor forgotten
TAG = "samstudio"
LATEST = "latest"
#: beside Label Studio's folder: a backup on its way into a repository, or out of one
STAGING, FETCHED = "backup-staging", "backup-fetched"
SECONDS = 24 * 3600
#: in place of these, the file that was named says what the password is
OTHER_PASSWORDS = ("RESTIC_PASSWORD", "RESTIC_PASSWORD_COMMAND")


@dataclass(frozen=True)
class Repository:
    #: as restic names it: /a/folder, sftp:user@host:/folder, …
    place: str
    password_file: Path

    @property
    def options(self) -> tuple[str, ...]:
        """How samstudio restore is told of it."""
        return ("--from", f"{PREFIX}{self.place}", "--password-file", str(self.password_file))

    def open(self) -> None:
        """See that it is there and takes the password; locks that a dead process left in it go.

        Raises:
            SamstudioError: it is not, or does not. It is never made here: where a disk is not mounted, a new one would
                be made beneath.
        """
        if not self.password_file.is_file():
            raise SamstudioError(
                "The repository's password is missing.",
                found=f"no file {self.password_file}",
                expected="a file of mode 0600 with the password alone, and a copy of it far from this host",
                command=f"install -m 0600 /dev/stdin {self.password_file}   # paste it; Ctrl-D ends",
            )
        SecretStore(self.password_file.parent).read(self.password_file.name)
        self._run(["unlock", "--quiet"], f"if it is not made yet: {self.typed('init')}")

    def store(self, folder: Path, host: str) -> str:
        """Send a backup there.

        Returns:
            the snapshot's short id.
        """
        words = ["backup", "--quiet", "--json", "--host", host, "--tag", TAG, "."]
        told = self._run(words, cwd=folder).decode().strip().splitlines()[-1]
        return str(json.loads(told)["snapshot_id"])

    def check(self, snapshot: str, folder: Path) -> None:
        """What was sent is there: the repository's structure and every pack, and the very manifest.

        Raises:
            SamstudioError: it is not.
        """
        self._run(["check", "--quiet"])
        if self._run(["dump", "--quiet", snapshot, f"/{manifest.FILE}"]) != (folder / manifest.FILE).read_bytes():
            raise SamstudioError(
                "The repository does not hold what was sent there.",
                found=f"another {manifest.FILE} in the snapshot {snapshot}",
                expected="the one that was written",
                command=self.typed("check --read-data"),
            )

    def forget_older(self, host: str, count: int) -> list[str]:
        """Keep the newest `count` backups of a host, and free what only older ones needed.

        Returns:
            the snapshots that are gone.
        """
        which = ["--tag", TAG, "--host", host, "--group-by", "host,tags", "--keep-last", str(count)]
        told = self._run(["forget", "--quiet", "--json", *which, "--prune"]).decode().strip().splitlines()
        groups = json.loads(told[0]) if told else []
        return [each["short_id"] for group in groups for each in group["remove"] or []]

    def latest(self, host: str) -> str:
        found = json.loads(self._run(["snapshots", "--json", "--tag", TAG, "--host", host]))
        if not found:
            raise SamstudioError(
                f"There is no backup of {host} in the repository.",
                found="no snapshot of this host",
                expected="the id of another host's snapshot",
                command=self.typed(f"snapshots --tag {TAG}"),
            )
        return str(max(found, key=lambda each: each["time"])["short_id"])

    def size(self, snapshot: str) -> int:
        """The bytes of a snapshot's files."""
        return int(json.loads(self._run(["stats", "--json", "--mode", "restore-size", snapshot]))["total_size"])

    def fetch(self, snapshot: str, target: Path) -> None:
        self._run(["restore", "--quiet", snapshot, "--target", str(target)])

    def typed(self, words: str) -> str:
        """What a person types to ask restic itself."""
        return f"restic -r {self.place} --password-file {self.password_file} {words}"

    def _run(self, words: list[str], hint: str = "", cwd: Path | None = None) -> bytes:
        kept = {name: value for name, value in os.environ.items() if name not in OTHER_PASSWORDS}
        named = {"RESTIC_REPOSITORY": self.place, "RESTIC_PASSWORD_FILE": str(self.password_file)}
        try:
            done = subprocess.run(
                ["restic", *words],
                env={**kept, **named},
                cwd=cwd,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=SECONDS,
                check=False,
            )
        except FileNotFoundError as error:
            raise SamstudioError(
                "restic is not installed.",
                found="no program restic",
                expected="the distribution's package",
                command="apt-get install restic",
            ) from error
        if done.returncode:
            raise SamstudioError(
                f"restic {words[0]} failed.",
                found=" ".join(done.stderr.decode(errors="replace").split()[-60:]) or f"exit code {done.returncode}",
                expected=f"the repository {self.place}, reachable, with the password in {self.password_file}",
                command=hint or self.typed(words[0]),
            )
        return done.stdout


def named(text: str, option: str, password_file: Path | None) -> Repository | None:
    """The repository that `restic:…` names; None for a folder.

    Raises:
        WrongCommandLine: it is named without its password's file, or with a password in its address.
    """
    if not text.startswith(PREFIX):
        return None
    place = text.removeprefix(PREFIX)
    if re.search(r"://[^/@]*:[^/@]*@", place):
        raise WrongCommandLine(
            "The repository's address holds a password, which everybody on this host can see on a command line.",
            found=f"{option} with USER:PASSWORD@",
            expected="an address without one, such as sftp:user@host:/folder",
            command=f"{option} {PREFIX}sftp:user@host:/folder",
        )
    if not place or password_file is None:
        raise WrongCommandLine(
            "A restic repository has a name and a password.",
            found=f"{option} {text}, and {'no --password-file' if password_file is None else 'no name'}",
            expected="both; the password in a file of mode 0600",
            command=f"{option} {PREFIX}{place or '/path'} --password-file /root/restic-password",
        )
    return Repository(place, password_file.absolute())


@contextmanager
def staging(deployment: Deployment) -> Iterator[Path]:
    """An empty folder for a backup that is on its way; whatever a dead process left there goes."""
    with _beside(deployment, STAGING) as folder:
        yield folder


@contextmanager
def fetched(
    deployment: Deployment, repository: Repository, snapshot: str, say: Callable[[str], None]
) -> Iterator[Path]:
    """A snapshot as the folder that was backed up.

    Raises:
        SamstudioError: there is no such snapshot, or no room for it.
    """
    with _beside(deployment, FETCHED) as folder:
        room.require(
            folder,
            repository.size(snapshot),
            message="There is no room for what the repository holds; nothing was changed.",
            note=", and as much again to restore it",
            command=f"du -xh --max-depth=1 {folder.parent}",
        )
        say(f"fetching the snapshot {snapshot} from {repository.place}")
        repository.fetch(snapshot, folder)
        yield folder


@contextmanager
def _beside(deployment: Deployment, name: str) -> Iterator[Path]:
    folder = deployment.label_studio.data.resolve().parent / name
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
