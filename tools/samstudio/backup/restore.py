"""Bring a backup back: beside the live data first, then in its place, proven, or the old data again.

Each step is in the journal before it begins. Whatever stops this process, `finish` leaves the old state or the new one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

import samstudio
from samstudio import credentials, moments, token_delivery
from samstudio.backup import database, journal, manifest, older, room, service, since
from samstudio.backup.journal import Journal, Phase
from samstudio.backup.manifest import DATA, SECRETS, Advance, Bar, Manifest
from samstudio.backup.swap import SwapFolders
from samstudio.deployment import Deployment
from samstudio.errors import SamstudioError
from samstudio.labelstudio import tokens
from samstudio.secret_store import BACKEND_PASSWORD, SecretStore

Say = Callable[[str], None]
#: the folder that role label_studio mounts into its container: copies of secrets
COPIES = "label-studio-secrets"
#: belongs to the server that runs here, not to the data in it
OF_THE_SERVER = "postgres_password"


@dataclass
class Restored:
    """What a restore came to."""

    contents: str
    #: what to type to remove the old data, once it is not wanted any more
    removals: list[str]
    did: list[str] = field(default_factory=list)
    #: what is still to be done, in sentences
    notes: list[str] = field(default_factory=list)


def usable(deployment: Deployment, folder: Path, bar: Bar) -> Manifest:
    """A backup that fits this deployment and is whole. Nothing is changed.

    Raises:
        SamstudioError: it does not, or is not.
    """
    found = manifest.read(folder)
    _require_same_kind(deployment, found)
    with bar("Reading the backup", found.bytes) as advance:
        manifest.check(folder, found, advance)
    _require_room(deployment, found)
    return found


def rehearse(deployment: Deployment, folder: Path, found: Manifest, bar: Bar, say: Say) -> None:
    """Everything but the switch.

    Raises:
        SamstudioError: the backup cannot be brought back.
    """
    begun = _begin(deployment, folder, found, Phase.REHEARSING)
    try:
        _prepare(deployment, folder, found, begun, bar, say)
    finally:
        clear_rehearsal(deployment)


def clear_rehearsal(deployment: Deployment) -> None:
    """Remove the copy that a rehearsal made, if there is one; the lock is held, so nobody makes it any more."""
    found = journal.read(deployment.config_dir)
    if found and found.phase is Phase.REHEARSING:
        _remove_fresh(deployment, found)


def restore(deployment: Deployment, folder: Path, found: Manifest, bar: Bar, say: Say) -> Restored:
    """Bring a usable backup back.

    Raises:
        SamstudioError: it could not be; the old data is live again, or the error says what to type.
    """
    begun = _begin(deployment, folder, found, Phase.PREPARING)
    try:
        _prepare(deployment, folder, found, begun, bar, say)
        begun = begun.reach(deployment.config_dir, Phase.SWITCHING)
        say("stopping Label Studio")
        service.stop(deployment)
        for each in begun.swaps:
            each.forward()
        _hand_on(deployment)
        begun = begun.reach(deployment.config_dir, Phase.PROVING)
        prove(deployment, begun, say)
    except BaseException as error:
        say("going back to the old data")
        told = undo(deployment, journal.read(deployment.config_dir) or begun, say)
        if isinstance(error, SamstudioError):
            raise taken_back(error, "The old data is live again.", told) from error
        raise
    return settle(deployment, begun, say)


def finish(deployment: Deployment, say: Say) -> Restored | None:
    """Finish a restore that was cut off, or take it back; None where the old data is live (again).

    Raises:
        SamstudioError: neither could be done; the error says what is in the way.
    """
    found = journal.read(deployment.config_dir)
    if found is None:
        return None
    if found.phase is Phase.FINISHING:
        return settle(deployment, found, say)
    if found.phase is Phase.PROVING:
        try:
            prove(deployment, found, say)
        except SamstudioError as error:
            what = "the newer Label Studio" if found.older else "the restored data"
            say(f"{what} does not prove good: {error.message} {error.found}")
        else:
            return settle(deployment, found, say)
    say(f"going back to {'the older Label Studio' if found.older else 'the old data'}")
    undo(deployment, found, say)
    return None


def _begin(deployment: Deployment, folder: Path, found: Manifest, phase: Phase) -> Journal:
    journal.refuse_unfinished(deployment.config_dir)
    now = datetime.now(timezone.utc)
    stamp = now.strftime(moments.STAMP)
    begun = Journal(
        phase=phase,
        backup=str(folder.absolute()),
        began=now.isoformat(timespec="seconds"),
        contents=found.contents,
        ran=phase is Phase.PREPARING and service.running(deployment),
        served=False,
        swaps=(
            _beside(deployment.label_studio.data.resolve(), stamp),
            *database.of(deployment).swaps(stamp),
            _beside(deployment.secrets_dir.resolve(), stamp),
        ),
    )
    if taken := [name for each in begun.swaps for name in (each.fresh, each.kept) if each.removal(name)]:
        raise SamstudioError(
            "Another restore began in this very second.",
            found=", ".join(taken),
            expected="nothing of that name",
            command=f"samstudio restore {folder}",
        )
    return begun.reach(deployment.config_dir, phase)


def _beside(live: Path, stamp: str) -> SwapFolders:
    if live.is_mount():
        raise SamstudioError(
            f"{live} is a mount point, and cannot be exchanged by a rename.",
            found="a disk that is mounted on the folder itself",
            expected="a disk that is mounted on a folder above it",
            command=f"findmnt {live}",
        )
    return SwapFolders(str(live), f"{live}.restoring-{stamp}", f"{live}.before-{stamp}")


def _prepare(deployment: Deployment, folder: Path, found: Manifest, begun: Journal, bar: Bar, say: Say) -> None:
    """Copy everything beside what is live, and count it there."""
    data, *_, secrets = (Path(each.fresh) for each in begun.swaps)
    stamp = data.name.rpartition("-")[2]
    say("copying it beside the live data; Label Studio goes on running")
    with bar("Copying", found.bytes) as advance:
        _copy_data(folder, found, deployment.label_studio.data, data, advance)
    _copy_secrets(folder, found, deployment.secrets_dir, secrets)
    say("bringing the database back beside the live one, and counting what it holds")
    contents = database.of(deployment).load(folder / found.database_file, data, stamp)
    _own(data, deployment.label_studio.data)
    os.sync()
    if contents != found.contents:
        raise SamstudioError(
            "What was restored is not what was backed up.",
            found=f"{contents}, hash {contents.annotations_sha256[:12]}",
            expected=f"{found.contents}, hash {found.contents.annotations_sha256[:12]}",
            command=f"ls -d {folder.parent}/samstudio-*   # another backup",
        )


def _copy_data(folder: Path, found: Manifest, live: Path, fresh: Path, advance: Advance) -> None:
    fresh.mkdir(mode=0o700)
    for name in found.files:
        if name.startswith(f"{DATA}/"):
            target = fresh / Path(name).relative_to(DATA)
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            manifest.copy(folder / name, target, advance)


def _own(fresh: Path, live: Path) -> None:
    """Give everything to whoever owns the live folder, and folders its mode."""
    had = live.stat()
    for above, _, names in os.walk(fresh):
        for path in (Path(above), *(Path(above, name) for name in names)):
            os.chown(path, had.st_uid, had.st_gid)
        Path(above).chmod(had.st_mode & 0o777)


def _copy_secrets(folder: Path, found: Manifest, live: Path, fresh: Path) -> None:
    shutil.copytree(live, fresh)
    fresh.chmod(0o700)
    store = SecretStore(fresh)
    for name in found.files:
        secret = Path(name).name
        if name.startswith(f"{SECRETS}/") and not (secret == OF_THE_SERVER and found.database == "postgresql"):
            store.write(secret, (folder / name).read_text().strip("\r\n"))


def _hand_on(deployment: Deployment) -> None:
    """Bring the live secrets to Label Studio's own copies, which it reads when it starts."""
    store = SecretStore(deployment.secrets_dir)
    for copy in sorted((deployment.config_dir / COPIES).glob("*")):
        if store.exists(copy.name) and not token_delivery.same(copy, value := store.read(copy.name)):
            token_delivery.renew(copy, value)


