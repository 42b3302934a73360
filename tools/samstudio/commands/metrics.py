"""`samstudio metrics`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from samstudio.commands.common import AsJson, api_token, backend_password, deployment_here
from samstudio.output import emit, err, out


def metrics(
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", metavar="FILE", help="Write them there at once, for a node exporter's textfile collector."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Clicks every drawn object and prints what Prometheus is to know: clicks, backups, certificates, images.

    What cannot be looked at is told as the worst. The exit code is 0 once everything is told, good or bad. With --to,
    the file that was there tells when a click was last right.

    \b
    Example:
      sudo samstudio metrics
      sudo samstudio metrics --to /var/lib/samstudio/metrics/samstudio.prom
    """
    from samstudio import files
    from samstudio.labelstudio import connect
    from samstudio.watching import exposition
    from samstudio.watching.collect import HELPS, collect

    found = deployment_here(
        expected="to run on the host that Label Studio was deployed to", command="./samstudio deploy   # makes one"
    )
    before = exposition.read(to) if to else []
    told, wrong = collect(
        found,
        lambda: connect(found.label_studio.url, api_token(found)),
        lambda: backend_password(found),
        before,
    )
    text = exposition.render(told, HELPS)
    if to:
        files.keep(to, text, what="What Prometheus is to know", mode=0o644)
    result: dict[str, Any] = {
        "changed": bool(to),
        "file": str(to or ""),
        "wrong": wrong,
        "metrics": [{"name": each.name, "labels": dict(each.labels), "value": each.value} for each in told],
    }
    emit(result, as_json=as_json, human=lambda: None if to else out.print(escape(text), highlight=False))
    for sentence in wrong:
        err.print(f"[red]wrong[/] {escape(sentence)}", highlight=False)
