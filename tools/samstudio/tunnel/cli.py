"""`samstudio tunnel`: open, keep and register a public address for the backend; `status`; `install-agent`."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from samstudio import deployment as deployments
from samstudio.output import emit, failures
from samstudio.secret_store import API_TOKEN, BACKEND_PASSWORD, SecretStore
from samstudio.tunnel.authtoken import take_authtoken
from samstudio.tunnel.basic_auth import require_basic_auth
from samstudio.tunnel.install import install_agent
from samstudio.tunnel.state import DEFAULT_STATE, read_state

app = typer.Typer(help="A public address (ngrok) for a backend that a Label Studio elsewhere must reach.")

DEFAULT_AGENT = Path("/opt/samstudio/bin/ngrok")
AUTHTOKEN = "ngrok_authtoken"

StateFile = Annotated[Path, typer.Option("--state", help="Where the running tunnel's address is kept.")]
Backend = Annotated[
    str | None, typer.Option("--backend-url", help="The backend as this host sees it; default: deployment.yml.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")]


@app.callback(invoke_without_command=True)
def tunnel(
    context: typer.Context,
    backend: Backend = None,
    backend_user: Annotated[str | None, typer.Option(help="Basic auth user; default: deployment.yml.")] = None,
    password_file: Annotated[Path | None, typer.Option(help="The backend's; default: the deployment's secret.")] = None,
    authtoken_file: Annotated[Path | None, typer.Option(help="0600; or NGROK_AUTHTOKEN in the environment.")] = None,
    agent: Annotated[str, typer.Option(help="The ngrok agent.", envvar="SAMSTUDIO_NGROK")] = str(DEFAULT_AGENT),
    url: Annotated[str | None, typer.Option(help="A domain of your ngrok account; default: ngrok chooses.")] = None,
    label_studio: Annotated[
        str | None, typer.Option("--label-studio-url", help="The Label Studio to register the address with.")
    ] = None,
    token_file: Annotated[Path | None, typer.Option(help="0600 file with that Label Studio's API token.")] = None,
    project: Annotated[list[int] | None, typer.Option(help="Only these of its projects; default: all.")] = None,
    interval: Annotated[float, typer.Option(help="Seconds between looks at the tunnel.")] = 30.0,
    state_file: StateFile = DEFAULT_STATE,
) -> None:
    """Open the tunnel, register it, and keep it until SIGTERM or Ctrl-C.

    Never exposes a backend that answers without credentials. The authtoken is on no command line.
    """
    if context.invoked_subcommand is not None:
        return
    from samstudio.tunnel.agent import Agent  # imports pyngrok, which only this command needs
    from samstudio.tunnel.keeper import Keeper
    from samstudio.tunnel.register import registration

    with failures(), _ends_on_sigterm():
        deployment = deployments.load(context.obj)
        authtoken = take_authtoken(authtoken_file or deployment.secrets_dir / AUTHTOKEN, os.environ)
        upstream = (backend or deployment.backend.url).rstrip("/")
        user = backend_user or deployment.backend.basic_auth_user
        password = _secret(password_file or deployment.secrets_dir / BACKEND_PASSWORD)
        register = None
        if label_studio is not None:
            token = _secret(token_file or deployment.secrets_dir / API_TOKEN)
            register = registration(
                label_studio.rstrip("/"), token, user, password, only=project, title=deployment.project.title
            )
        require_basic_auth(upstream, user, password)
        with Agent(agent, authtoken, heard=lambda line: typer.echo(line, err=True)) as running:
            watch = Keeper(
                running,
                upstream,
                state_file=state_file,
                say=typer.echo,
                wanted_url=url,
                label_studio=label_studio,
                register=register,
            )
            watch.open()
            watch.run(interval)


@app.command()
def status(state_file: StateFile = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Say whether a tunnel is open, and its address; exit code 1 when none is."""
    state = read_state(state_file)
    emit(
        {"open": state is not None, **(asdict(state) if state else {})},
        as_json=as_json,
        human=lambda: typer.echo(f"{state.url} -> {state.backend}" if state else "No tunnel is open."),
    )
    raise typer.Exit(0 if state else 1)


@app.command(name="install-agent")
def install_agent_command(
    source: Annotated[str, typer.Option(help="URL or file of the agent's .tgz or .zip archive.")],
    sha256: Annotated[str, typer.Option(help="The archive's sha256; nothing else is installed.")],
    agent: Annotated[Path, typer.Option(help="Where to put the agent.")] = DEFAULT_AGENT,
) -> None:
    """Install the ngrok agent from an archive whose sha256 you know."""
    with failures():
        install_agent(source, sha256, agent)
    typer.echo(f"Installed {agent}.")


def _secret(file: Path) -> str:
    return SecretStore(file.parent).read(file.name)


@contextmanager
def _ends_on_sigterm() -> Iterator[None]:
    """SIGTERM ends like Ctrl-C, so that the agent is ended too: interpreter exit alone would leave it running."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("Tunnel closed.")
    finally:
        signal.signal(signal.SIGTERM, before)
