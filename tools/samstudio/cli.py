"""The `samstudio` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from samstudio import __version__, deployment
from samstudio.commands import (
    administrators,
    bundle,
    exchange,
    fleet,
    jobs,
    playbooks,
    samples,
    secrets,
    ssrf,
    storage,
    token,
    tunnel,
)
from samstudio.commands.backup import backup
from samstudio.commands.click import click
from samstudio.commands.copy_to_postgresql import copy_to_postgresql
from samstudio.commands.doctor import doctor
from samstudio.commands.masks import masks
from samstudio.commands.metrics import metrics
from samstudio.commands.prewarm import prewarm
from samstudio.commands.register import register
from samstudio.commands.restore import restore
from samstudio.commands.rollback import rollback
from samstudio.commands.status import status
from samstudio.verbs import (
    CONNECTING,
    EPILOG,
    EVERYDAY,
    FLEETS,
    SCRIPTS,
    SECRETS,
    SETTINGS,
    Quiet,
    Traceback,
    Verb,
    Verbose,
    Verbs,
    verb,
)

app = typer.Typer(
    name="samstudio",
    cls=Verbs,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=SETTINGS,
    help="Puts SAM 2 behind Label Studio: one click in the editor gives the mask of the object.",
    epilog=EPILOG,
)
deploying = app.command(cls=Verb, context_settings=playbooks.PASS_THROUGH, rich_help_panel=EVERYDAY)
deploying(playbooks.preflight)
deploying(playbooks.deploy)
deploying(playbooks.upgrade)
verb(app, status, section=EVERYDAY)
verb(app, doctor, section=EVERYDAY)
deploying(playbooks.verify)
verb(app, backup, section=EVERYDAY)
verb(app, restore, section=EVERYDAY)
verb(app, rollback, section=EVERYDAY)
deploying(playbooks.move_to_postgresql)
verb(app, copy_to_postgresql, hidden=True)
deploying(playbooks.destroy)
verb(app, register, section=CONNECTING)
verb(app, click, section=CONNECTING)
verb(app, prewarm, section=CONNECTING)
verb(app, masks, section=CONNECTING)
verb(app, metrics, section=SCRIPTS)
for each_app, section in (
    (jobs.app, CONNECTING),
    (storage.app, CONNECTING),
    (tunnel.app, CONNECTING),
    (ssrf.app, CONNECTING),
    (fleet.app, FLEETS),
    (bundle.app, FLEETS),
    (secrets.app, SECRETS),
    (token.app, SECRETS),
    (samples.app, SCRIPTS),
    (exchange.app, SCRIPTS),
    (administrators.app, SCRIPTS),
):
    app.add_typer(each_app, rich_help_panel=section)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    config_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            envvar=deployment.CONFIG_DIR_VARIABLE,
            help=f"The folder of deployment.yml and of the secrets. Default: {deployment.DEFAULT_CONFIG_DIR}.",
        ),
    ] = None,
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    traceback: Traceback = False,
) -> None:
    deployment.use(config_dir)


def main() -> None:
    app(prog_name="samstudio")
