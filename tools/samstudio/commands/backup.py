"""`samstudio backup`"""

from __future__ import annotations

import shlex
import socket
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from samstudio import lock
from samstudio.commands.common import AsJson, deployment_here
from samstudio.deployment import Deployment
from samstudio.output import byte_bar, emit, out, say, typed

if TYPE_CHECKING:
    from samstudio.backup.manifest import Manifest
    from samstudio.backup.restic import Repository

DEFAULT_FOLDER = "/var/backups/samstudio"
RepositoryPassword = Annotated[
    Path | None,
    typer.Option("--password-file", metavar="FILE", help="A 0600 file with the password of the restic repository."),
]


def backup(
    to: Annotated[
        str,
        typer.Option("--to", metavar="FOLDER", help="Where backups are kept: a folder, or restic:REPOSITORY."),
    ] = DEFAULT_FOLDER,
    keep: Annotated[
        int, typer.Option("--keep", metavar="N", min=0, help="Remove this host's backups but the newest N. 0: none.")
    ] = 0,
    password_file: RepositoryPassword = None,
    as_json: AsJson = False,
) -> None:
    """Copies annotations, uploads, secrets and settings into a folder of their own, while people go on working.

    The copy is read again and counted before it gets its name. Model weights, caches and the images that this host
    serves are left out. A restic repository gets it encrypted, and is checked afterwards.

    \b
    Example:
      sudo samstudio backup
      sudo samstudio backup --to /mnt/nas/label-studio --keep 14
      sudo samstudio backup --to restic:sftp:backup@vault:/label-studio --password-file /root/restic-password
    """
    from samstudio.backup import history, journal, restic
    from samstudio.backup import restore as restoring

    found = deployment_here(expected="to run on the host of Label Studio", command="./samstudio deploy")
    repository = restic.named(to, "--to", password_file)
    with lock.held(found.config_dir, "backup"), history.noting_failure(found.config_dir, history.Kind.BACKUP):
        restoring.clear_rehearsal(found)
        journal.refuse_unfinished(found.config_dir)
        result = _into(repository, found, keep) if repository else _to(Path(to).absolute(), found, keep)
    emit(result, as_json=as_json, human=lambda: _show(result, repository))


def _to(target: Path, found: Deployment, keep: int) -> dict[str, Any]:
    from samstudio.backup import history, make
    from samstudio.backup import keep as keeping

    folder, written = make.write(make.plan(found, target), byte_bar, say)
    removed = keeping.remove_older(target, socket.gethostname(), keep) if keep else []
    history.succeeded(found.config_dir, history.Kind.BACKUP, str(folder), str(written.contents))
    same_disk = folder.stat().st_dev == found.label_studio.data.stat().st_dev
    return _result(str(folder), written, [str(each) for each in removed], same_disk=same_disk)


def _into(repository: Repository, found: Deployment, keep: int) -> dict[str, Any]:
    from samstudio.backup import history, make, restic

    host = socket.gethostname()
    repository.open()
    with restic.staging(found) as staging:
        folder, written = make.write(make.plan(found, staging, links=True), byte_bar, say)
        say(f"sending it to {repository.place}")
        snapshot = repository.store(folder, host)
        say("checking the repository")
        repository.check(snapshot, folder)
    removed = repository.forget_older(host, keep) if keep else []
    where = (repository.place, str(repository.password_file))
    history.succeeded(found.config_dir, history.Kind.BACKUP, snapshot, str(written.contents), *where)
    place = Path(repository.place)
    same_disk = place.is_dir() and place.stat().st_dev == found.label_studio.data.stat().st_dev
    return {**_result(snapshot, written, removed, same_disk=same_disk), "repository": repository.place}


def _result(backup: str, written: Manifest, removed: list[str], *, same_disk: bool) -> dict[str, Any]:
    return {
        "changed": True,
        "backup": backup,
        "repository": "",
        "bytes": written.bytes,
        "files": len(written.files),
        "contents": asdict(written.contents),
        "left_out": [asdict(each) for each in written.left_out],
        "removed": removed,
        "same_disk": same_disk,
    }


def _show(result: dict[str, Any], repository: Repository | None) -> None:
    size = f"{result['bytes'] / 2**20:.1f} MiB, {result['files']} files"
    out.print(f"[bold]{escape(result['backup'])}[/]  {size}")
    counted = ", ".join(f"{result['contents'][name]} {name}" for name in ("projects", "tasks", "annotations", "users"))
    out.print(f"holds {counted}; read again and counted")
    for each in result["left_out"]:
        out.print(f"left out: {escape(each['what'])} ({escape(each['where'])}): {escape(each['back'])}")
    for gone in result["removed"]:
        out.print(f"removed: {escape(gone)}")
    if repository:
        words = shlex.join(["samstudio", "restore", result["backup"], *repository.options])
        out.print(f"back again: {escape(typed(words))}")
        out.print("[yellow]Without its password it is lost: keep a copy of that far from this host.[/]")
    if result["same_disk"]:
        open_to_root = "" if repository else " It holds passwords."
        out.print(f"[yellow]It is on the disk of the data itself: copy it elsewhere.[/]{open_to_root}")
