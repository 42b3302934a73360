"""`samstudio preflight | deploy | upgrade | verify | move-to-postgresql | destroy`, on the control machine."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from samstudio import moments, playbooks, summary
from samstudio.commands.common import AsJson
from samstudio.errors import ExitCode, NothingToLookAt, SamstudioError, WrongCommandLine
from samstudio.output import emit, err, out

#: -i, --check, --diff, --tags, --limit, -e, -v and whatever else ansible-playbook knows
PASS_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True}
INTERRUPTED = 130
STDERR = 2
#: What Ansible says of a sudo that got no password, or a wrong one: over SSH, and on this machine.
NO_PASSWORD = re.compile(r"(Missing|Incorrect) sudo password|sudo: a password is required|Sorry, try again")
#: What `destroy` removes, and what it leaves or removes with --data; playbooks/destroy.yml does it.
REMOVED = (
    "the containers of Label Studio, the backend, the balancer, the TLS proxy and the database",
    "the images that were built, and the private network",
    "the tunnel, the guards of published ports, and the samstudio command",
)
DATA = "annotations, uploads, weights, caches, passwords and tokens"


def preflight(context: typer.Context, as_json: AsJson = False) -> None:
    """Shows what a host has, what will be used and why, and what to change first. It changes nothing.

    Further arguments go to ansible-playbook: -i INVENTORY, --limit, -e NAME=VALUE, -v.

    \b
    Example:
      ./samstudio preflight
      ./samstudio preflight -i inventory/mylab --limit gpu1
    """
    emit(run("preflight", context.args, as_json=as_json), as_json=as_json, human=_nothing_more)


def deploy(
    context: typer.Context,
    reconsider: Annotated[
        bool, typer.Option("--reconsider", help="Choose sources anew instead of keeping what the first deploy chose.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Installs everything, connects it, and clicks drawn objects to prove it. Run again, it updates and mends.

    It never changes a password and never loses an annotation. Further arguments go to ansible-playbook: -i INVENTORY,
    --check, --diff, --tags, --limit, -e NAME=VALUE, -v.

    \b
    Example:
      ./samstudio deploy
      ./samstudio deploy -i inventory/mylab -e samstudio_images=/path/to/folder
    """
    again = playbooks.RECONSIDER if reconsider else ()
    result = run("deploy", [*again, *context.args], as_json=as_json)
    emit(result, as_json=as_json, human=lambda: _show_summary(result))


