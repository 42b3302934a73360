"""The `samstudio` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from samstudio import __version__
from samstudio.commands import bundle, connect, fleet, playbooks, secrets, watch
from samstudio.deployment import CONFIG_DIR_VARIABLE, DEFAULT_CONFIG_DIR
from samstudio.doctor.cli import doctor
from samstudio.tunnel.cli import app as tunnel

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False, help="SAM 2 behind Label Studio."
)
app.add_typer(secrets.secrets_app, name="secrets")
app.add_typer(secrets.token_app, name="token")
app.add_typer(connect.samples_app, name="samples")
app.add_typer(connect.ssrf_app, name="ssrf")
app.add_typer(fleet.app, name="backends")
app.command()(connect.register)
app.command()(connect.click)
app.command()(watch.status)
app.command()(watch.prewarm)
app.command()(doctor)
app.add_typer(tunnel, name="tunnel")
for verb in (playbooks.preflight, playbooks.deploy, playbooks.verify, playbooks.destroy, bundle.bundle):
    app.command(context_settings=playbooks.PASS_THROUGH)(verb)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    config_dir: Annotated[
        Path | None,
        typer.Option(envvar=CONFIG_DIR_VARIABLE, help=f"Where deployment.yml is. Default: {DEFAULT_CONFIG_DIR}."),
    ] = None,
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    context.obj = config_dir


def main() -> None:
    app()
