"""`samstudio click`"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from samstudio.commands.common import (
    AsJson,
    BackendUrl,
    LabelStudioUrl,
    ProjectId,
    TokenFile,
    backend_password,
    deployment_of,
    studio,
)
from samstudio.deployment import Deployment
from samstudio.labelstudio import LabelStudio
from samstudio.output import emit, out, say


def click(
    project: ProjectId = None,
    least_iou: Annotated[
        float, typer.Option("--least-iou", metavar="IOU", help="Fail when a mask overlaps its object less than this.")
    ] = 0.8,
    folder: Annotated[
        Path | None, typer.Option("--samples", metavar="FOLDER", help="Where samples.json is. Default: this host's.")
    ] = None,
    summary: Annotated[bool, typer.Option("--summary", hidden=True, help="Add what deploy shows.")] = False,
    label_studio_url: LabelStudioUrl = "",
    backend_url: BackendUrl = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Clicks every drawn object through Label Studio and compares each mask with the drawing. It changes nothing.

    \b
    Example:
      samstudio click
      samstudio click --project 3 --label-studio-url http://LABEL-STUDIO:8080 --backend-url http://BACKEND:9090 \\
        --token-file token
    """
    from samstudio import samples, verification
    from samstudio.labelstudio import projects

    found = deployment_of(label_studio_url=label_studio_url, backend_url=backend_url)
    with ExitStack() as stack:
        connection = stack.enter_context(studio(found, token_file))
        if folder is None and not found.described:  # a Label Studio elsewhere has the same samples, uploaded
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            samples.draw(folder)
        result = verification.click_samples(
            connection,
            project=project or projects.number_of(connection, found.project.title),
            folder=folder or found.images.host_root / samples.FOLDER,
            backend_url=found.backend.internal_url,
            least_iou=least_iou,
            say=say,
        )
        if summary:
            result["summary"] = _summary(found, connection, result)
    emit(result, as_json=as_json, human=lambda: _show(result))


def _summary(found: Deployment, connection: LabelStudio, result: dict[str, Any]) -> dict[str, Any]:
    from samstudio import backend_client, summary
    from samstudio.labelstudio import projects

    settings = found.backend
    with backend_client.connect(settings.url, settings.basic_auth_user, backend_password(found)) as served:
        status = served.status()
    title = projects.by_id(connection, result["project"]).title or ""
    return summary.compose(found, version=connection.version(), status=status, title=title, verified=result)


def _show(result: dict[str, Any]) -> None:
    table = Table("image", "object", "IoU", "ms")
    for each in result["clicks"]:
        table.add_row(each["image"], each["shape"], f"{each['iou']:.3f}", f"{each['milliseconds']:.0f}")
    out.print(table)
    iou, took = result["iou"], result["milliseconds"]
    out.print(f"IoU min {iou['min']:.3f}, mean {iou['mean']:.3f}")
    out.print(f"first click {took['first']:.0f} ms, median {took['median']:.0f} ms")
