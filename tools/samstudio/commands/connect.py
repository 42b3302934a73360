"""`samstudio samples | register | click | ssrf`"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from samstudio import labeling_configs, ssrf
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
from samstudio.errors import SamstudioError
from samstudio.labelstudio import LabelStudio
from samstudio.output import emit, err, failures, out

if TYPE_CHECKING:
    from samstudio.registration import Request

samples_app = typer.Typer(no_args_is_help=True, help="Drawn images whose masks are known.")
ssrf_app = typer.Typer(no_args_is_help=True, help="Label Studio's guard against calls to private addresses.")


def _quiet(_: str) -> None:
    """Instead of `_say`, where nobody waits at a terminal."""


def _say(text: str) -> None:
    err.print(f"[dim]{escape(text)}[/]")


@samples_app.command("draw")
def samples_draw(
    context: typer.Context,
    folder: Annotated[Path | None, typer.Option("--dir", help="Default: samples in the images folder.")] = None,
    as_json: AsJson = False,
    check: Check = False,
) -> None:
    """Draw the sample images and samples.json. The same pixels on every machine and each run."""
    with failures(as_json=as_json):
        from samstudio import samples

        target = folder or deployment_of(context).images.host_root / samples.FOLDER
        try:
            written = samples.draw(target, check=check)
        except OSError as error:
            raise SamstudioError(
                f"The samples cannot be drawn into {target}.", found=str(error), expected="a writable folder",
                command=f"sudo samstudio samples draw --dir {target}; df -h {target.parent}",
            ) from error  # fmt: skip
        result = {"changed": bool(written), "written": written, "folder": str(target)}
        emit(result, as_json=as_json, human=lambda: out.print(f"{len(written)} files written to {target}", *written))


def register(
    context: typer.Context,
    project: ProjectId = None,
    every: Annotated[bool, typer.Option("--all", help="Connect the backend to every project.")] = False,
    title: Annotated[str, typer.Option("--title", help="Title of the project to create or adopt.")] = "",
    config_name: Annotated[
        str, typer.Option(help="Labeling config: " + " or ".join(labeling_configs.NAMES))
    ] = labeling_configs.DEFAULT,
    set_config: Annotated[bool, typer.Option("--set-config", help="Replace the project's labeling config.")] = False,
    images: Annotated[
        list[str] | None,
        typer.Option("--images-dir", metavar="NAME", help="Folder below the images folder to import; repeatable."),
    ] = None,
    label_studio_url: LabelStudioUrl = "",
    backend_url: BackendUrl = "",
    token_file: TokenFile = None,
    backend_user: BackendUser = "",
    password_file: PasswordFile = None,
    as_json: AsJson = False,
    check: Check = False,
) -> None:
    """Connect the backend to a project: labeling config, images, ML backend record. Run again, it mends and adds.

    With --label-studio-url, Label Studio may be any: drawn images are uploaded to it and clicked. It never replaces a
    labeling config unless told to, and never removes a task or an annotation.
    """
    with failures(as_json=as_json):
        from samstudio import registration

        if config_name not in labeling_configs.NAMES:
            raise SamstudioError(
                "No such labeling config.", found=config_name, expected=" or ".join(labeling_configs.NAMES)
            )
        if every and project is not None:
            raise SamstudioError("--all and --project exclude each other.", expected="one of them")
        found = deployment_of(
            context, label_studio_url=label_studio_url, backend_url=backend_url, backend_user=backend_user, title=title
        )
        request = registration.Request(
            project=project, every=every, config_name=config_name, set_config=set_config, images=images
        )
        say = _quiet if as_json else _say
        if found.described or not label_studio_url:
            password = backend_password(found, password_file)
            with studio(found, token_file) as connection:
                result = registration.register(connection, found, password, request, check=check, say=say)
        else:
            result = _register_elsewhere(found, request, backend_url, token_file, password_file, check, say)
        emit(result, as_json=as_json, human=lambda: _show_registration(result))


def _register_elsewhere(
    found: Deployment, request: Request, backend_url: str, token_file: Path | None, password_file: Path | None,
    check: bool, say: Callable[[str], None],
) -> dict[str, Any]:  # fmt: skip
    from samstudio import existing_label_studio
    from samstudio.doctor import pair

    if not backend_url:
        raise SamstudioError(
            "Where is the backend?", found="no --backend-url", expected="the address at which Label Studio reaches it",
            command="samstudio register … --backend-url http://BACKEND:9090",
        )  # fmt: skip
    described = pair.by_hand(
        found, token=api_token(found, token_file), password=backend_password(found, password_file),
        register=existing_label_studio.command(found, token_file, password_file), project=request.project,
    )  # fmt: skip
    return existing_label_studio.register(described, found, request, check=check, say=say)


def _show_registration(result: dict[str, Any]) -> None:
    for line in result["did"] or ["nothing to do"]:
        out.print(f"  {escape(line)}")
    for note in result["notes"]:
        out.print(f"  [yellow]note[/] {escape(note)}")
    for project in result["projects"]:
        if project["id"]:
            out.print(f"[bold]{escape(project['title'])}[/]  {project['url']}")
    if verified := result.get("verified"):
        out.print(
            f"[green]{len(verified['clicks'])} drawn objects clicked, each mask is right[/] "
            f"(IoU at least {verified['iou']['min']:.2f}, a click {verified['milliseconds']['median']:.0f} ms)"
        )


def click(
    context: typer.Context,
    project: ProjectId = None,
    least_iou: Annotated[float, typer.Option("--least-iou", help="Fail below this IoU.")] = 0.8,
    folder: Annotated[Path | None, typer.Option("--samples", help="Where samples.json lies.")] = None,
    summary_file: Annotated[
        Path | None, typer.Option("--summary", metavar="FILE", help="Write what was verified for the panel of deploy.")
    ] = None,
    label_studio_url: LabelStudioUrl = "",
    backend_url: BackendUrl = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Click every drawn object through Label Studio and measure the masks. Changes nothing."""
    with failures(as_json=as_json):
        from samstudio import samples, verification
        from samstudio.labelstudio import projects

        found = deployment_of(context, label_studio_url=label_studio_url, backend_url=backend_url)
        with studio(found, token_file) as connection:
            result = verification.click_samples(
                connection,
                project=project or projects.number_of(connection, found.project.title),
                folder=folder or found.images.host_root / samples.FOLDER,
                backend_url=found.backend.internal_url,
                least_iou=least_iou,
                say=_quiet if as_json else _say,
            )
            if summary_file:
                _summarise(found, connection, result, summary_file)
        emit(result, as_json=as_json, human=lambda: _show_clicks(result))


