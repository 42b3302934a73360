"""`samstudio backends …`: the backends of a fleet, on Label Studio's host."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from samstudio import balancer
from samstudio.balancer import Balancer, Server
from samstudio.commands.common import AsJson, backend_password, deployment_of, studio
from samstudio.deployment import Deployment
from samstudio.errors import NothingToLookAt, SamstudioError
from samstudio.output import emit, out, say
from samstudio.verbs import group, verb

app = group("backends", "Shows the backends of a fleet, tries each, and takes one out of service and back.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="As backends list shows it.")]
Seconds = Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="How long to wait at most.")]


def list_backends(as_json: AsJson = False) -> None:
    """Lists the backends as the balancer sees them. The exit code is 1 unless every one is up.

    \b
    Example:
      samstudio backends list
    """
    servers = _balancer(deployment_of()).servers()
    if not servers:
        raise NothingToLookAt(
            "The balancer has no backend.",
            link="balancer",
            found="no backend",
            expected="a host of the group sam2_hosts",
            command="./samstudio deploy",
        )
    healthy = all(server.up for server in servers)
    result = {"changed": False, "healthy": healthy, "backends": [asdict(server) for server in servers]}
    emit(result, as_json=as_json, human=lambda: _show(servers))
    if not healthy:
        raise typer.Exit(1)


def _show(servers: list[Server]) -> None:
    table = Table("backend", "address", "state", "in progress", "since start", "GPU")
    for each in servers:
        state = f"[{'green' if each.up else 'red'}]{each.state}[/]"
        table.add_row(each.name, each.address, state, str(each.active), str(each.served), each.card or "-")
    out.print(table)


def drain(name: Name, seconds: Seconds = 120, as_json: AsJson = False) -> None:
    """Sends a backend no new clicks, and waits until its last one has ended. The others take over its tasks.

    \b
    Example:
      samstudio backends drain gpu2
    """
    changed = _balancer(deployment_of()).drain(name, seconds)
    emit({"changed": changed, "name": name}, as_json=as_json, human=lambda: out.print(f"{name} gets no clicks"))


def admit(name: Name, seconds: Seconds = 60, as_json: AsJson = False) -> None:
    """Sends a drained backend clicks again, and waits until it is healthy.

    \b
    Example:
      samstudio backends admit gpu2
    """
    changed = _balancer(deployment_of()).admit(name, seconds)
    emit({"changed": changed, "name": name}, as_json=as_json, human=lambda: out.print(f"{name} gets clicks"))


def click(name: Name, as_json: AsJson = False) -> None:
    """Clicks every drawn object at this very backend, past Label Studio and the balancer, and measures the masks.

    The exit code is 3 when there is nothing to click, because no project was registered yet.

    \b
    Example:
      samstudio backends click gpu2
    """
    from samstudio import backend_client, samples, verification
    from samstudio.labelstudio import projects

    found = deployment_of()
    address = _balancer(found).server(name).address
    with studio(found) as connection:
        project = projects.by_title(connection, found.project.title)
        if project is None:
            raise NothingToLookAt(
                f"Nothing was clicked at {name}: there is no project with the drawn samples.",
                link="label-studio",
                found=f"no project {found.project.title!r}",
                expected="the quick start's project",
                command="samstudio register",
            )
        user, password = found.backend.basic_auth_user, backend_password(found)
        with backend_client.connect(f"http://{address}", user, password) as served:
            result = verification.click_samples(
                connection,
                project=int(project.id or 0),
                folder=found.images.host_root / samples.FOLDER,
                served=served,
                say=say,
            )
    emit(result, as_json=as_json, human=lambda: out.print(f"{name}: {len(result['clicks'])} right masks"))


def _balancer(found: Deployment) -> Balancer:
    there = balancer.before(found)
    if there is None:
        raise SamstudioError(
            "There is no balancer here.",
            found="no balancer: in deployment.yml",
            expected="Label Studio's host, with several backends: on other hosts, or on GPUs of its own",
            command="samstudio status",
        )
    return there


verb(app, list_backends, name="list")
verb(app, click)
verb(app, drain)
verb(app, admit)
