"""`samstudio restore`"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from samstudio import lock
from samstudio.commands.backup import DEFAULT_FOLDER
from samstudio.commands.common import AsJson, Check, deployment_here, studio
from samstudio.deployment import Deployment
from samstudio.errors import NothingToLookAt, SamstudioError, WrongCommandLine
from samstudio.output import byte_bar, emit, err, out, say, typed

if TYPE_CHECKING:
    from samstudio.backup.restore import Restored


Rehearse = Annotated[
    bool,
    typer.Option("--rehearse", help="Do everything but the exchange; without BACKUP with the last one of this host."),
]


def restore(
    backup: Annotated[
        Path | None, typer.Argument(metavar="BACKUP", help="The folder that samstudio backup made.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    finish: Annotated[
        bool, typer.Option("--finish", help="Finish a restore that was cut off, or go back to the data from before.")
    ] = False,
    rehearse: Rehearse = False,
    check: Check = False,
    as_json: AsJson = False,
) -> None:
    """Brings a backup back in place of what is here, after asking. It goes back to the old data if that fails.

    The backup is read and counted beside the live data first. Label Studio stops for the exchange alone. The old data
    stays on the disk until you remove it. With --check, the backup is read, and nothing is written.

    \b
    Example:
      sudo samstudio restore /var/backups/samstudio/samstudio-lab-20261128T021500Z
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
    with lock.held(found.config_dir, "restore --rehearse" if rehearse else "restore"):
        if rehearse:
            result = _rehearse(found, backup)
        elif backup is None:
            result = _finish(found, check)
        else:
            result = _restore(found, backup.absolute(), yes=yes, check=check)
    if result["restored"]:
        result["click"] = _click(found, result["notes"])
    result["healthy"] = not result["notes"]
    emit(result, as_json=as_json, human=lambda: _show(result))
    if not result["healthy"]:
        raise typer.Exit(1)


def _rehearse(found: Deployment, backup: Path | None) -> dict[str, Any]:
    from samstudio.backup import history, journal
    from samstudio.backup import restore as restoring

    with history.noting_failure(found.config_dir, history.Kind.REHEARSAL):
        restoring.clear_rehearsal(found)
        journal.refuse_unfinished(found.config_dir)
        folder = (backup or _last(found)).absolute()
        backed_up = restoring.usable(found, folder, byte_bar)
        restoring.rehearse(found, folder, backed_up, byte_bar, say)
        history.succeeded(found.config_dir, history.Kind.REHEARSAL, str(folder), str(backed_up.contents))
    return {**_result(), "said": f"{folder} was rehearsed and can be restored: {backed_up.contents}."}


def _last(found: Deployment) -> Path:
    """
    Raises:
        NothingToLookAt: this host was never backed up.
    """
    from samstudio.backup import history

    if (good := history.read(found.config_dir, history.Kind.BACKUP).good) is None:
        raise NothingToLookAt(
            "There is no backup to rehearse.",
            found=f"none noted in {history.path(found.config_dir, history.Kind.BACKUP)}",
            expected="a backup that this host made, or one named as BACKUP",
            command="samstudio backup",
        )
    return Path(good.backup)


def _restore(found: Deployment, folder: Path, *, yes: bool, check: bool) -> dict[str, Any]:
    from samstudio.backup import journal
    from samstudio.backup import restore as restoring

    if check:
        journal.refuse_unfinished(found.config_dir)
        whole = restoring.usable(found, folder, byte_bar)
        return {**_result(), "changed": True, "said": f"{folder} is whole and fits this host: {whole.contents}."}
    finished = _finish(found, check)
    backed_up = restoring.usable(found, folder, byte_bar)
    if not yes:
        _ask(folder, f"{backed_up.contents}, of {backed_up.created}", restoring.live_contents(found))
    done = restoring.restore(found, folder, backed_up, byte_bar, say)
    return {**_result(done), "did": [*finished["did"], *done.did], "said": f"{folder} is restored: {done.contents}."}


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
    from samstudio import samples, verification
    from samstudio.labelstudio import projects

    try:
        with studio(found) as connection:
            if (project := projects.by_title(connection, found.project.title)) is None or project.id is None:
                say(f"no click is made: there is no project {found.project.title!r} with drawn objects to click")
                return None
            clicked = verification.click_samples(
                connection,
                project=project.id,
                folder=found.images.host_root / samples.FOLDER,
                backend_url=found.backend.internal_url,
                say=say,
            )
    except SamstudioError as error:
        notes.append(f"No click works yet: {error.message} samstudio doctor finds the cause.")
        return None
    return {"iou": clicked["iou"], "milliseconds": clicked["milliseconds"]}


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


def _ask(folder: Path, new: str, old: str) -> None:
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
            command=shlex.join(["samstudio", "restore", str(folder), "--yes"]),
        )
    if err.input("Restore it? [y/N] ", markup=False).strip().lower() not in ("y", "yes"):
        raise typer.Abort
