"""`samstudio restore`"""

from __future__ import annotations

import shlex
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from samstudio import lock
from samstudio.commands.backup import DEFAULT_FOLDER, RepositoryPassword
from samstudio.commands.common import AsJson, Check, deployment_here, studio
from samstudio.deployment import Deployment
from samstudio.errors import NothingToLookAt, SamstudioError, WrongCommandLine
from samstudio.output import byte_bar, emit, err, out, say, typed

if TYPE_CHECKING:
    from samstudio.backup.restic import Repository
    from samstudio.backup.restore import Restored


Rehearse = Annotated[
    bool,
    typer.Option("--rehearse", help="Do everything but the exchange; without BACKUP with the last one of this host."),
]


def restore(
    backup: Annotated[
        str | None,
        typer.Argument(metavar="BACKUP", help="The folder that samstudio backup made, or a snapshot's id, or latest."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    finish: Annotated[
        bool, typer.Option("--finish", help="Finish a restore that was cut off, or go back to the data from before.")
    ] = False,
    rehearse: Rehearse = False,
    source: Annotated[
        str, typer.Option("--from", metavar="restic:REPOSITORY", help="BACKUP is a snapshot in this repository.")
    ] = "",
    password_file: RepositoryPassword = None,
    check: Check = False,
    as_json: AsJson = False,
) -> None:
    """Brings a backup back in place of what is here, after asking. It goes back to the old data if that fails.

    The backup is read and counted beside the live data first. Label Studio stops for the exchange alone. The old data
    stays on the disk until you remove it. With --check, the backup is only read.

    \b
    Example:
      sudo samstudio restore /var/backups/samstudio/samstudio-lab-20261128T021500Z
      sudo samstudio restore latest --from restic:sftp:backup@vault:/label-studio --password-file /root/restic-password
      sudo samstudio restore --rehearse
      sudo samstudio restore --finish
    """
    if finish == (backup is not None or rehearse) or (rehearse and check):
        raise WrongCommandLine(
            "A restore is of one BACKUP, or it is rehearsed with --rehearse, or finished with --finish.",
            found="none of them" if not (finish or rehearse) else "more than one of them, or --rehearse with --check",
            expected="one of them",
            command=f"ls -d {DEFAULT_FOLDER}/samstudio-*",
        )
    found = deployment_here(
        expected="to run on the host of Label Studio, with the version that the backup is of",
        command="./samstudio deploy",
    )
    wanted = _wanted(backup, source, password_file)
    with lock.held(found.config_dir, "restore --rehearse" if rehearse else "restore"):
        if rehearse:
            result = _rehearse(found, wanted)
        elif wanted is None:
            result = _finish(found, check)
        else:
            result = _restore(found, wanted, yes=yes, check=check)
    if result["restored"]:
        result["click"] = _click(found, result["notes"])
    result["healthy"] = not result["notes"]
    emit(result, as_json=as_json, human=lambda: _show(result))
    if not result["healthy"]:
        raise typer.Exit(1)


@dataclass(frozen=True)
class Wanted:
    """A backup's folder, or a snapshot in a repository."""

    backup: str
    repository: Repository | None = None

    def __str__(self) -> str:
        return f"{self.backup} of {self.repository.place}" if self.repository else self.backup

    @property
    def words(self) -> list[str]:
        """How it is named on a command line."""
        return [self.backup, *(self.repository.options if self.repository else ())]

    @contextmanager
    def opened(self, found: Deployment) -> Iterator[Path]:
        """Its folder, which is there for as long as this lasts."""
        from samstudio.backup import restic

        if self.repository is None:
            yield Path(self.backup)
            return
        self.repository.open()
        latest = self.backup == restic.LATEST
        snapshot = self.repository.latest(socket.gethostname()) if latest else self.backup
        with restic.fetched(found, self.repository, snapshot, say) as folder:
            yield folder


def _wanted(backup: str | None, source: str, password_file: Path | None) -> Wanted | None:
    """
    Raises:
        WrongCommandLine: a repository without a backup in it, or what is no repository.
    """
    from samstudio.backup import restic

    repository = restic.named(source, "--from", password_file) if source else None
    if source and (repository is None or backup is None):
        raise WrongCommandLine(
            "--from names the restic repository that BACKUP is a snapshot of.",
            found=f"--from {source}, and BACKUP {backup}",
            expected=f"{restic.PREFIX}REPOSITORY, and a snapshot's id or {restic.LATEST}",
            command="samstudio restore latest --from restic:/path --password-file /root/restic-password",
        )
    if backup is None:
        return None
    return Wanted(backup, repository) if repository else Wanted(str(Path(backup).absolute()))


def _rehearse(found: Deployment, named: Wanted | None) -> dict[str, Any]:
    from samstudio.backup import history, journal
    from samstudio.backup import restore as restoring

    kind = history.Kind.REHEARSAL
    with history.noting_failure(found.config_dir, kind):
        restoring.clear_rehearsal(found)
        journal.refuse_unfinished(found.config_dir)
        wanted = named or _last(found)
        with wanted.opened(found) as folder:
            backed_up = restoring.usable(found, folder, byte_bar)
            restoring.rehearse(found, folder, backed_up, byte_bar, say)
        where = (wanted.repository.place, str(wanted.repository.password_file)) if wanted.repository else ()
        history.succeeded(found.config_dir, kind, wanted.backup, str(backed_up.contents), *where)
    return {**_result(), "said": f"{wanted} was rehearsed and can be restored: {backed_up.contents}."}


def _last(found: Deployment) -> Wanted:
    """
    Raises:
        NothingToLookAt: this host was never backed up.
    """
    from samstudio.backup import history
    from samstudio.backup.restic import Repository

    if (good := history.read(found.config_dir, history.Kind.BACKUP).good) is None:
        raise NothingToLookAt(
            "There is no backup to rehearse.",
            found=f"none noted in {history.path(found.config_dir, history.Kind.BACKUP)}",
            expected="a backup that this host made, or one named as BACKUP",
            command="samstudio backup",
        )
    return Wanted(good.backup, Repository(good.repository, Path(good.password_file)) if good.repository else None)


def _restore(found: Deployment, wanted: Wanted, *, yes: bool, check: bool) -> dict[str, Any]:
    from samstudio.backup import journal
    from samstudio.backup import restore as restoring

    if check:
        journal.refuse_unfinished(found.config_dir)
        with wanted.opened(found) as folder:
            whole = restoring.usable(found, folder, byte_bar)
        return {**_result(), "changed": True, "said": f"{wanted} is whole and fits this host: {whole.contents}."}
    finished = _finish(found, check)
    with wanted.opened(found) as folder:
        backed_up = restoring.usable(found, folder, byte_bar)
        if not yes:
            _ask(wanted.words, f"{backed_up.contents}, of {backed_up.created}", restoring.live_contents(found))
        done = restoring.restore(found, folder, backed_up, byte_bar, say)
    return {**_result(done), "did": [*finished["did"], *done.did], "said": f"{wanted} is restored: {done.contents}."}


def _finish(found: Deployment, check: bool) -> dict[str, Any]:
    from samstudio.backup import journal
    from samstudio.backup import restore as restoring

    if not check:
        restoring.clear_rehearsal(found)
    unfinished = journal.sentence(found.config_dir)
    if not unfinished:
        return {**_result(), "said": "No restore was cut off."}
    say(unfinished)
    if check:
        return {**_result(), "changed": True, "said": f"To be finished or taken back: {unfinished}."}
    done = restoring.finish(found, say)
    if done is None:
        return {**_result(), "changed": True, "said": f"Taken back, the old data is live: {unfinished}."}
    return {**_result(done), "said": f"Finished, the restored data is live: {unfinished}."}


def _result(done: Restored | None = None) -> dict[str, Any]:
    return {
        "changed": done is not None,
        "restored": done is not None,
        "said": "",
        "did": done.did if done else [],
        "notes": done.notes if done else [],
        "removals": done.removals if done else [],
        "click": None,
    }


def _click(found: Deployment, notes: list[str]) -> dict[str, Any] | None:
    """Click what can be clicked; the restored data stays, whatever comes of it."""
    from samstudio import verification

    try:
        with studio(found) as connection:
            clicked = verification.click_quick_start(connection, found, say)
    except SamstudioError as error:
        notes.append(f"No click works yet: {error.message} samstudio doctor finds the cause.")
        return None
    return {"iou": clicked["iou"], "milliseconds": clicked["milliseconds"]} if clicked else None


def _show(result: dict[str, Any]) -> None:
    out.print(escape(result["said"]))
    for each in result["did"]:
        out.print(escape(each))
    if result["click"]:
        out.print(f"clicked, IoU min {result['click']['iou']['min']:.3f}")
    for each in result["removals"]:
        out.print(f"the old data is kept until you type: {escape(each)}")
    for each in result["notes"]:
        out.print(f"[red]still to do:[/] {escape(typed(each))}")


def _ask(words: list[str], new: str, old: str) -> None:
    """
    Raises:
        WrongCommandLine: there is nobody to ask.
        typer.Abort: it is not wanted.
    """
    err.print(f"[bold]This replaces what Label Studio shows here:[/] {escape(old)}", highlight=False)
    err.print(f"[bold]by the backup:[/] {escape(new)}", highlight=False)
    err.print("What was annotated since that backup is not in it. The old data stays on the disk, beside the new.")
    if not sys.stdin.isatty():
        raise WrongCommandLine(
            "Nobody is there to be asked whether to restore it.",
            found="no terminal",
            expected="a terminal, or --yes",
            command=shlex.join(["samstudio", "restore", *words, "--yes"]),
        )
    if err.input("Restore it? [y/N] ", markup=False).strip().lower() not in ("y", "yes"):
        raise typer.Abort
