"""`samstudio copy-to-postgresql`, the host's part of `./samstudio move-to-postgresql`"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape

from samstudio import lock
from samstudio.commands.common import AsJson, Check, deployment_here
from samstudio.deployment import Deployment
from samstudio.output import byte_bar, emit, out, say


def copy_to_postgresql(
    back: Annotated[
        bool, typer.Option("--back", help="Take back a move after which Label Studio did not come up.")
    ] = False,
    check: Check = False,
    as_json: AsJson = False,
) -> None:
    """Copies every row of SQLite into PostgreSQL beside it, and sets SQLite's file aside.

    It leaves Label Studio stopped. ./samstudio move-to-postgresql does this and all else that a move needs: type that.

    \b
    Example:
      sudo samstudio copy-to-postgresql --back
    """
    found = deployment_here(expected="to run on the host of Label Studio", command="./samstudio move-to-postgresql")
    with lock.held(found.config_dir, "copy-to-postgresql"):
        result = _back(found, check) if back else _move(found, check)
    emit(result, as_json=as_json, human=lambda: _show(result))


def _move(found: Deployment, check: bool) -> dict[str, Any]:
    from samstudio.backup import journal
    from samstudio.moving import move

    journal.refuse_unfinished(found.config_dir)
    if check:
        return _result(changed=move.wanted(found))
    moved = move.move(found, byte_bar, say)
    said = f"{moved.rows} rows are copied and compared; SQLite is kept as {moved.aside}."
    return _result(
        changed=moved.rows > 0,
        said=said if moved.rows else f"It was moved before; SQLite is kept as {moved.aside}.",
        rows=moved.rows,
        kept=moved.aside,
        removals=moved.removals,
    )


def _back(found: Deployment, check: bool) -> dict[str, Any]:
    from samstudio.moving import move

    live = None if check else move.back(found, say)
    said = f"{live} is live again." if live else "There is no move to take back."
    return _result(changed=live is not None, said=said)


def _result(
    *, changed: bool, said: str = "", rows: int = 0, kept: str = "", removals: list[str] | None = None
) -> dict[str, Any]:
    return {"changed": changed, "said": said, "rows": rows, "kept": kept, "removals": removals or []}


def _show(result: dict[str, Any]) -> None:
    out.print(escape(result["said"]))
    for each in result["removals"]:
        out.print(f"what PostgreSQL held before is kept until you type: {escape(each)}")
