"""`samstudio samples …`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from samstudio.commands.common import AsJson, Check, deployment_of
from samstudio.errors import SamstudioError
from samstudio.output import emit, out
from samstudio.verbs import group, verb

app = group("samples", "Draws the images that verification clicks, whose masks are known.")


def draw(
    folder: Annotated[
        Path | None,
        typer.Option("--dir", metavar="FOLDER", help="The folder to draw into. Default: samples in the images folder."),
    ] = None,
    as_json: AsJson = False,
    check: Check = False,
) -> None:
    """Draws the sample images and samples.json: the same pixels on every machine and each run.

    \b
    Example:
      samstudio samples draw --dir ./samples
    """
    from samstudio import samples

    target = folder or deployment_of().images.host_root / samples.FOLDER
    try:
        written = samples.draw(target, check=check)
    except OSError as error:
        raise SamstudioError(
            f"The samples cannot be drawn into {target}.",
            found=str(error),
            expected="a writable folder",
            command=f"sudo samstudio samples draw --dir {target}; df -h {target.parent}",
        ) from error
    result = {"changed": bool(written), "written": written, "folder": str(target)}
    emit(result, as_json=as_json, human=lambda: out.print(f"{len(written)} files written to {target}", *written))


verb(app, draw)
