"""`samstudio rollback`"""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from samstudio import lock
from samstudio.commands.common import AsJson, Check, deployment_here
from samstudio.deployment import Deployment
from samstudio.errors import WrongCommandLine
from samstudio.output import emit, err, out, say, typed

if TYPE_CHECKING:
    from samstudio.backup.journal import Journal


def rollback(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="Remove what is kept of the older Label Studio; there is no way back then.")
    ] = False,
    check: Check = False,
    as_json: AsJson = False,
) -> None:
    """Brings back the Label Studio from before the last upgrade, with its database, after asking.

    A deploy does this by itself where the newer one does not prove good. What people made since the upgrade is counted
    first; it is not in the older database. The newer database is kept then.

    \b
    Example:
      sudo samstudio rollback
      sudo samstudio rollback --forget
    """
    found = deployment_here(expected="to run on the host of Label Studio", command="./samstudio deploy")
    with lock.held(found.config_dir, "rollback"):
        result = _forget(found, check) if forget else _roll_back(found, yes=yes, check=check)
    emit(result, as_json=as_json, human=lambda: _show(result))


def _roll_back(found: Deployment, *, yes: bool, check: bool) -> dict[str, Any]:
    from samstudio.backup import database, since, upgrade

    before = upgrade.to_go_back_to(found)
    made = since.made(database.of(found), before)
    if check:
        return _result(f"Label Studio {_version(before)} can be brought back.", changed=True, made=made)
    if not yes:
        _ask(before, made)
    done = upgrade.rollback(found, before, say)
    return {"changed": True, **asdict(done)}


def _forget(found: Deployment, check: bool) -> dict[str, Any]:
    from samstudio.backup import journal, upgrade

    journal.refuse_unfinished(found.config_dir)
    kept = journal.read(found.config_dir, journal.KEPT)
    if kept is None:
        return _result("Nothing is kept of an older Label Studio.", changed=False)
    if not check:
        upgrade.forget(found)
    return _result(f"{'To be removed' if check else 'Removed'}: Label Studio {_version(kept)}.", changed=True)


def _version(of: Journal) -> str:
    return of.older.version if of.older else ""


def _result(said: str, *, changed: bool, made: str = "") -> dict[str, Any]:
    return {"changed": changed, "said": said, "made": made, "removals": [], "log": "", "notes": []}


def _show(result: dict[str, Any]) -> None:
    out.print(escape(result["said"]))
    if result["made"]:
        out.print(f"[yellow]made since, and not in it:[/] {escape(result['made'])}")
    for each in result["removals"]:
        out.print(f"the newer database is kept until you type: {escape(each)}")
    if result["log"]:
        out.print(f"what the newer one wrote last: {escape(result['log'])}")
    for each in result["notes"]:
        out.print(f"[red]still to do:[/] {escape(typed(each))}")


def _ask(before: Journal, made: str) -> None:
    """
    Raises:
        WrongCommandLine: there is nobody to ask.
        typer.Abort: it is not wanted.
    """
    err.print(
        f"[bold]This brings back Label Studio {escape(_version(before))}[/] and its database of {before.began}:"
        f" {escape(str(before.contents))}.",
        highlight=False,
    )
    err.print(f"[bold]Made since, and not in it:[/] {escape(made or 'nothing')}.", highlight=False)
    if not sys.stdin.isatty():
        raise WrongCommandLine(
            "Nobody is there to be asked whether to go back.",
            found=f"no terminal; made since the upgrade, and not in the older database: {made or 'nothing'}",
            expected="a terminal, or --yes",
            command="samstudio rollback --yes",
        )
    if err.input("Go back? [y/N] ", markup=False).strip().lower() not in ("y", "yes"):
        raise typer.Abort
