"""`samstudio status | prewarm`"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from samstudio.commands.common import (
    AsJson,
    BackendUser,
    LabelStudioUrl,
    PasswordFile,
    TokenFile,
    backend_password,
    deployment_of,
    mended,
    studio,
)
from samstudio.output import emit, err, failures, out


def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Versions, addresses, model, device, cache, projects, the last click. Exit code 1 when not all is healthy."""
    with failures(as_json=as_json):
        from samstudio import status as looking

        found = deployment_of(context)
        result = looking.collect(found, lambda: studio(found), lambda: backend_password(found))
        emit(result, as_json=as_json, human=lambda: _show_status(result))
        if not result["healthy"]:
            raise typer.Exit(1)


def _show_status(result: dict[str, Any]) -> None:
    table = Table(show_header=False, box=None, padding=(0, 2))
    table.add_row("samstudio", result["samstudio"])
    for name, part in (
        ("Label Studio", result["label_studio"]),
        ("backend", result["backend"]),
        ("backends", result["backends"]),
    ):
        if "error" in part:
            table.add_row(name, f"[red]{escape(part['error']['message'])}[/] {escape(part['error'].get('found', ''))}")
    if "error" not in result["label_studio"]:
        part = result["label_studio"]
        table.add_row("Label Studio", f"{part['version']}, {part['health']}, {part['url']}")
        table.add_row("", f"[dim]for the backend {part['internal_url']}[/]")
    if "error" not in result["backend"]:
        _add_backend(table, result["backend"])
    for server in result["backends"].get("servers", []):
        colour = "green" if server["state"].startswith("UP") else "red"
        table.add_row(server["name"], f"[{colour}]{server['state']}[/], {server['address']}")
    connected = result["projects"]
    if "error" in connected:
        table.add_row("projects", f"[red]{escape(connected['error']['message'])}[/]")
    for project in connected.get("connected", []):
        state = "connected" if project["state"] == "CO" else f"[red]{project['state']} {project['error'] or ''}[/]"
        table.add_row(f"project {project['id']}", f"{escape(project['title'])}, {state}, {project['url']}")
    out.print(table)


def _add_backend(table: Table, part: dict[str, Any]) -> None:
    model, engine, cache = part["model"], part["engine"], part["cache"]
    colour = "green" if part["state"] == "ready" else "red"
    table.add_row("backend", f"[{colour}]{part['state']}[/], {part['url']}")
    table.add_row("", f"[dim]for Label Studio {part['internal_url']}[/]")
    demo = "  [yellow]demo model: draws shapes, knows nothing else[/]" if model["demo"] else ""
    table.add_row("model", f"{model['config']} {model['checkpoint']}{demo}")
    table.add_row("engine", f"{engine['name']} on {engine['device']}, {engine['precision']}, {engine['image_size']} px")
    table.add_row(
        "cache",
        f"{cache['memory_entries']} images in memory ({_size(cache['memory_bytes'])}), "
        f"{cache['disk_entries']} on disk ({_size(cache['disk_bytes'])})",
    )
    last = part["last_click"]
    if last:
        steps = ", ".join(f"{step} {took:.0f} ms" for step, took in last["milliseconds"].items())
        table.add_row("last click", f"{last['at']}, embedding from {last['cache']}: {steps}")
    for error in part["last_errors"][:3]:
        table.add_row("[red]error[/]", escape(f"{error['at']} {error['where']}: {error['message']}"))


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}"
        count /= 1000
    raise AssertionError


def prewarm(
    context: typer.Context,
    project: Annotated[int, typer.Argument(metavar="PROJECT", help="The project's id.")],
    label_studio_url: LabelStudioUrl = "",
    backend_url: Annotated[str, typer.Option(help="The backend as this machine sees it.")] = "",
    token_file: TokenFile = None,
    backend_user: BackendUser = "",
    password_file: PasswordFile = None,
    as_json: AsJson = False,
) -> None:
    """Have a project's images embedded ahead of the first click. Ctrl-C is safe; run again to go on watching."""
    with failures(as_json=as_json):
        from samstudio import backend_client, balancer
        from samstudio import prewarm as warming

        found = deployment_of(context, label_studio_url=label_studio_url, backend_user=backend_user)
        url = mended(backend_url, "--backend-url", 9090) if backend_url else found.backend.url
        user, password = found.backend.basic_auth_user, backend_password(found, password_file)
        with ExitStack() as stack:
            connection = stack.enter_context(studio(found, token_file))
            served = stack.enter_context(backend_client.connect(url, user, password))
            fleet = [] if backend_url else [
                stack.enter_context(backend_client.connect(f"http://{server.address}", user, password))
                for server in balancer.of(found)
                if server.state.startswith("UP")
            ]  # fmt: skip
            bar = stack.enter_context(_bar())
            row = bar.add_task(f"project {project}", total=None, rate="")

            def show(done: int, total: int, failed: int, rate: float) -> None:
                bar.update(row, completed=done + failed, total=total, rate=f"{rate:.1f} images/s")

            try:
                result = warming.prewarm(connection, served, project, progress=show, fleet=fleet)
            except KeyboardInterrupt:
                bar.stop()
                err.print(f"The backend goes on by itself; samstudio prewarm {project} shows how far it is.")
                raise typer.Exit(130) from None
        emit(result, as_json=as_json, human=lambda: _show_prewarmed(result))


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
               TimeElapsedColumn(), TimeRemainingColumn())  # fmt: skip
    return Progress(*columns, console=err, disable=not sys.stderr.isatty())


def _show_prewarmed(result: dict[str, Any]) -> None:
    accepted, already, failed = result["accepted"], result["already"], result["failed"]
    out.print(f"{accepted - failed} images embedded, {already} known before, {failed} failed")
    for error in result["errors"]:
        out.print(f"  [red]{escape(str(error))}[/]")
