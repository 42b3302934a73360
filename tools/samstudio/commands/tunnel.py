"""`samstudio tunnel …`: open, keep and register a public address for the backend."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from samstudio import files
from samstudio.commands.common import AsJson, BackendUser, PasswordFile, backend_password, deployment_of, mended
from samstudio.errors import NothingToLookAt, SamstudioError, WrongCommandLine
from samstudio.labelstudio.own_records import NAME, OwnRecords
from samstudio.output import emit, err
from samstudio.secret_store import API_TOKEN, SecretStore
from samstudio.tunnel.authtoken import take_authtoken
from samstudio.tunnel.basic_auth import require_basic_auth
from samstudio.tunnel.install import install_agent
from samstudio.tunnel.state import DEFAULT_STATE, TunnelState, forget_state, read_state
from samstudio.verbs import group, verb

app = group("tunnel", "Gives the backend a public address (ngrok), for a Label Studio that cannot reach it otherwise.")

DEFAULT_AGENT = Path("/opt/samstudio/bin/ngrok")
AUTHTOKEN = "ngrok_authtoken"
SERVICE = "samstudio-tunnel.service"
CLOSE_SECONDS = 30

StateFile = Annotated[
    Path, typer.Option("--state", metavar="FILE", help="Where the running tunnel writes its address down.")
]


def open_tunnel(
    backend_url: Annotated[
        str, typer.Option(metavar="URL", help="The backend as this host sees it. Default: deployment.yml.")
    ] = "",
    backend_user: BackendUser = "",
    password_file: PasswordFile = None,
    authtoken_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A 0600 file with ngrok's authtoken. Default: $NGROK_AUTHTOKEN.")
    ] = None,
    agent: Annotated[str, typer.Option(metavar="FILE", help="The ngrok agent.", envvar="SAMSTUDIO_NGROK")] = str(
        DEFAULT_AGENT
    ),
    url: Annotated[
        str, typer.Option(metavar="URL", help="An address of your ngrok account. Default: ngrok chooses one.")
    ] = "",
    label_studio_url: Annotated[
        str, typer.Option(metavar="URL", help="The Label Studio that is told the address.")
    ] = "",
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A 0600 file with that Label Studio's API token.")
    ] = None,
    project: Annotated[
        list[int] | None, typer.Option(metavar="ID", help="A project to connect; repeat it for several.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Connect every project that shows an image.")] = False,
    interval: Annotated[float, typer.Option(metavar="SECONDS", help="Time between looks at the tunnel.")] = 30.0,
    state_file: StateFile = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Opens the tunnel, tells Label Studio the address, and keeps both until Ctrl-C or SIGTERM.

    It never opens a tunnel to a backend that answers without a password. The authtoken is on no command line. With
    --json, it prints one object once the tunnel is open, and goes on.

    \b
    Example:
      samstudio tunnel open --label-studio-url https://label-studio.example.com --token-file token --project 3
    """
    from samstudio.tunnel.agent import Agent  # imports pyngrok, which only this command needs
    from samstudio.tunnel.announce import registering
    from samstudio.tunnel.keeper import Keeper

    if label_studio_url and not project and not every:
        raise WrongCommandLine(
            "Which projects shall be connected to the backend?",
            found="neither --project nor --all",
            expected="--project ID (repeat it for several), or --all for every project that shows an image",
            command=f"samstudio tunnel open --label-studio-url {label_studio_url} --project ID",
        )
    if project and every:
        raise WrongCommandLine("--all and --project exclude each other.", expected="one of them")

    def say(text: str) -> None:
        typer.echo(text, err=as_json)

    with _ends_on_sigterm(say):
        found = deployment_of(backend_user=backend_user)
        _require_writable(state_file)
        authtoken = take_authtoken(authtoken_file or found.secrets_dir / AUTHTOKEN, os.environ)
        upstream = mended(backend_url, "--backend-url", 9090) if backend_url else found.backend.url
        user, password = found.backend.basic_auth_user, backend_password(found, password_file)
        register = None
        if label_studio_url:
            studio = mended(label_studio_url, "--label-studio-url", 8080)
            file = token_file or found.secrets_dir / API_TOKEN
            register = registering(
                studio,
                SecretStore(file.parent).read(file.name),
                user,
                password,
                only=project or (),
                title=found.project.title,
                records=OwnRecords(state_file.with_name(NAME)),
            )
        require_basic_auth(upstream, user, password)
        with Agent(agent, authtoken, heard=_hear) as running:
            keeper = Keeper(
                running,
                upstream,
                state_file=state_file,
                say=say,
                wanted_url=url or None,
                label_studio=label_studio_url or None,
                register=register,
            )
            opened = {"changed": True, "open": True, "wrong": "", **asdict(keeper.open())}
            emit(opened, as_json=as_json, human=lambda: None)
            keeper.run(interval)


