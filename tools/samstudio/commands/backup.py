"""`samstudio backup` and `samstudio restore`"""

from __future__ import annotations

import shlex
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from samstudio import lock
from samstudio.commands.common import AsJson, Check, deployment_here, studio
from samstudio.deployment import Deployment
from samstudio.errors import SamstudioError, WrongCommandLine
from samstudio.output import emit, err, out, say, typed

if TYPE_CHECKING:
    from samstudio.backup.restore import Restored

DEFAULT_FOLDER = "/var/backups/samstudio"


def backup(
    to: Annotated[
        Path, typer.Option("--to", metavar="FOLDER", help="Where backups are kept; best of all on another disk.")
    ] = Path(DEFAULT_FOLDER),
    keep: Annotated[
        int, typer.Option("--keep", metavar="N", min=0, help="Remove this host's backups but the newest N. 0: none.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Copies annotations, uploads, secrets and settings into a folder of their own, while people go on working.

    The copy is read again and counted before it gets its name. Model weights, caches and the images that this host
    serves are left out.

    \b
    Example:
      sudo samstudio backup
      sudo samstudio backup --to /mnt/nas/label-studio --keep 14
    """
    from samstudio.backup import journal, make
    from samstudio.backup import keep as keeping

    found = _described()
    with lock.held(found.config_dir, "backup"):
        journal.refuse_unfinished(found.config_dir)
        planned = make.plan(found, to)
        folder, written = make.write(planned, _bar, say)
        removed = keeping.remove_older(to, socket.gethostname(), keep) if keep else []
    same_disk = folder.stat().st_dev == found.label_studio.data.stat().st_dev
    result = {
        "changed": True,
        "backup": str(folder),
        "bytes": written.bytes,
        "files": len(written.files),
        "contents": asdict(written.contents),
        "left_out": [asdict(each) for each in written.left_out],
        "removed": [str(each) for each in removed],
        "same_disk": same_disk,
    }

    def human() -> None:
        out.print(f"[bold]{escape(str(folder))}[/]  {written.bytes / 2**20:.1f} MiB, {len(written.files)} files")
        out.print(f"holds {written.contents}; read again and counted")
        for each in written.left_out:
            out.print(f"left out: {escape(each.what)} ({escape(each.where)}): {escape(each.back)}")
        for gone in removed:
            out.print(f"removed: {escape(str(gone))}")
        if same_disk:
            out.print("[yellow]It is on the disk of the data itself: copy it elsewhere.[/] It holds passwords.")

    emit(result, as_json=as_json, human=human)


def restore(
    backup: Annotated[
        Path | None, typer.Argument(metavar="BACKUP", help="The folder that samstudio backup made.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    finish: Annotated[
        bool, typer.Option("--finish", help="Finish a restore that was cut off, or go back to the data from before.")
    ] = False,
    check: Check = False,
    as_json: AsJson = False,
) -> None:
    """Brings a backup back in place of what is here, after asking. It goes back to the old data if that fails.

    The backup is read and counted beside the live data first. Label Studio stops for the exchange alone. The old data
    stays on the disk until you remove it. With --check, everything but the exchange is done.

    \b
    Example:
      sudo samstudio restore /var/backups/samstudio/samstudio-lab-20261128T021500Z
      sudo samstudio restore --check /mnt/nas/label-studio/samstudio-lab-20261128T021500Z
      sudo samstudio restore --finish
    """
    if (backup is None) != finish:
        raise WrongCommandLine(
            "A restore is of one BACKUP, or it is finished with --finish.",
            found="neither" if backup is None else "both",
            expected="one of them",
            command=f"ls -d {DEFAULT_FOLDER}/samstudio-*",
        )
    found = _described()
    with lock.held(found.config_dir, "restore"):
        result = _finish(found, check) if backup is None else _restore(found, backup.absolute(), yes=yes, check=check)
    if result["restored"]:
        result["click"] = _click(found, result["notes"])
    result["healthy"] = not result["notes"]
    emit(result, as_json=as_json, human=lambda: _show(result))
    if not result["healthy"]:
        raise typer.Exit(1)


def _restore(found: Deployment, folder: Path, *, yes: bool, check: bool) -> dict[str, Any]:
    from samstudio.backup import restore as restoring

    finished = _finish(found, check)
    backed_up = restoring.usable(found, folder, _bar)
    if check:
        restoring.rehearse(found, folder, backed_up, _bar, say)
        return {**_result(), "changed": True, "said": f"{folder} can be restored: {backed_up.contents}."}
    if not yes:
        _ask(folder, f"{backed_up.contents}, of {backed_up.created}", restoring.live_contents(found))
    done = restoring.restore(found, folder, backed_up, _bar, say)
    return {**_result(done), "did": [*finished["did"], *done.did], "said": f"{folder} is restored: {done.contents}."}


def _finish(found: Deployment, check: bool) -> dict[str, Any]:
    from samstudio.backup import journal
    from samstudio.backup import restore as restoring

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


def _described() -> Deployment:
    return deployment_here(
        expected="to run on the host of Label Studio, with the version that the backup is of",
        command="./samstudio deploy",
    )


@contextmanager
def _bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda count: progress.advance(task, count)
