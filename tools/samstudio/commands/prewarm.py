"""`samstudio prewarm`"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

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
from samstudio.output import emit, err, out


def prewarm(
    project: Annotated[int, typer.Argument(metavar="PROJECT", help="The project's id.")],
    label_studio_url: LabelStudioUrl = "",
    backend_url: Annotated[
        str, typer.Option(metavar="URL", help="The backend as this machine reaches it. Default: deployment.yml.")
    ] = "",
    token_file: TokenFile = None,
    backend_user: BackendUser = "",
    password_file: PasswordFile = None,
    as_json: AsJson = False,
) -> None:
    """Has a project's images embedded ahead of the first click, and waits until that is done.

    The backend does the work and goes on by itself: Ctrl-C ends the waiting only, and running it again waits on. The
    exit code is 1 when an image could not be embedded, and 3 when the project has no task.

    \b
    Example:
      samstudio prewarm 3
    """
    from samstudio import backend_client, balancer
    from samstudio import prewarm as warming

    found = deployment_of(label_studio_url=label_studio_url, backend_user=backend_user)
    url = mended(backend_url, "--backend-url", 9090) if backend_url else found.backend.url
    user, password = found.backend.basic_auth_user, backend_password(found, password_file)
    with ExitStack() as stack:
        connection = stack.enter_context(studio(found, token_file))
        served = stack.enter_context(backend_client.connect(url, user, password))
        servers = [] if backend_url else [each for each in balancer.of(found) if each.up]
        fleet = [
            stack.enter_context(backend_client.connect(f"http://{server.address}", user, password))
            for server in servers
        ]
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
    problem = warming.problem(result)
    emit(result, as_json=as_json, human=lambda: _show(result, problem))
    if problem:
        raise typer.Exit(1)


def _bar() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=err, disable=not sys.stderr.isatty())


def _show(result: dict[str, Any], problem: str) -> None:
    out.print(f"{result['embedded']} images embedded, {result['already']} known before, {result['failed']} failed")
    unseen = result["tasks"] - result["accepted"] - result["already"]
    if unseen > 0:
        out.print(f"{unseen} of {result['tasks']} tasks have no image of their own that the backend could find")
    for error in result["errors"]:
        out.print(f"  [red]{escape(str(error))}[/]")
    if problem:
        out.print(f"[red]{escape(problem)}[/]")
