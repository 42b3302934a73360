"""`samstudio register`"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from samstudio import labeling_configs
from samstudio.commands.common import (
    AsJson,
    BackendUrl,
    BackendUser,
    Check,
    LabelStudioUrl,
    PasswordFile,
    ProjectId,
    TokenFile,
    api_token,
    backend_password,
    deployment_of,
    studio,
)
from samstudio.deployment import Deployment
from samstudio.errors import WrongCommandLine
from samstudio.output import emit, out, say, typed

if TYPE_CHECKING:
    from samstudio.registration import Request


def register(
    project: ProjectId = None,
    every: Annotated[
        bool, typer.Option("--all", help="Connect the backend to every project that shows an image.")
    ] = False,
    title: Annotated[
        str, typer.Option("--title", metavar="TITLE", help="Title of the project to create or adopt.")
    ] = "",
    config_name: Annotated[
        str, typer.Option(metavar="NAME", help="Labeling config: " + " or ".join(labeling_configs.NAMES) + ".")
    ] = labeling_configs.DEFAULT,
    set_config: Annotated[bool, typer.Option("--set-config", help="Replace the project's labeling config.")] = False,
    images: Annotated[
        list[str] | None,
        typer.Option("--images-dir", metavar="NAME", help="A folder below the images folder to import; repeatable."),
    ] = None,
    label_studio_url: LabelStudioUrl = "",
    backend_url: BackendUrl = "",
    token_file: TokenFile = None,
    backend_user: BackendUser = "",
    password_file: PasswordFile = None,
    as_json: AsJson = False,
    check: Check = False,
) -> None:
    """Connects the backend to a project: labeling config, images and ML backend record. Run again, it mends and adds.

    It creates the quick start's project unless --project or --all name others. With --label-studio-url, it may be any
    Label Studio: drawn images are uploaded to a project of its own and clicked. A labeling config is never replaced
    without --set-config, and no task, annotation or record of others is ever changed.

    \b
    Example:
      samstudio register --project 3
      samstudio register --label-studio-url http://LABEL-STUDIO:8080 --backend-url http://BACKEND:9090 \\
        --token-file token --password-file password
    """
    from samstudio import registration

    if config_name not in labeling_configs.NAMES:
        known = " or ".join(labeling_configs.NAMES)
        raise WrongCommandLine("There is no such labeling config.", found=config_name, expected=known)
    if every and project is not None:
        raise WrongCommandLine("--all and --project exclude each other.", expected="one of them")
    found = deployment_of(
        label_studio_url=label_studio_url, backend_url=backend_url, backend_user=backend_user, title=title
    )
    request = registration.Request(
        project=project, every=every, config_name=config_name, set_config=set_config, images=images
    )
    if found.described or not label_studio_url:
        password = backend_password(found, password_file)
        with studio(found, token_file) as connection:
            result = registration.register(connection, found, password, request, check=check, say=say)
    else:
        result = _register_existing(found, request, backend_url, token_file, password_file, check, say)
    emit(result, as_json=as_json, human=lambda: _show(result))
    if result["failed"]:
        raise typer.Exit(1)


def _register_existing(
    found: Deployment,
    request: Request,
    backend_url: str,
    token_file: Path | None,
    password_file: Path | None,
    check: bool,
    say: Callable[[str], None],
) -> dict[str, Any]:
    from samstudio import existing_label_studio
    from samstudio.doctor import pair

    if not backend_url:
        raise WrongCommandLine(
            "Where is the backend?",
            found="no --backend-url",
            expected="the address at which Label Studio reaches it",
            command="samstudio register … --backend-url http://BACKEND:9090",
        )
    described = pair.by_hand(
        found,
        token=api_token(found, token_file),
        password=backend_password(found, password_file),
        register=existing_label_studio.command(found, token_file, password_file),
        project=request.project,
    )
    return existing_label_studio.register(described, found, request, check=check, say=say)


def _show(result: dict[str, Any]) -> None:
    for line in result["did"] or ["nothing to do"]:
        out.print(f"  {escape(line)}")
    for note in result["notes"]:
        out.print(f"  [yellow]note[/] {escape(typed(note))}")
    for project in result["projects"]:
        if project["error"]:
            _show_failure(project)
        elif project["id"]:
            out.print(f"[bold]{escape(project['title'])}[/]  {project['url']}")
    if verified := result.get("verified"):
        out.print(
            f"[green]{len(verified['clicks'])} drawn objects clicked, each mask is right[/] "
            f"(IoU at least {verified['iou']['min']:.2f}, a click {verified['milliseconds']['median']:.0f} ms)"
        )


def _show_failure(project: dict[str, Any]) -> None:
    error = project["error"]
    out.print(f"[red]project {project['id']}, {escape(project['title'])}:[/] {escape(error['message'])}")
    for name, text in error.items():
        if name != "message":
            out.print(f"  [dim]{name + ':':10}[/]{escape(typed(text))}")