def upgrade(
    context: typer.Context,
    security: Annotated[
        bool, typer.Option("--security", help="Build every image anew, with the archives' updates of today.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Builds every image anew, with Debian's security updates and the same locked packages, and deploys them.

    Label Studio goes the guarded way of any upgrade: it comes back as it was if the new one does not prove good.
    Further arguments go to ansible-playbook: -i INVENTORY, --check, --limit, -e NAME=VALUE, -v.

    \b
    Example:
      ./samstudio upgrade --security
      ./samstudio upgrade --security -i inventory/mylab
    """
    if not security:
        raise WrongCommandLine(
            "Which upgrade is meant?",
            found="no --security",
            expected="--security, for Debian's updates; a newer version of this project is deployed from its folder",
            command="./samstudio upgrade --security   # or: git pull && ./samstudio deploy",
        )
    result = run("deploy", ["-e", json.dumps({playbooks.ARCHIVES: moments.stamp()}), *context.args], as_json=as_json)
    emit(result, as_json=as_json, human=lambda: _show_summary(result))


def _show_summary(result: dict[str, Any]) -> None:
    if result["summary"]:
        out.print(summary.panel(result["summary"], result["label_studio_host"]))


def verify(context: typer.Context, as_json: AsJson = False) -> None:
    """Asks Label Studio and the backends how they are, and clicks each drawn object. It changes nothing.

    Further arguments go to ansible-playbook: -i INVENTORY, --limit, -e NAME=VALUE, -v.

    \b
    Example:
      ./samstudio verify -i inventory/mylab
    """
    emit(run("verify", context.args, as_json=as_json), as_json=as_json, human=_nothing_more)


def move_to_postgresql(context: typer.Context, as_json: AsJson = False) -> None:
    """Moves Label Studio from SQLite to PostgreSQL: every row is copied and compared, and SQLite's file is kept.

    Label Studio stops meanwhile. If anything fails, it works on SQLite again. Write label_studio_database: postgresql
    into the inventory first. Further arguments go to ansible-playbook: -i INVENTORY, --check, -e NAME=VALUE, -v.

    \b
    Example:
      ./samstudio move-to-postgresql
      ./samstudio move-to-postgresql -i inventory/mylab
    """
    result = run("move-to-postgresql", context.args, as_json=as_json)
    emit(result, as_json=as_json, human=_nothing_more)


def destroy(
    context: typer.Context,
    data: Annotated[bool, typer.Option("--data", help=f"Remove the data as well: {DATA}.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Removes containers, images, network and tools, after asking. It keeps the data unless told --data.

    Further arguments go to ansible-playbook: -i INVENTORY, --check, --limit, -e NAME=VALUE, -v.

    \b
    Example:
      ./samstudio destroy
      ./samstudio destroy -i inventory/mylab --limit gpu2 --data --yes
    """
    arguments = [*(playbooks.DESTROY_DATA if data else ()), *context.args]
    changes = playbooks.changes("destroy", arguments)
    if changes and not yes:
        _ask(arguments, data, ["destroy", *(["--data"] if data else ()), *context.args, "--yes"])
    emit(run("destroy", arguments, as_json=as_json), as_json=as_json, human=_nothing_more)


def _nothing_more() -> None:
    """Ansible's display said it all."""


def _ask(arguments: list[str], data: bool, unasked: list[str]) -> None:
    """Say what will be removed from which hosts, and go on only if that is wanted.

    Args:
        unasked: what does the same without asking.
    """
    home = playbooks.require_home("destroy", arguments)
    found = playbooks.hosts(playbooks.prepare("destroy", arguments, home, os.environ), os.environ)
    if not found:
        raise NothingToLookAt(
            "There is no host to remove anything from.",
            found="no host",
            expected="hosts of this project in the inventory, and a --limit that names one",
            command="ansible-inventory -i INVENTORY --graph",
        )
    err.print(f"[bold]This removes from {escape(', '.join(found))}:[/]", highlight=False)
    for each in (*REMOVED, *((DATA,) if data else ())):
        err.print(f"  - {each}")
    err.print("[bold red]The data cannot be brought back.[/]" if data else f"It keeps the data: {DATA}.")
    if not sys.stdin.isatty():
        raise WrongCommandLine(
            "Nobody is there to be asked whether to remove it.",
            found="no terminal",
            expected="a terminal, or --yes",
            command=shlex.join(["samstudio", *unasked]),
        )
    if err.input("Remove it? [y/N] ", markup=False).strip().lower() not in ("y", "yes"):
        raise typer.Abort


def run(verb: str, extra: list[str], *, as_json: bool = False) -> dict[str, Any]:
    """Run a verb's playbook and tell what it came to. Ctrl-C reaches ansible-playbook, too, and it cleans up.

    With `as_json`, Ansible's display goes to stderr.

    Raises:
        SamstudioError: it could not be run, or, with `as_json`, failed.
        typer.Exit: it failed, and Ansible's display said why.
    """
    home = playbooks.require_home(verb, extra)
    if playbooks.asks_for_password(extra, home, os.environ, terminal=sys.stdin.isatty()):
        extra = [*extra, "--ask-become-pass"]
    run = playbooks.prepare(verb, extra, home, os.environ)
    if shutil.which(run.argv[0]) is None:
        raise SamstudioError(
            "ansible-playbook is not there.",
            found=f"not on PATH {os.environ.get('PATH', '')}",
            expected="the virtual environment that ./samstudio makes",
            command=f"./samstudio {verb}",
        )
    with tempfile.TemporaryDirectory(prefix="samstudio.") as folder:
        file = Path(folder) / "report.json"
        environment = {**os.environ, **run.environment, playbooks.REPORT_VARIABLE: str(file)}
        code = _wait(subprocess.Popen(run.argv, env=environment, stdout=STDERR if as_json else None))
        report = playbooks.report(file)
    results = report.pop("results")
    changed = any(sums["changed"] for sums in report["hosts"].values())
    if code and (refused := sorted({each["host"] for each in report["failed"] if NO_PASSWORD.search(each["message"])})):
        raise _without_password(verb, extra, refused, report["failed"])
    if code and as_json:
        raise _failed(verb, extra, code, report["failed"], changed)
    if code:
        raise typer.Exit(ExitCode.FAILED)
    return {
        "changed": changed,
        "hosts": report["hosts"],
        "messages": report["messages"],
        "summary": results.get("samstudio_summary"),
        "label_studio_host": results.get("samstudio_host", ""),
    }


def _wait(process: subprocess.Popen[bytes]) -> int:
    interrupted = False
    while True:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            interrupted = True
            err.print("stopping; what is half done is finished by running again")
        else:
            if interrupted:
                raise typer.Exit(INTERRUPTED)
            return code


def _without_password(verb: str, extra: list[str], hosts: list[str], failed: list[dict[str, str]]) -> SamstudioError:
    asks = () if playbooks.read(extra).become_password else ("--ask-become-pass",)
    return SamstudioError(
        f"sudo wants a password on {', '.join(hosts)}, and it got none that it takes.",
        found=_told(failed),
        expected="the password of the user that the inventory names (ansible_user), or a sudo that wants none",
        command=shlex.join(["samstudio", verb, *extra, *asks]),
    )


def _told(failed: list[dict[str, str]]) -> str:
    return "; ".join(f"{each['host']}, {each['task']}: {each['message']}" for each in failed)


def _failed(verb: str, extra: list[str], code: int, failed: list[dict[str, str]], changed: bool) -> SamstudioError:
    error = SamstudioError(
        f"samstudio {verb} stopped before its end.",
        found=_told(failed) or f"ansible-playbook ended with exit code {code}",
        expected="every task to succeed",
        command=f"{shlex.join(['samstudio', verb, *extra])}   # once the cause is mended; it goes on where it stopped",
    )
    error.changed = changed
    return error
