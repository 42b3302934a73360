"""Another Label Studio in place of the one that runs, and the way back: its container and its database are kept.

The roles make the newer container between `begin` and `prove`. The newer one works on a copy of the database, which
its migrations change; the older one's own stays as it was. The steps are those of a restore, in the same journal.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

from samstudio import containers, files, moments
from samstudio.backup import database, journal, older, restore, room, service, since
from samstudio.backup.journal import Journal, Phase
from samstudio.backup.restore import Restored, Say
from samstudio.backup.swap import Swap, SwapContainers, SwapFiles
from samstudio.deployment import Deployment
from samstudio.errors import NothingToLookAt, SamstudioError

#: beside deployment.yml: role label_studio writes the one, `rollback` the other
LAUNCH, LOG = "label-studio-launch.sh", "label-studio-taken-back.log"
LOG_LINES = 2000


@dataclass(frozen=True)
class WentBack:
    #: in a sentence
    said: str
    #: what people made in the newer Label Studio, in words, "" for nothing
    made: str
    #: what to type to remove the newer one's database, which is kept where people may have worked in it
    removals: list[str]
    #: the file with the newer one's last words, "" without any
    log: str
    #: what is still to do, in sentences
    notes: list[str]


def begin(deployment: Deployment, click: Callable[[Deployment], bool], say: Say) -> Journal:
    """Stop Label Studio, and set its container and its database aside; the name is free for another one.

    Args:
        click: whether a click works.

    Raises:
        SamstudioError: it could not be; the Label Studio that ran runs again.
    """
    restore.clear_rehearsal(deployment)
    journal.refuse_unfinished(deployment.config_dir)
    was = older.running(deployment)
    there = older.at(deployment, was)
    live = database.of(deployment)
    room.require(
        deployment.label_studio.data,
        live.size(),
        message="There is no room for a copy of the database; Label Studio was not exchanged.",
        note=", for the copy that the newer Label Studio changes",
        command=f"df -h {deployment.label_studio.data}",
    )
    was = replace(was, clicked=click(there))
    forget(deployment)
    stamp = moments.stamp()
    begun = Journal(
        phase=Phase.SWITCHING,
        backup="",
        began=moments.now(),
        contents=since.counted(live),
        ran=service.running(deployment),
        served=False,
        swaps=_swaps(deployment, stamp),
        older=was,
    )
    if taken := [line for each in begun.swaps for name in (each.fresh, each.kept) if (line := each.removal(name))]:
        raise SamstudioError(
            "Something of an earlier upgrade is in the way; Label Studio was not exchanged.",
            found="; ".join(taken),
            expected="nothing of these names",
            command="; ".join(taken),
        )
    begun = begun.reach(deployment.config_dir, Phase.SWITCHING)
    try:
        say(f"stopping Label Studio {was.version}, and keeping its container and its database")
        service.stop(deployment)
        begun = replace(begun, contents=live.duplicate(stamp), began=moments.now())
        for each in begun.swaps:
            each.forward()
        return begun.reach(deployment.config_dir, Phase.PROVING)
    except BaseException as error:
        restore.undo(there, journal.read(deployment.config_dir) or begun, say)
        if isinstance(error, SamstudioError):
            raise restore.taken_back(error, f"{_again(begun)}.", []) from error
        raise


def prove(deployment: Deployment, click: Callable[[], object], say: Say) -> Restored | None:
    """Wait for the newer Label Studio, compare what it shows, and click where a click worked before.

    Returns:
        None where no upgrade is under way.

    Raises:
        SamstudioError: it does not prove good. Nothing is taken back yet.
    """
    found = journal.read(deployment.config_dir)
    if found is None or found.older is None:
        return None
    os.sync()  # what the roles wrote since `begin`: the newer one does not start without it
    restore.prove(deployment, found, say)
    if found.older.clicked:
        click()
    else:
        say("no click is made: none worked before the upgrade")
    return restore.settle(deployment, found, say)


def to_go_back_to(deployment: Deployment) -> Journal:
    """The upgrade that is under way, was cut off, or has ended.

    Raises:
        NothingToLookAt: there is none.
        SamstudioError: a restore was cut off; or what was kept of the older Label Studio is gone.
    """
    found = journal.read(deployment.config_dir)
    if found and found.older:
        return found
    journal.refuse_unfinished(deployment.config_dir)
    found = journal.read(deployment.config_dir, journal.KEPT)
    if found is None:
        raise NothingToLookAt(
            "There is no older Label Studio to go back to.",
            found=f"no {journal.KEPT} in {deployment.config_dir}",
            expected="a deploy that exchanged Label Studio for a newer one, and nothing removed since",
            command="samstudio restore BACKUP   # brings an older database back",
        )
    container, kept, _ = found.swaps
    if gone := [each.kept for each in (container, kept) if not each.removal(each.kept)]:
        raise SamstudioError(
            "What was kept of the older Label Studio is not there any more; nothing was changed.",
            found=f"no {' and no '.join(gone)}",
            expected="its container and its database, as the upgrade left them",
            command="samstudio rollback --forget   # then samstudio restore BACKUP, with the older samstudio",
        )
    return found


def rollback(deployment: Deployment, found: Journal, say: Say) -> WentBack:
    """Bring the older Label Studio back, with its database.

    Raises:
        SamstudioError: it does not come up, or the engine refused; the error says what to type.
    """
    assert found.older
    restore.clear_rehearsal(deployment)
    log = _keep_log(deployment)
    if journal.read(deployment.config_dir) is None:
        journal.reopen(deployment.config_dir)
    made = since.made(database.of(deployment), found)
    removals = restore.undo(deployment, found, say)
    said = f"{_again(found)} ({found.older.image}), with its database as of {found.began}."
    notes = restore.hand_on_token(older.at(deployment, found.older), say)[1] if found.ran else []
    return WentBack(said, made if removals else "", removals, log, notes)


def forget(deployment: Deployment) -> list[str]:
    """Remove what is kept of the older Label Studio after an upgrade that has ended.

    Returns:
        what was removed.
    """
    found = journal.read(deployment.config_dir, journal.KEPT)
    if found is None:
        return []
    gone = [each.kept for each in found.swaps if each.removal(each.kept)]
    for each in found.swaps:
        each.remove(each.kept)
    journal.forget(deployment.config_dir)
    return gone


def _again(found: Journal) -> str:
    assert found.older
    return f"Label Studio {found.older.version} {'serves' if found.ran else 'is there'} again"


def _swaps(deployment: Deployment, stamp: str) -> tuple[Swap, ...]:
    name, launch = deployment.label_studio.container, deployment.config_dir / LAUNCH
    return (
        SwapContainers(name, f"{name}-before"),
        database.of(deployment).alone(stamp),
        SwapFiles(str(launch), "", f"{launch}.older"),
    )


def _keep_log(deployment: Deployment) -> str:
    """What the newer container wrote last: it is removed."""
    name, path = deployment.label_studio.container, deployment.config_dir / LOG
    if not containers.exists(name):
        return ""
    with containers.engine_errors():
        said = containers.named(name, tags="label_studio").logs(tail=LOG_LINES)
    files.write(path, said, mode=0o600)
    return str(path)