def prove(deployment: Deployment, begun: Journal, say: Say) -> None:
    """
    Raises:
        SamstudioError: Label Studio does not come up on the restored data, or changed it.
    """
    say("starting Label Studio" + ("" if begun.older else " on the restored data"))
    service.start(deployment)
    service.wait(deployment, say)
    say("counting once more, and comparing every annotation")
    live, wanted = database.of(deployment), begun.contents
    seen = live.look(upto=wanted.last_annotation)
    counts, least = live.counts(), vars(wanted)
    fewer = {name: count for name, count in counts.items() if count < least[name]}
    same = seen.annotations_sha256 == wanted.annotations_sha256
    if fewer or not (same or live.written_since(begun.began)):  # people may be at work again already
        raise SamstudioError(
            f"Label Studio does not show what was {'there before' if begun.older else 'backed up'}.",
            found=f"{counts}, hash {seen.annotations_sha256[:12]}",
            expected=f"{wanted}, hash {wanted.annotations_sha256[:12]}",
            command=f"docker logs --tail 50 {deployment.label_studio.container}",
        )


def settle(deployment: Deployment, begun: Journal, say: Say) -> Restored:
    """What is live stays; hand the secrets on. What cannot be handed on is a note, and takes nothing back."""
    begun = begun.reach(deployment.config_dir, Phase.FINISHING)
    removals = [] if begun.older else [line for each in begun.swaps if (line := each.removal(each.kept))]
    restored = Restored(str(begun.contents), removals)
    restored.did, restored.notes = hand_on_token(deployment, say)
    if not begun.older and _secrets_changed(begun):
        password = SecretStore(deployment.secrets_dir).read(BACKEND_PASSWORD)
        did, notes = credentials.renew(deployment, BACKEND_PASSWORD, password, say)
        restored.did += did
        restored.notes += notes
        if deployment.balancer.socket:
            restored.notes.append(
                "The backends still have the secrets from before: ./samstudio deploy brings them the restored ones."
            )
    (journal.keep if begun.older else journal.end)(deployment.config_dir)
    return restored


