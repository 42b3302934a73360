"""`samstudio bundle`, on a connected machine with an engine."""

from __future__ import annotations

import json
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from samstudio import playbooks, trees
from samstudio.bundle import check, collect, pack
from samstudio.commands.playbooks import run
from samstudio.output import err, failures, out

#: top-level parts of the tree that an air-gapped host deploys from
PROJECT_PARTS = ("README.md", "docs", "inventory", "requirements.yml", *trees.CODE)
LOCKS = ("tools/requirements/control.lock", "tools/requirements/tools.lock")


def bundle(context: typer.Context) -> None:
    """[FILE]: collect what an air-gapped host of this kind needs (images, weights, packages, wheels, this tree).

    Run again, it fetches and builds only what is missing. Further arguments go to ansible-playbook.
    """
    words = playbooks.read(context.args).words
    if len(words) > 1:
        raise typer.BadParameter(f"more than one FILE: {' '.join(words)}")
    arguments = [argument for argument in context.args if argument not in words]
    named = Path(words[0]).absolute() if words else None
    with failures():
        home = playbooks.home()
        work = home / ".cache" / "bundle"
        work.mkdir(parents=True, exist_ok=True)
        run("bundle", ["-e", json.dumps({"bundle_work": str(work)}), *arguments])
        description = json.loads((work / "description.json").read_text())
        sources = _members(home, work, description.pop("files"), description.pop("packages"))
        description = {
            **description,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "project": {"commit": _commit(home), "digest": trees.project_digest(home)},
            "python": platform.python_version().rpartition(".")[0],
        }
        _write(named or Path.cwd() / _name(description), description, sources)
        sources[check.IMAGES].unlink()


def _members(home: Path, work: Path, files: dict[str, str], packages: list[str]) -> dict[str, Path]:
    """What goes into the bundle: its name there, and where it lies here."""
    err.print("Fetching Debian packages …")
    debs = collect.packages(packages, work / "apt")
    index = work / "Packages"
    index.write_text(collect.packages_index(debs))
    err.print("Fetching wheels …")
    wheels = collect.wheels([home / lock for lock in LOCKS], work / "wheels")
    return {
        **{f"{check.PROJECT}/{path}": home / path for path in trees.chosen(home, PROJECT_PARTS)},
        f"{check.PACKAGES}/Packages": index,
        **{f"{check.PACKAGES}/{collect.plain_name(path)}": path for path in debs},
        **{f"{check.WHEELS}/{path.name}": path for path in wheels},
        **{name: Path(path) for name, path in files.items()},
    }


def _write(file: Path, description: dict[str, Any], sources: dict[str, Path]) -> None:
    total = sum(path.stat().st_size for path in sources.values())
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        hashing = progress.add_task("Hashing", total=total)
        manifest = pack.manifest(description, sources, lambda count: progress.advance(hashing, count))
        writing = progress.add_task("Writing", total=total)
        size = pack.write(file, manifest, sources, lambda count: progress.advance(writing, count))
    for kind in (check.IMAGES, *check.FOLDERS):
        sizes = [path.stat().st_size for name, path in sources.items() if name.partition("/")[0] == kind]
        out.print(f"  {kind:12}{len(sizes):5} files {sum(sizes) / 2**20:9.1f} MiB")
    choices = description["choices"]
    host = f"{description['os']['name']} ({description['arch']}) with Python {description['python']}"
    out.print(f"  model {choices['model']} on {choices['device']}, for {host}", soft_wrap=True)
    out.print(f"[bold]{file}[/]  {size / 2**20:.1f} MiB", soft_wrap=True)
    out.print(f"There: tar -xf {file.name} {check.PROJECT} && cd {check.PROJECT}", soft_wrap=True)
    out.print(f"       ./samstudio deploy -e samstudio_bundle=/path/to/{file.name}", soft_wrap=True)


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
