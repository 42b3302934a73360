"""`samstudio ssrf …`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from samstudio import ssrf
from samstudio.commands.common import AsJson, deployment_of
from samstudio.errors import SamstudioError
from samstudio.output import emit, err, out
from samstudio.verbs import group, verb

app = group("ssrf", "Shows Label Studio's guard against calls to private addresses, and how to open it for a backend.")


def show(
    container: Annotated[
        str, typer.Option(metavar="NAME", help="Label Studio's container. Default: deployment.yml.")
    ] = "",
    python: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The Python that Label Studio runs in, without a container.")
    ] = None,
    address: Annotated[
        list[str] | None, typer.Option(metavar="ADDRESS", help="A backend's address. Default: deployment.yml.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Reads the banned list of the Label Studio that runs, and says whether it lets the backend through.

    \b
    Example:
      samstudio ssrf show --address 192.0.2.20
    """
    from samstudio.labelstudio import deployed_guard

    found = deployment_of()
    deployed = deployed_guard.read(container=container or found.label_studio.container, python=python)
    result = deployed_guard.report(deployed, address or [found.backend.address])
    emit(result, as_json=as_json, human=lambda: _show(result))


def settings(
    address: Annotated[
        list[str], typer.Option(metavar="ADDRESS", help="A backend's address or name; repeat it for several.")
    ],
    broad: Annotated[bool, typer.Option("--broad", help="No guard at all, for everyone. Think twice.")] = False,
    as_json: AsJson = False,
) -> None:
    """Prints the environment with which a Label Studio reaches these backends, and nothing else that is private.

    \b
    Example:
      samstudio ssrf settings --address 192.0.2.20
    """
    if broad:
        err.print(f"[yellow]warning[/] {ssrf.BROAD_WARNING}")
        environment = ssrf.broad_environment()
    else:
        environment = _narrow(address)

    def human() -> None:
        for name, value in environment.items():
            typer.echo(f"{name}={value}")

    emit({"changed": False, "environment": environment}, as_json=as_json, human=human)


def _narrow(names: list[str]) -> dict[str, str]:
    try:
        addresses = sorted({found for name in names for found in ssrf.resolved(name)})
        return ssrf.narrow_environment(ssrf.KNOWN, addresses)
    except (ValueError, OSError) as error:
        raise SamstudioError(
            "No usable address.",
            found=str(error),
            expected="the address at which Label Studio reaches the backend",
            command="samstudio ssrf settings --address 192.0.2.20",
        ) from error


def _show(result: dict[str, Any]) -> None:
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
        out.print(f"{name}={value}")


verb(app, settings)
verb(app, show)
