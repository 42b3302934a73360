"""`samstudio bundle …`: create on a connected machine with an engine, check and inspect anywhere."""

from __future__ import annotations

import json
import platform
import shlex
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from samstudio import files, moments, playbooks, trees
from samstudio.bundle import check, collect, pack
from samstudio.commands.common import AsJson
from samstudio.commands.playbooks import PASS_THROUGH, run
from samstudio.errors import SamstudioError, WrongCommandLine
from samstudio.output import byte_bar, emit, out, say
from samstudio.verbs import Verb, group, verb

#: top-level parts of the tree that an air-gapped host deploys from
PROJECT_PARTS = ("README.md", "docs", "inventory", "requirements.yml", *trees.CODE)
app = group("bundle", "Packs what a host without a network needs into one file, and looks at such a file.")
LOCKS = ("tools/requirements/control.lock", "tools/requirements/tools.lock")


File = Annotated[Path, typer.Argument(metavar="FILE", help="The bundle.")]


def create(context: typer.Context, as_json: AsJson = False) -> None:
    """Collects what a host without a network needs into one file: images, weights, packages, wheels and this tree.

    It takes [FILE] and arguments for ansible-playbook, such as -i INVENTORY and -e NAME=VALUE. Without FILE, the bundle
    is written into the current folder. Run again, it fetches and builds only what is missing.

    \b
    Example:
      ./samstudio bundle create /media/stick/samstudio.tar
    """
    if not playbooks.changes("bundle create", context.args):
        raise WrongCommandLine(
            "A bundle cannot be rehearsed: what goes into it is known once it was fetched.",
            found=shlex.join(context.args),
            expected="no --check and no --list-…; bundle create changes nothing but .cache and FILE",
            command="./samstudio bundle create",
        )
    home = playbooks.home()
    words = playbooks.read(context.args).words
    if len(words) > 1:
        raise WrongCommandLine("A bundle is one FILE.", found=" ".join(words), expected="one FILE, or none")
    if words and words[0].endswith("/"):
        raise WrongCommandLine(
            "A bundle is a file.",
            found=words[0],
            expected="the name of a file in that folder",
            command=f"./samstudio bundle create {shlex.quote(words[0] + 'samstudio.tar')}",
        )
    arguments = [argument for argument in context.args if argument not in words]
    named = Path(words[0]).absolute() if words else None
    _require_writable(named or Path.cwd() / "samstudio-….tar")
    work = home / ".cache" / "bundle"
    work.mkdir(parents=True, exist_ok=True)
    described = work / "description.json"
    described.unlink(missing_ok=True)
    run("bundle", ["-e", json.dumps({"bundle_work": str(work)}), *arguments], as_json=as_json)
    if not described.exists():
        raise SamstudioError(
            "The run ended well, and described no bundle.",
            found=f"no {described}",
            expected="every task of playbooks/bundle.yml to run, and to run on this machine",
            command="./samstudio bundle create   # without --tags, --skip-tags, --limit and --start-at-task",
        )
    description = json.loads(described.read_text())
    sources = _members(home, work, description.pop("files"), description.pop("packages"))
    description = {
        **description,
        "created": moments.now(),
        "project": {"commit": _commit(home), "digest": trees.project_digest(home)},
        "python": platform.python_version().rpartition(".")[0],
    }
    file = named or Path.cwd() / _name(description)
    members = {name: path.stat().st_size for name, path in sources.items()}
    size = _write(file, description, sources)
    sources[check.IMAGES].unlink()

    def human() -> None:
        _show(description, members)
        out.print(f"[bold]{file}[/]  {size / 2**20:.1f} MiB")
        out.print(f"There: tar -xf {file.name} {check.PROJECT} && cd {check.PROJECT}")
        out.print(f"       ./samstudio deploy -e samstudio_bundle=/path/to/{file.name}")

    result = {"changed": True, "file": str(file), "members": len(members), "bytes": size}
    emit(result, as_json=as_json, human=human)


