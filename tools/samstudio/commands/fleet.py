"""`samstudio backends …`: the backends of a fleet, on Label Studio's host."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from samstudio.balancer import Balancer
from samstudio.commands.common import AsJson, backend_password, deployment_of, studio
from samstudio.deployment import Deployment
from samstudio.errors import SamstudioError
from samstudio.output import emit, failures, out

app = typer.Typer(help="The backends of a fleet: which of them get clicks, and whether each returns the right masks.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The host's name in the inventory.")]
Seconds = Annotated[float, typer.Option("--timeout", metavar="SECONDS")]


@app.callback(invoke_without_command=True)
def show(context: typer.Context, as_json: AsJson = False) -> None:
    """List them as the balancer sees them."""
    if context.invoked_subcommand:
        return
    with failures(as_json=as_json):
        servers = _balancer(deployment_of(context)).servers()
        result = {"changed": False, "backends": [asdict(server) for server in servers]}
        emit(result, as_json=as_json, human=lambda: _show(result["backends"]))


def _show(servers: Any) -> None:
    table = Table("backend", "address", "state", "in progress", "since start")
    for each in servers:
        colour = "green" if each["state"].startswith("UP") else "red"
        table.add_row(
            each["name"], each["address"], f"[{colour}]{each['state']}[/]", str(each["active"]), str(each["served"])
        )
    out.print(table)


@app.command()
def drain(context: typer.Context, name: Name, seconds: Seconds = 120, as_json: AsJson = False) -> None:
    """Send a backend no new clicks, and wait until its last one has ended. Others take over its tasks."""
    with failures(as_json=as_json):
        changed = _balancer(deployment_of(context)).drain(name, seconds)
        emit({"changed": changed, "name": name}, as_json=as_json, human=lambda: out.print(f"{name} gets no clicks"))


@app.command()
def admit(context: typer.Context, name: Name, seconds: Seconds = 60, as_json: AsJson = False) -> None:
    """Send a drained backend clicks again, once it is healthy."""
    with failures(as_json=as_json):
        changed = _balancer(deployment_of(context)).admit(name, seconds)
        emit({"changed": changed, "name": name}, as_json=as_json, human=lambda: out.print(f"{name} gets clicks"))


@app.command()
def click(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Click every drawn object at this very backend, past Label Studio and the balancer, and measure the masks."""
    with failures(as_json=as_json):
        from samstudio import backend_client, samples, verification
        from samstudio.labelstudio import projects

        found = deployment_of(context)
        address = _balancer(found).server(name).address
        with studio(found) as connection:
            project = projects.by_title(connection, found.project.title)
            if project is None:
                result: dict[str, Any] = {"changed": False, "clicks": []}
            else:
                user, password = found.backend.basic_auth_user, backend_password(found)
                with backend_client.connect(f"http://{address}", user, password) as served:
                    result = verification.click_samples(
                        connection, project=int(project.id or 0), folder=found.images.host_root / samples.FOLDER,
                        served=served,
                    )  # fmt: skip
        emit(result, as_json=as_json, human=lambda: out.print(f"{name}: {len(result['clicks'])} right masks"))


def _balancer(found: Deployment) -> Balancer:
    if not found.balancer.socket:
        raise SamstudioError(
            "There is no balancer here.", found="no balancer: in deployment.yml",
            expected="Label Studio's host, with a backend on another host", command="samstudio status",
        )  # fmt: skip
    return Balancer(Path(found.balancer.socket))
