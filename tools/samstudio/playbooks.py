"""The verbs as `ansible-playbook` runs: which playbook, with which arguments. Nothing here decides what a host gets."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from samstudio.errors import SamstudioError

#: the repository with site.yml, when it is not the one this code is in
HOME_VARIABLE = "SAMSTUDIO_HOME"
INVENTORY = "inventory/local"
PLAYBOOKS: Mapping[str, str] = {
    "preflight": "playbooks/preflight.yml",
    "deploy": "site.yml",
    "verify": "playbooks/verify.yml",
    "move-to-postgresql": "playbooks/move_to_postgresql.yml",
    "destroy": "playbooks/destroy.yml",
    "bundle": "playbooks/bundle.yml",
}
#: with one of them set, Ansible knows sudo's password or asks for it by itself
PASSWORD_VARIABLES = ("ANSIBLE_BECOME_PASSWORD_FILE", "ANSIBLE_BECOME_PASS", "ANSIBLE_BECOME_ASK_PASS")
DESTROY_DATA = ("-e", '{"samstudio_destroy_data": true}')
RECONSIDER = ("-e", '{"samstudio_reconsider": true}')
#: names the moment whose archives the images are built from; role build_context keeps it for later deploys
ARCHIVES = "build_context_archives"
BUNDLE = "samstudio_bundle"
#: names the file into which the callback plugin samstudio_report writes what a run came to
REPORT_VARIABLE = "SAMSTUDIO_REPORT"
#: names the file in which the callback plugin samstudio keeps how long each task of the last run took
LAST_RUN_VARIABLE = "SAMSTUDIO_LAST_RUN"
LIST_SECONDS = 120


@dataclass(frozen=True)
class Run:
    """A command to run in the caller's folder, with `environment` added to the caller's."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Arguments:
    """The caller's arguments for ansible-playbook, as its own parser reads them; paths are as the caller wrote them."""

    #: what is no option and belongs to none
    words: tuple[str, ...]
    inventories: tuple[str, ...]
    extra_vars: tuple[str, ...]
    verbose: bool
    #: a password for sudo is given or will be asked for
    become_password: bool
    #: nothing is run on a host
    only_lists: bool
    #: --check: what would change is told
    rehearses: bool
    #: every task is run on every host
    whole: bool


def read(extra: Sequence[str]) -> Arguments:
    """What the arguments say. An unknown option ends the process with ansible-playbook's own message."""
    from ansible.cli.playbook import PlaybookCLI  # hosts have this package and no Ansible

    command = PlaybookCLI(["ansible-playbook"])
    command.init_parser()
    found = command.parser.parse_intermixed_args(["site.yml", *extra])
    return Arguments(
        words=tuple(found.args[1:]),
        inventories=tuple(found.inventory or ()),
        extra_vars=tuple(found.extra_vars),
        verbose=found.verbosity > 0,
        become_password=bool(found.become_ask_pass or found.become_password_file),
        only_lists=found.syntax or found.listhosts or found.listtasks or found.listtags,
        rehearses=found.check,
        whole=not (found.check or found.subset or found.skip_tags or found.start_at_task or found.tags),
    )


def prepare(verb: str, extra: Sequence[str], home: Path, environment: Mapping[str, str]) -> Run:
    """The run of a verb.

    Args:
        extra: the user's arguments for ansible-playbook, unchanged; `-i` among them replaces the local inventory, and
            every path among them means the caller's folder.
        home: the repository.
        environment: the caller's environment; its ANSIBLE_* settings win over ours.
    """
    arguments = read(extra)
    inventory = () if arguments.inventories else ("-i", str(home / INVENTORY))
    return Run(
        argv=("ansible-playbook", *inventory, str(home / PLAYBOOKS[verb]), *extra, *_absolute_bundle(arguments)),
        environment={
            **({} if "ANSIBLE_CONFIG" in environment else {"ANSIBLE_CONFIG": str(home / "ansible.cfg")}),
            **_display(arguments, home, environment),
            **({LAST_RUN_VARIABLE: str(home / ".cache" / "last-run" / f"{verb}.json")} if arguments.whole else {}),
        },
    )


def asks_for_password(extra: Sequence[str], home: Path, environment: Mapping[str, str], terminal: bool) -> bool:
    """Whether Ansible must ask for sudo's password, since this machine is deployed by somebody whose sudo wants one.

    Raises:
        SamstudioError: there is nobody to ask, or no sudo.
    """
    arguments = read(extra)
    given = arguments.become_password or not environment.keys().isdisjoint(PASSWORD_VARIABLES)
    here = all((Path.cwd() / name).resolve() == (home / INVENTORY).resolve() for name in arguments.inventories)
    if os.getuid() == 0 or given or not here or arguments.only_lists:
        return False
    command = "run the same command as root"
    if shutil.which("sudo") is None:
        raise SamstudioError("This needs root.", found="another user, and no sudo", expected="root", command=command)
    # What sudo remembers counts on this terminal alone, and Ansible runs it without one.
    done = subprocess.run(["sudo", "-n", "-k", "true"], capture_output=True, check=False, timeout=60)
    if done.returncode == 0 or terminal:
        return done.returncode != 0
    raise SamstudioError(
        "sudo wants a password and there is no terminal to ask on.",
        found="no terminal",
        expected="a terminal, a file with the password, or a sudo that wants none",
        command="run the same command with --become-password-file FILE",
    )