def hand_on_token(deployment: Deployment, say: Say) -> tuple[list[str], list[str]]:
    """See that the token is one that the live database knows, and that the backend has it.

    Returns:
        what was done; and what could not be, in sentences.
    """
    store, settings, did = SecretStore(deployment.secrets_dir), deployment.label_studio, []
    try:
        ensured = tokens.ensure(settings.url, settings.admin_email, store)
        if ensured["changed"]:
            did.append(f"made a new API token: {ensured['reason']}")
        did += token_delivery.deliver(deployment)
    except SamstudioError as error:
        return did, [f"{error.message} {error.command}".strip()]
    return did, []


def _secrets_changed(begun: Journal) -> bool:
    live, kept = Path(begun.swaps[-1].live), Path(begun.swaps[-1].kept)
    return any(
        not (kept / name).exists() or (kept / name).read_bytes() != (live / name).read_bytes()
        for name in token_delivery.CALLED
        if (live / name).exists()
    )


def undo(deployment: Deployment, found: Journal, say: Say) -> list[str]:
    """Make the old data live, whatever was done; with it the older Label Studio, where it was exchanged.

    Returns:
        what to type to remove restored data that somebody may have worked in.
    """
    if found.phase is not Phase.PREPARING:
        first = found.phase is not Phase.UNDOING
        found = found.reach(deployment.config_dir, Phase.UNDOING)
        service.stop(deployment)
        if first and found.older and found.served and not since.made(database.of(deployment), found):
            found = replace(found, served=False).reach(deployment.config_dir, Phase.UNDOING)
        for each in reversed(found.swaps):
            each.back()
        if found.older:
            older.describe(deployment, found.older)
            deployment = older.at(deployment, found.older)
        _hand_on(deployment)
        if found.ran:
            service.start(deployment)
    left = [line for each in found.swaps if found.served and (line := each.removal(each.fresh))]
    if found.served:
        journal.end(deployment.config_dir)
    else:
        _remove_fresh(deployment, found)
    if found.phase is not Phase.PREPARING and found.ran:
        service.wait(deployment, say)
    return left


def _remove_fresh(deployment: Deployment, found: Journal) -> None:
    for each in found.swaps:
        each.remove(each.fresh)
    journal.end(deployment.config_dir)


def taken_back(error: SamstudioError, again: str, left: list[str]) -> SamstudioError:
    """The error, with what is live again, and what to type to remove what was put in its place."""
    kept = f"{error.command}; what was restored is kept until you type: {'; '.join(left)}" if left else error.command
    said = f"{error.message} {again}"
    return SamstudioError(said, found=error.found, expected=error.expected, command=kept, link=error.link)


def _require_same_kind(deployment: Deployment, found: Manifest) -> None:
    here, wanted = (
        _versions(samstudio.__version__, deployment.label_studio.version),
        _versions(found.samstudio, found.label_studio),
    )
    if here != wanted:
        raise SamstudioError(
            f"The backup was made by {wanted}, and {here} is deployed here.",
            found=here,
            expected=wanted,
            command=f"cd /path/to/samstudio-{found.samstudio} && ./samstudio deploy   # the folder of that version",
        )
    database_here = database.of(deployment).kind
    if found.database != database_here:
        raise SamstudioError(
            "The backup was made with another kind of database than is deployed here.",
            found=database_here,
            expected=found.database,
            command=f"./samstudio deploy -e label_studio_database={found.database}",
        )


def _versions(tools: str, label_studio: str) -> str:
    return f"samstudio {tools} with Label Studio {label_studio}"


def _require_room(deployment: Deployment, found: Manifest) -> None:
    there = deployment.label_studio.data.resolve().parent
    data = sum(member.bytes for name, member in found.files.items() if name.startswith(f"{DATA}/"))
    room.require(
        there,
        data + found.database_bytes,
        message="There is no room beside the live data; nothing was changed.",
        note=": the old data stays until the restored one is proven",
        command=f"du -xh --max-depth=1 {there}",
    )


def live_contents(deployment: Deployment) -> str:
    """What a restore would replace, in words."""
    return ", ".join(f"{count} {name}" for name, count in database.of(deployment).counts().items())
