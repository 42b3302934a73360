"""`samstudio prewarm`"""

from __future__ import annotations

from typing import Any

import typer
from rich.markup import escape

from samstudio.commands.common import (
    AsJson,
    BackendUser,
    LabelStudioUrl,
    PasswordFile,
    ProjectNumber,
    ReachedBackendUrl,
    TokenFile,
    connected,
    deployment_of,
)
from samstudio.output import bar, emit, err, out


def prewarm(
    project: ProjectNumber,
    label_studio_url: LabelStudioUrl = "",
    backend_url: ReachedBackendUrl = "",
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
    from samstudio import prewarm as warming

    found = deployment_of(label_studio_url=label_studio_url, backend_user=backend_user)
    with connected(found, backend_url, token_file, password_file) as servers, bar() as shown:
        row = shown.add_task(f"project {project}", total=None, rate="")

        def show(done: int, total: int, failed: int, rate: float) -> None:
            shown.update(row, completed=done + failed, total=total, rate=f"{rate:.1f} images/s")

        try:
            result = warming.prewarm(servers.studio, servers.backend, project, progress=show, fleet=servers.fleet)
        except KeyboardInterrupt:
            shown.stop()
            err.print(f"The backend goes on by itself; samstudio prewarm {project} shows how far it is.")
            raise typer.Exit(130) from None
    problem = warming.problem(result)
    emit(result, as_json=as_json, human=lambda: _show(result, problem))
    if problem:
        raise typer.Exit(1)


def _show(result: dict[str, Any], problem: str) -> None:
    out.print(f"{result['embedded']} images embedded, {result['already']} known before, {result['failed']} failed")
    unseen = result["tasks"] - result["accepted"] - result["already"]
    if unseen > 0:
        out.print(f"{unseen} of {result['tasks']} tasks have no image of their own that the backend could find")
    for error in result["errors"]:
        out.print(f"  [red]{escape(str(error))}[/]")
    if problem:
        out.print(f"[red]{escape(problem)}[/]")