def _absolute_bundle(arguments: Arguments) -> tuple[str, ...]:
    """The bundle, which the roles want as an absolute path, once more, for whoever named it from the current folder."""
    from ansible.parsing.splitter import parse_kv

    named = ""
    for text in arguments.extra_vars:
        given = yaml.safe_load(text) if text.startswith("{") else {} if text.startswith("@") else parse_kv(text)
        named = given.get(BUNDLE, named)
    if not named or Path(named).is_absolute():
        return ()
    return ("-e", json.dumps({BUNDLE: str(Path.cwd() / named)}))


def _display(arguments: Arguments, home: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Our callback plugins; short lines with elapsed times, unless -v or the caller asks for another display."""
    known = environment.get("ANSIBLE_CALLBACK_PLUGINS")
    ours = str(home / "tools" / "ansible" / "callback")
    theirs = arguments.verbose or "ANSIBLE_STDOUT_CALLBACK" in environment
    return {
        "ANSIBLE_CALLBACK_PLUGINS": f"{ours}:{known}" if known else ours,
        **({} if theirs else {"ANSIBLE_STDOUT_CALLBACK": "samstudio"}),
    }


def report(file: Path) -> dict[str, Any]:
    """What a run came to, as the callback plugin wrote it; nothing for a run that ended before its end.

    Returns:
        `hosts`: {name: {ok, changed, failures, unreachable, skipped}}, in tasks; `messages`: [{host, message}];
        `failed`: [{host, task, message}]; `results`: what the playbook hands over (ansible.builtin.set_stats).
    """
    text = file.read_text() if file.exists() else ""
    return dict(json.loads(text)) if text else {"hosts": {}, "messages": [], "failed": [], "results": {}}


def hosts(run: Run, environment: Mapping[str, str]) -> list[str]:
    """The hosts that a run would touch.

    Raises:
        SamstudioError: Ansible cannot read the inventory.
    """
    listed = subprocess.run(
        [*run.argv, "--list-hosts"],
        env={**environment, **run.environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=LIST_SECONDS,
    )
    if listed.returncode:
        raise SamstudioError(
            "Ansible cannot tell which hosts are meant.",
            found=listed.stderr.strip() or listed.stdout.strip(),
            expected="a readable inventory, and a --limit that names its hosts",
            command="ansible-inventory -i INVENTORY --list",
        )
    found = re.findall(r"^ {4}hosts \(\d+\):\n((?: {6}\S+\n?)*)", listed.stdout, re.MULTILINE)
    return sorted({name for block in found for name in block.split()})


def require_ansible(verb: str) -> None:
    """
    Raises:
        SamstudioError: the package is installed without its deploying half.
    """
    if importlib.util.find_spec("ansible") is None:
        raise SamstudioError(
            f"samstudio {verb} needs Ansible, and this samstudio is installed without it.",
            found="the package alone",
            expected="the project's own ./samstudio, which brings Ansible, or the package with [deploy]",
            command="pip install './tools[deploy]'   # in the project's folder; run samstudio there, too",
        )


def home(environment: Mapping[str, str] = os.environ) -> Path:
    """The repository: named by the environment, else the one this code is in, else the current folder.

    Raises:
        SamstudioError: there is no site.yml in it.
    """
    named = environment.get(HOME_VARIABLE)
    own = Path(__file__).resolve().parents[2]
    folder = Path(named) if named else own if (own / "site.yml").is_file() else Path.cwd()
    if not (folder / "site.yml").is_file():
        raise SamstudioError(
            "This is not the samstudio repository.",
            found=f"no site.yml in {folder}",
            expected="to run on the control machine, in the clone",
            command="cd CLONE && ./samstudio …",
        )
    return folder


def require_home(verb: str, extra: Sequence[str]) -> Path:
    """The repository, where everything that a verb needs is there.

    Raises:
        SamstudioError: Ansible, the repository, the playbook or an inventory is not.
    """
    require_ansible(verb)
    folder = home()
    check_readable(verb, extra, folder)
    return folder


def changes(verb: str, extra: Sequence[str]) -> bool:
    """Whether a run with these arguments may change a host; else it rehearses or lists."""
    require_ansible(verb)
    arguments = read(extra)
    return not (arguments.rehearses or arguments.only_lists)


def check_readable(verb: str, extra: Sequence[str], home: Path) -> None:
    """Refuse before anything starts what ansible-playbook would only warn of.

    Raises:
        SamstudioError: a playbook or inventory is missing or unreadable.
    """
    named = [Path.cwd() / name for name in read(extra).inventories if "," not in name] or [home / INVENTORY]
    for kind, path in [("playbook", home / PLAYBOOKS[verb]), *(("inventory", path) for path in named)]:
        if not os.access(path, os.R_OK):
            raise SamstudioError(
                f"The {kind} cannot be read.",
                found=f"{'unreadable' if path.exists() else 'no'} {path}",
                expected=f"a readable {kind}",
                command=f"ls -ld {path}",
            )