def check_bundle(file: File, as_json: AsJson = False) -> None:
    """Reads every byte of a bundle, and says whether it is whole and made for this kind of host.

    \b
    Example:
      samstudio bundle check samstudio.tar
    """
    manifest = _understood(check.verify, file)
    _understood(check.refuse_elsewhere, manifest, check.this_system(), platform.machine())
    size = file.stat().st_size
    result = {"changed": False, "whole": True, "members": len(manifest["members"]), "bytes": size}
    emit(result, as_json=as_json, human=lambda: out.print(f"{file} is whole, and for this kind of host."))


def inspect(file: File, as_json: AsJson = False) -> None:
    """Shows what is in a bundle and which host it is for. It reads the table of contents alone.

    \b
    Example:
      samstudio bundle inspect samstudio.tar
    """

    def read(path: Path) -> dict[str, Any]:
        with check.opened(path) as bundle:
            return check.manifest_of(bundle)[0]

    manifest = _understood(read, file)
    members = {name: member["bytes"] for name, member in manifest["members"].items()}
    result = {"changed": False, "manifest": {**manifest, "members": members}}
    emit(result, as_json=as_json, human=lambda: _show(manifest, members))


def _understood(function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except check.Problem as problem:
        raise SamstudioError(**problem.fields) from problem


def _require_writable(file: Path) -> None:
    """Now, and not after half an hour of building."""
    if refused := files.refusal(file):
        raise SamstudioError(
            "The bundle cannot be written there.",
            found=refused,
            expected="the name of a file in a writable folder; is the disk mounted?",
            command=f"findmnt --target {file.parent}; ./samstudio bundle create /path/with/space/bundle.tar",
        )


def _members(home: Path, work: Path, given: dict[str, str], packages: list[str]) -> dict[str, Path]:
    """What goes into the bundle: its name there, and where it lies here."""
    say("fetching Debian packages")
    debs = collect.packages(packages, work / "apt")
    index = work / "Packages"
    index.write_text(collect.packages_index(debs))
    say("fetching wheels")
    wheels = collect.wheels([home / lock for lock in LOCKS], work / "wheels")
    return {
        **{f"{check.PROJECT}/{path}": home / path for path in trees.chosen(home, PROJECT_PARTS)},
        f"{check.PACKAGES}/Packages": index,
        **{f"{check.PACKAGES}/{collect.plain_name(path)}": path for path in debs},
        **{f"{check.WHEELS}/{path.name}": path for path in wheels},
        **{name: Path(path) for name, path in given.items()},
    }


def _write(file: Path, description: dict[str, Any], sources: dict[str, Path]) -> int:
    """The bytes that were written."""
    total = sum(path.stat().st_size for path in sources.values())
    with byte_bar("Hashing", total) as advance:
        manifest = pack.manifest(description, sources, advance)
    with byte_bar("Writing", total) as advance:
        return pack.write(file, manifest, sources, advance)


def _show(description: dict[str, Any], members: Mapping[str, int]) -> None:
    for kind in (check.IMAGES, *check.FOLDERS):
        sizes = [size for name, size in members.items() if name.partition("/")[0] == kind]
        out.print(f"  {kind:12}{len(sizes):5} files {sum(sizes) / 2**20:9.1f} MiB")
    choices = description["choices"]
    host = f"{description['os']['name']} ({description['arch']}) with Python {description['python']}"
    out.print(f"  model {choices['model']} on {choices['device']}, for {host}")


def _name(description: dict[str, Any]) -> str:
    system = f"{description['os']['id']}{description['os']['version']}"
    return f"samstudio-{description['project']['digest']}-{system}-{description['arch']}.tar"


def _commit(home: Path) -> str:
    """The commit of a clone, or nothing for a tree that came out of a bundle."""
    try:
        done = subprocess.run(
            ["git", "-C", str(home), "rev-parse", "HEAD"], capture_output=True, text=True, check=False, timeout=20
        )
    except OSError:
        return ""
    return done.stdout.strip()


app.command("create", cls=Verb, context_settings=PASS_THROUGH)(create)
verb(app, check_bundle, name="check")
verb(app, inspect)
