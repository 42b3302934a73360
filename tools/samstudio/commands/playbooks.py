"""`samstudio preflight | deploy | verify | destroy`, on the control machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from typing import Annotated

import typer

from samstudio import playbooks, summary
from samstudio.errors import SamstudioError
from samstudio.output import err, failures, out

#: -i, --check, --diff, --tags, --limit, -e, -v and whatever else ansible-playbook knows
PASS_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True}


def preflight(context: typer.Context) -> None:
    """What was found, what will be used, what to change. Changes nothing. Further arguments go to ansible-playbook."""
    run("preflight", context.args)


def deploy(
    context: typer.Context,
    reconsider: Annotated[
        bool, typer.Option("--reconsider", help="Choose sources anew instead of keeping what the first deploy chose.")
    ] = False,
) -> None:
    """From a bare host to a proven click. Run again, it mends and never rotates secrets or loses annotations.

    Further arguments go to ansible-playbook: -i INVENTORY, --check, --diff, --tags, --limit, -e, -v.
    """
    started = time.time()
    run("deploy", [*(playbooks.RECONSIDER if reconsider else ()), *context.args])
    with failures():
        found = summary.read(newer_than=started)
        if found and "--check" not in context.args:
            out.print(summary.panel(found))


def verify(context: typer.Context) -> None:
    """Health, connection, and a click on each drawn object. Changes nothing."""
    run("verify", context.args)


def destroy(
    context: typer.Context,
    data: Annotated[
        bool, typer.Option("--data", help="Remove annotations, images, models and secrets as well.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove containers, network and tools. Keeps the data, and says where it is, unless told --data."""
    if data and not yes:
        typer.confirm(
            "Remove every annotation, image, model and secret of this deployment for good?", abort=True, err=True
        )
    run("destroy", [*(playbooks.DESTROY_DATA if data else ()), *context.args])


def run(verb: str, extra: list[str]) -> None:
    """Run and take over ansible-playbook's exit code; Ctrl-C reaches it, too, and it cleans up."""
    with failures():
        home = playbooks.home()
        playbooks.check_readable(verb, extra, home)
        if playbooks.asks_for_password(extra, home, os.environ, terminal=sys.stdin.isatty()):
            extra = [*extra, "--ask-become-pass"]
        run = playbooks.prepare(verb, extra, home, os.environ)
        if shutil.which(run.argv[0]) is None:
            raise SamstudioError(
                "ansible-playbook is not there.", found=f"not on PATH {os.environ.get('PATH', '')}",
                expected="the virtual environment that ./samstudio makes", command=f"./samstudio {verb}",
            )  # fmt: skip
    process = subprocess.Popen(run.argv, env={**os.environ, **run.environment})
    while True:
        try:
            code = process.wait()
            break
        except KeyboardInterrupt:
            err.print("stopping; what is half done is finished by running again")
    if code:
        raise typer.Exit(code if code > 0 else 128 - code)
