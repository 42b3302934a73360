"""Write a backup: the database as of one moment, then the files, then every byte read again, then its name."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import samstudio
from samstudio import files
from samstudio.backup import database, keep, manifest, room, service, sqlite
from samstudio.backup.contents import Contents
from samstudio.backup.database import Database
from samstudio.backup.manifest import CONFIG, DATA, SECRETS, Advance, Bar, Image, LeftOut, Manifest, Member
from samstudio.deployment import Deployment
from samstudio.errors import SamstudioError

#: of the configuration, what a person wants to read when the host is gone
DESCRIBING = ("deployment.yml", "choices.json")


@dataclass
class Plan:
    """What will be copied, counted before anything is written."""

    target: Path
    deployment: Deployment
    database: Database
    #: path in the backup: where it is now
    sources: dict[str, Path]
    #: path in the backup: the same file in an earlier backup of this host
    known: dict[str, tuple[Path, Member]]
    bytes: int
    #: uploads are linked from where they are, for a moment, and take no room
    links: bool = False
    skipped: list[str] = field(default_factory=list)


def plan(deployment: Deployment, target: Path, *, links: bool = False) -> Plan:
    """Look at what there is, and whether it fits.

    Args:
        links: the backup is on its way to elsewhere, and does not stay in the target.

    Raises:
        SamstudioError: the folder takes no files, or has no room.
    """
    of = database.of(deployment)
    folder = deployment.label_studio.data
    if target.resolve().is_relative_to(folder.resolve()):
        raise SamstudioError(
            "A backup cannot lie in what it is made of.",
            found=f"{target} in {folder}",
            expected="a folder elsewhere, best of all on another disk",
            command="samstudio backup --to /path/on/another/disk",
        )
    if not folder.is_dir():
        raise SamstudioError(
            "Label Studio's folder is not there.",
            found=f"no folder {folder}",
            expected="the folder that deployment.yml names (label_studio.data)",
            command=f"findmnt --target {folder}; ./samstudio deploy",
        )
    skipped: list[str] = []
    sources = {f"{DATA}/{name}": path for name, path in _data(folder, skipped)}
    sources |= {f"{SECRETS}/{path.name}": path for path in sorted(_secrets(deployment))}
    sources |= {f"{CONFIG}/{name}": path for name in DESCRIBING if (path := deployment.config_dir / name).exists()}
    known = _known(target, sources)
    size = of.size() + sum(
        _size(path) for name, path in sources.items() if name not in known and not (links and name.startswith(DATA))
    )
    _require_room(target, size)
    return Plan(target, deployment, of, sources, known, size, links, skipped)


def write(plan: Plan, bar: Bar, say: Callable[[str], None]) -> tuple[Path, Manifest]:
    """Write what was planned, read it again, and give it its name.

    Returns:
        the backup's folder, and what it says of itself.

    Raises:
        SamstudioError: it could not be written, or is not what it should be. No new backup is there then.
    """
    moment = datetime.now(timezone.utc)
    name = keep.name(socket.gethostname(), moment)
    if not plan.target.exists():
        plan.target.mkdir(mode=0o700, parents=True)
    keep.remove_unfinished(plan.target, socket.gethostname())
    folder = plan.target / keep.unfinished(name)
    folder.mkdir(mode=0o700)
    try:
        with bar("Copying", plan.bytes) as advance:
            filled = _fill(folder, plan, advance, say)
        os.sync()
        say("opening the copy of the database and counting what it holds")
        contents = plan.database.prove(folder / plan.database.file)
        _compare(filled.before, contents, filled.after)
        found = _describe(plan, moment, contents, filled)
        manifest.write(folder, found)
        say("reading every byte of it again")
        with bar("Reading again", found.bytes) as advance:
            manifest.check(folder, manifest.read(folder), advance, filled.linked)
        os.sync()
        folder.rename(plan.target / name)
        files.settle(plan.target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return plan.target / name, found


@dataclass
class _Filled:
    """What was copied; and what the live database held before and after its copy was made."""

    version: str
    before: Mapping[str, int]
    after: Mapping[str, int]
    members: dict[str, Member]
    linked: set[str]


def _fill(folder: Path, plan: Plan, advance: Advance, say: Callable[[str], None]) -> _Filled:
    version = service.version(plan.deployment)
    say(f"copying the database ({plan.database.kind}); people may go on working")
    copy = folder / plan.database.file
    before = plan.database.counts()
    plan.database.copy(copy, advance)
    filled = _Filled(version, before, plan.database.counts(), {}, set())
    filled.members[plan.database.file] = _member(copy, manifest.sha256(copy))
    say("copying uploads, secrets and settings")
    for name, source in plan.sources.items():
        (folder / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (known := plan.known.get(name)) and _link(known[0], folder / name, known[1]):
            filled.members[name] = known[1]
            filled.linked.add(name)
        elif plan.links and name.startswith(f"{DATA}/") and (member := _link_live(source, folder / name)):
            filled.members[name] = member
            filled.linked.add(name)
        elif member := _copy(source, folder / name, advance):
            filled.members[name] = member
    if version != (now := service.version(plan.deployment)):
        raise SamstudioError(
            "Label Studio was exchanged while the backup was written.",
            found=f"version {version} before, {now} after",
            expected="no deploy at the same time",
            command="samstudio backup   # once the deploy has ended",
        )
    return filled


def _describe(plan: Plan, moment: datetime, contents: Contents, filled: _Filled) -> Manifest:
    deployment = plan.deployment
    names = [deployment.label_studio.container, deployment.backend.container, deployment.database.container]
    return Manifest(
        host=socket.gethostname(),
        created=moment.isoformat(timespec="seconds"),
        samstudio=samstudio.__version__,
        label_studio=filled.version,
        database=plan.database.kind,
        database_file=plan.database.file,
        database_bytes=plan.database.size(),
        contents=contents,
        images={name: Image(**told) for name, told in service.images(names).items()},
        left_out=left_out(deployment, plan.skipped),
        files=filled.members,
    )


def left_out(deployment: Deployment, skipped: list[str]) -> tuple[LeftOut, ...]:
    """What a reader might look for in a backup and will not find there."""
    around = deployment.label_studio.data.parent
    parts = [
        LeftOut("model weights", str(around / "models"), "a deploy fetches them"),
        LeftOut("image embeddings and converted models", str(around / "cache"), "the backend makes them again"),
        LeftOut("images served from this host", str(deployment.images.host_root), "keep your own copy of them"),
        LeftOut("the TLS proxy's own CA", str(around / "tls-proxy"), "a deploy makes a new one"),
    ]
    there = [part for part in parts if Path(part.where).exists()]
    return (*there, *(LeftOut("no plain file", name, "it is a link, a socket or a device") for name in skipped))


def _data(folder: Path, skipped: list[str]) -> Iterator[tuple[str, Path]]:
    for name, path in manifest.walk(folder):
        if name in sqlite.SIDECARS or name.startswith(sqlite.KEPT):
            continue
        if path.is_symlink() or not path.is_file():
            skipped.append(str(path))
        else:
            yield name, path


def _secrets(deployment: Deployment) -> list[Path]:
    """
    Raises:
        SamstudioError: there are none: a backup without them opens nothing.
    """
    folder = deployment.secrets_dir
    found = [path for path in folder.iterdir() if path.is_file() and path.name[0] != "."] if folder.exists() else []
    if not found:
        raise SamstudioError(
            "There are no secrets to back up.",
            found=f"none in {folder}",
            expected="the secrets that Label Studio's data was made with",
            command="samstudio secrets list",
        )
    return found


def _known(target: Path, sources: dict[str, Path]) -> dict[str, tuple[Path, Member]]:
    """Uploads that this host's last backup holds already, going by size and time; linked, they take no room."""
    if (latest := keep.latest(target, socket.gethostname())) is None:
        return {}
    folder, before = latest
    found = {}
    for name, path in sources.items():
        member = before.files.get(name)
        if member and name.startswith(f"{DATA}/") and _same(path, member) and _same(folder / name, member):
            found[name] = (folder / name, member)
    return found