def _summarise(found: Deployment, connection: LabelStudio, result: dict[str, Any], file: Path) -> None:
    from samstudio import backend_client, summary
    from samstudio.labelstudio import projects

    settings = found.backend
    with backend_client.connect(settings.url, settings.basic_auth_user, backend_password(found)) as served:
        status = served.status()
    title = projects.by_id(connection, result["project"]).title or ""
    composed = summary.compose(
        found, version=connection.version(), status=status, title=title, verified=result
    )  # fmt: skip
    summary.write(composed, file)


def _show_clicks(result: dict[str, Any]) -> None:
    table = Table("image", "object", "IoU", "ms")
    for each in result["clicks"]:
        table.add_row(each["image"], each["shape"], f"{each['iou']:.3f}", f"{each['milliseconds']:.0f}")
    out.print(table)
    iou, took = result["iou"], result["milliseconds"]
    out.print(f"IoU min {iou['min']:.3f}, mean {iou['mean']:.3f}")
    out.print(f"first click {took['first']:.0f} ms, median {took['median']:.0f} ms")


@ssrf_app.command("show")
def ssrf_show(
    context: typer.Context,
    container: Annotated[str, typer.Option(help="Label Studio's container. Default: deployment.yml.")] = "",
    python: Annotated[Path | None, typer.Option(help="Label Studio's Python, when it has no container.")] = None,
    address: Annotated[list[str] | None, typer.Option(help="A backend's address. Default: deployment.yml.")] = None,
    as_json: AsJson = False,
) -> None:
    """Read the banned list from the Label Studio that runs, and compare it with the known one."""
    with failures(as_json=as_json):
        from samstudio.labelstudio import deployed_guard

        found = deployment_of(context)
        deployed = deployed_guard.read(container=container or found.label_studio.container, python=python)
        allowed = address or [found.backend.address]
        result = deployed_guard.report(deployed, allowed)
        emit(result, as_json=as_json, human=lambda: _show_guard(result))


@ssrf_app.command("settings")
def ssrf_settings(
    address: Annotated[list[str], typer.Option(help="A backend's address or name; repeatable.")],
    broad: Annotated[bool, typer.Option("--broad", help="No guard at all, for everyone. Think twice.")] = False,
) -> None:
    """Print the environment with which a Label Studio elsewhere reaches these backends, and nothing else private."""
    with failures():
        if broad:
            err.print(f"[yellow]warning[/] {ssrf.BROAD_WARNING}")
            settings = ssrf.broad_environment()
        else:
            settings = _narrow(address)
        for name, value in settings.items():
            typer.echo(f"{name}={value}")


def _narrow(names: list[str]) -> dict[str, str]:
    try:
        addresses = sorted({found for name in names for found in ssrf.resolved(name)})
        return ssrf.narrow_environment(ssrf.KNOWN, addresses)
    except (ValueError, OSError) as error:
        raise SamstudioError(
            "No usable address.", found=str(error), expected="the address at which Label Studio reaches the backend",
            command="samstudio ssrf settings --address 192.0.2.20",
        ) from error  # fmt: skip


def _show_guard(result: dict[str, Any]) -> None:
    on = ", ".join(name for name in ("ml", "webhooks") if result[f"guards_{name}"]) or "nothing"
    out.print(f"Label Studio {result['version']}: guards {on}")
    out.print(escape(result["difference"] or f"bans the same default list as {ssrf.KNOWN_VERSION}"))
    for each in result["addresses"]:
        refused = ", ".join(each["blocked_by"])
        out.print(f"  {each['address']}: " + (f"[red]refused by {refused}[/]" if refused else "[green]reachable[/]"))
    if result["narrow"]:
        out.print("open to exactly these addresses")
        return
    out.print("not open to exactly these addresses; for that, set in Label Studio's environment:")
    for name, value in result["wanted"].items():
        out.print(f"{name}={value}", soft_wrap=True)
