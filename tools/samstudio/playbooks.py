"""The verbs as `ansible-playbook` runs: which playbook, with which arguments. Nothing here decides what a host gets."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from samstudio.errors import SamstudioError

#: the repository with site.yml, when it is not the one this code is in
HOME_VARIABLE = "SAMSTUDIO_HOME"
INVENTORY = "inventory/local"
PLAYBOOKS: Mapping[str, str] = {
    "preflight": "playbooks/preflight.yml",
    "deploy": "site.yml",
    "verify": "playbooks/verify.yml",
    "destroy": "playbooks/destroy.yml",
    "bundle": "playbooks/bundle.yml",
}
DESTROY_DATA = ("-e", '{"samstudio_destroy_data": true}')


@dataclass(frozen=True)
class Run:
    """A command to run in `folder`, with `environment` added to the caller's."""

    argv: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str]


def prepare(verb: str, extra: Sequence[str], home: Path, environment: Mapping[str, str]) -> Run:
    """The run of a verb.

    Args:
        extra: the user's arguments for ansible-playbook, unchanged; `-i` among them replaces the local inventory.
        home: the repository.
        environment: the caller's environment; its ANSIBLE_* settings win over ours.
    """
    named = inventories(extra)
    inventory = () if named else ("-i", INVENTORY)
    return Run(
        argv=("ansible-playbook", *inventory, PLAYBOOKS[verb], *extra),
        folder=home,
        environment=_display(extra, home, environment),
    )


def inventories(extra: Sequence[str]) -> list[str]:
    """The inventories that the user's arguments name."""
    found = []
    for index, argument in enumerate(extra):
        if argument in ("-i", "--inventory") and index + 1 < len(extra):
            found.append(extra[index + 1])
        elif argument.startswith("--inventory="):
            found.append(argument.partition("=")[2])
        elif argument.startswith("-i") and not argument.startswith("--") and len(argument) > 2:
            found.append(argument[2:])
    return found


def _display(extra: Sequence[str], home: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Short lines with elapsed times; Ansible's own display for whoever asks for more with -v."""
    wordy = any(argument == "--verbose" or argument.startswith("-v") for argument in extra)
    if wordy or "ANSIBLE_STDOUT_CALLBACK" in environment:
        return {}
    known = environment.get("ANSIBLE_CALLBACK_PLUGINS")
    ours = str(home / "tools" / "ansible" / "callback")
    return {
        "ANSIBLE_STDOUT_CALLBACK": "samstudio",
        "ANSIBLE_CALLBACK_PLUGINS": f"{ours}:{known}" if known else ours,
    }


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
            "This is not the samstudio repository.", found=f"no site.yml in {folder}",
            expected="to run on the control machine, in the clone", command="cd CLONE && ./samstudio …",
        )  # fmt: skip
    return folder


def check_readable(run: Run) -> None:
    """Refuse before anything starts what ansible-playbook would only warn of.

    Raises:
        SamstudioError: a playbook or inventory is missing or unreadable.
    """
    named = inventories(run.argv[1:])
    playbook = next(argument for argument in run.argv if argument in PLAYBOOKS.values())
    for kind, name in [("playbook", playbook), *(("inventory", name) for name in named if "," not in name)]:
        path = run.folder / name
        if not os.access(path, os.R_OK):
            raise SamstudioError(
                f"The {kind} cannot be read.", found=f"{'unreadable' if path.exists() else 'no'} {path}",
                expected=f"a readable {kind}", command=f"ls -ld {path}",
            )  # fmt: skip