def _same(path: Path, member: Member) -> bool:
    try:
        seen = path.stat()
    except FileNotFoundError:
        return False
    return (seen.st_size, seen.st_mtime_ns) == (member.bytes, member.modified)


def _link(earlier: Path, target: Path, member: Member) -> bool:
    """Whether the file of an earlier backup is this one's, too: where links are possible and it is still right."""
    try:
        os.link(earlier, target)
    except OSError:
        return False
    if manifest.sha256(target) == member.sha256:
        return True
    target.unlink()
    return False


def _link_live(source: Path, target: Path) -> Member | None:
    """Label Studio writes an upload once; None where it went away, or no link is possible."""
    try:
        os.link(source, target)
    except OSError:
        return None
    return _member(target, manifest.sha256(target))


def _copy(source: Path, target: Path, advance: Advance) -> Member | None:
    """None for a file that somebody removed meanwhile."""
    try:
        sha256 = manifest.copy(source, target, advance)
    except FileNotFoundError:
        target.unlink(missing_ok=True)
        return None
    return _member(target, sha256)


def _member(path: Path, sha256: str) -> Member:
    seen = path.stat()
    return Member(bytes=seen.st_size, sha256=sha256, modified=seen.st_mtime_ns)


def _compare(before: Mapping[str, int], copied: Contents, after: Mapping[str, int]) -> None:
    """Where nobody changed anything meanwhile, the copy holds what the live database holds.

    Raises:
        SamstudioError: it does not.
    """
    counted = {name: getattr(copied, name) for name in before}
    if before == after != counted:
        raise SamstudioError(
            "The copy of the database does not hold what the database holds.",
            found=str(counted),
            expected=str(before),
            command="samstudio backup   # again; if it stays so, look at the disk: dmesg",
        )


def _size(path: Path) -> int:
    try:
        seen = path.stat()
    except FileNotFoundError:
        return 0
    return seen.st_size if stat.S_ISREG(seen.st_mode) else 0


def _require_room(target: Path, size: int) -> None:
    there = next(path for path in (target.absolute(), *target.absolute().parents) if path.exists())
    if refused := files.refusal(there / "samstudio-backup"):
        raise SamstudioError(
            "The backup cannot be written there.",
            found=refused,
            expected="a writable folder; is the disk mounted?",
            command=f"findmnt --target {there}; samstudio backup --to /path/with/space",
        )
    room.require(
        there,
        size,
        message="The disk has no room for the backup; nothing was written.",
        command="samstudio backup --to /path/with/space   # or --keep N, to keep fewer once this one is written",
    )