def status(state_file: StateFile = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Says whether a tunnel is open and where. It looks for the process, and asks the public address.

    The exit code is 0 when the backend answers at the public address, 1 when it does not, 3 when there is no tunnel.

    \b
    Example:
      samstudio tunnel status --json
    """
    state = read_state(state_file)
    if state is None:
        raise NothingToLookAt(
            "No tunnel is open.",
            found=f"no {state_file}",
            expected="a running tunnel",
            command="samstudio tunnel open …",
        )
    kept = state.is_kept
    wrong = state.answer() if kept else f"its process {state.process} has ended without closing it"
    result: dict[str, Any] = {"changed": False, "open": kept and not wrong, "wrong": wrong, **asdict(state)}

    def human() -> None:
        typer.echo(f"{state.url} -> {state.backend}" if not wrong else f"The tunnel {state.url} is not open: {wrong}.")

    emit(result, as_json=as_json, human=human)
    if wrong:
        raise typer.Exit(1)


def close(state_file: StateFile = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Closes the tunnel that runs on this host, and what one that was killed has left.

    \b
    Example:
      samstudio tunnel close
    """
    state = read_state(state_file)
    if state is None:
        emit({"changed": False, "closed": ""}, as_json=as_json, human=lambda: typer.echo("No tunnel is open."))
        return
    for process in state.running:
        _end(state, process)
    forget_state(state_file)
    emit({"changed": True, "closed": state.url}, as_json=as_json, human=lambda: typer.echo(f"Closed {state.url}."))


def _end(state: TunnelState, process: int) -> None:
    if process not in state.running:  # ended with the one before
        return
    if SERVICE in Path(f"/proc/{process}/cgroup").read_text():
        raise SamstudioError(
            "The tunnel is kept by systemd.",
            found=SERVICE,
            expected="systemd to stop it",
            command=f"sudo systemctl stop {SERVICE}   # disable it as well, or it is back after a reboot",
        )
    os.kill(process, signal.SIGTERM)
    end = time.monotonic() + CLOSE_SECONDS
    while process in state.running:
        if time.monotonic() > end:
            raise SamstudioError(
                "The tunnel does not end.",
                found=f"process {process} still runs after {CLOSE_SECONDS} s",
                expected="it to end on SIGTERM",
                command=f"kill -KILL {process}",
            )
        time.sleep(0.1)


def install_agent_command(
    source: Annotated[str, typer.Option(metavar="ARCHIVE", help="URL or file of the agent's .tgz or .zip archive.")],
    sha256: Annotated[str, typer.Option(metavar="SUM", help="The archive's sha256; nothing else is installed.")],
    agent: Annotated[Path, typer.Option(metavar="FILE", help="Where to put the agent.")] = DEFAULT_AGENT,
    as_json: AsJson = False,
) -> None:
    """Installs the ngrok agent from an archive whose sha256 you know.

    \b
    Example:
      samstudio tunnel install-agent --source ngrok-v3-stable-linux-amd64.tgz --sha256 SUM
    """
    install_agent(source, sha256, agent)
    result = {"changed": True, "agent": str(agent)}
    emit(result, as_json=as_json, human=lambda: typer.echo(f"Installed {agent}."))


def _require_writable(state_file: Path) -> None:
    """Before anybody is told the address: a tunnel that nobody can ask for is not opened."""
    try:
        state_file.parent.mkdir(parents=True, exist_ok=True)
        refused = files.refusal(state_file)
    except OSError as error:
        refused = str(error)
    if refused:
        raise SamstudioError(
            "Where the tunnel writes its address down is not writable.",
            found=refused,
            expected=f"to be able to write {state_file}",
            command="sudo samstudio tunnel open …   # or write it elsewhere with --state FILE",
        )


def _hear(line: str) -> None:
    if not err.quiet:
        typer.echo(line, err=True)


@contextmanager
def _ends_on_sigterm(say: Callable[[str], None]) -> Iterator[None]:
    """SIGTERM ends like Ctrl-C, so that the agent is ended too: interpreter exit alone would leave it running."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        say("Tunnel closed.")
    finally:
        signal.signal(signal.SIGTERM, before)


verb(app, open_tunnel, name="open")
verb(app, status)
verb(app, close)
verb(app, install_agent_command, name="install-agent")
