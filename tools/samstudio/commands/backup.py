"""`samstudio backup`"""

from __future__ import annotations

import socket
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from samstudio import lock
from samstudio.commands.common import AsJson, deployment_here
from samstudio.output import byte_bar, emit, out, say

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
    from samstudio.backup import history, journal, make
    from samstudio.backup import keep as keeping
    from samstudio.backup import restore as restoring

    found = deployment_here(expected="to run on the host of Label Studio", command="./samstudio deploy")
    with lock.held(found.config_dir, "backup"), history.noting_failure(found.config_dir, history.Kind.BACKUP):
        restoring.clear_rehearsal(found)
        journal.refuse_unfinished(found.config_dir)
        planned = make.plan(found, to.absolute())
        folder, written = make.write(planned, byte_bar, say)
        removed = keeping.remove_older(to, socket.gethostname(), keep) if keep else []
        history.succeeded(found.config_dir, history.Kind.BACKUP, str(folder), str(written.contents))
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
