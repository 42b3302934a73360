"""How far a restore or an upgrade came, written down before each step: whoever comes next ends it, or takes it back."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from enum import Enum
from pathlib import Path

from samstudio import files
from samstudio.backup import swap
from samstudio.backup.contents import Contents
from samstudio.backup.older import Older
from samstudio.backup.swap import Swap
from samstudio.errors import SamstudioError

#: beside deployment.yml; it is there while a restore or an upgrade is under way, and no longer
NAME = "restore.json"
#: what it becomes after an upgrade, for as long as the older Label Studio can come back
KEPT = "upgraded.json"


class Phase(str, Enum):
    """What may have begun. Up to SWITCHING the old state is the way out; in PROVING the new one, if it proves good.

    REHEARSING is a restore's PREPARING after which nothing follows: whoever finds it only removes the copy.
    """

    REHEARSING = "rehearsing"
    PREPARING = "preparing"
    SWITCHING = "switching"
    PROVING = "proving"
    UNDOING = "undoing"
    FINISHING = "finishing"


SENTENCES = {
    Phase.REHEARSING: "it was rehearsed beside the live data, which is untouched",
    Phase.PREPARING: "it was copying beside the live data, which is untouched",
    Phase.SWITCHING: "it was exchanging old and new data while Label Studio was stopped",
    Phase.PROVING: "the restored data is live, and was not proven yet",
    Phase.UNDOING: "it was going back to the old data",
    Phase.FINISHING: "the restored data is live and proven; secrets were being handed on",
}
OF_AN_UPGRADE = {
    Phase.SWITCHING: "the older one was being set aside",
    Phase.PROVING: "the newer one was not proven yet; the older one is kept",
    Phase.UNDOING: "it was going back to the older one",
    Phase.FINISHING: "the newer one is proven; the older one is kept",
}


@dataclass(frozen=True)
class Journal:
    phase: Phase
    #: the backup's folder, "" for an upgrade
    backup: str
    #: UTC; of an upgrade that came so far, when the older one had stopped
    began: str
    #: what the backup says that it holds; or what the older Label Studio's database held when it stopped
    contents: Contents
    #: whether Label Studio ran before
    ran: bool
    #: whether Label Studio was started on the restored data: somebody may have worked in it
    served: bool
    swaps: tuple[Swap, ...]
    #: of an upgrade
    older: Older | None = None

    def reach(self, config_dir: Path, phase: Phase) -> Journal:
        """Write down that a phase begins; it is on the disk before this returns."""
        reached = replace(self, phase=phase, served=self.served or phase is Phase.PROVING)
        swaps = [each.described() for each in self.swaps]
        older = asdict(self.older) if self.older else None
        told = {**reached.__dict__, "phase": phase.value, "contents": asdict(self.contents), "swaps": swaps}
        told["older"] = older
        files.write(config_dir / NAME, json.dumps(told, indent=1) + "\n", mode=0o600)
        files.settle(config_dir)
        return reached


def read(config_dir: Path, name: str = NAME) -> Journal | None:
    """The restore or upgrade that is under way, or was cut off; None without any.

    Args:
        name: KEPT for the upgrade that has ended and can be taken back.

    Raises:
        SamstudioError: there is one, and it cannot be understood.
    """
    path = config_dir / name
    try:
        told = json.loads(path.read_text())
        swaps = tuple(swap.read(each) for each in told.pop("swaps"))
        contents = Contents(**told["contents"])
        older = Older(**each) if (each := told.pop("older", None)) else None
        known = {"phase": Phase(told["phase"]), "contents": contents, "swaps": swaps, "older": older}
        return Journal(**{**told, **known})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SamstudioError(
            "A restore was cut off, and what it wrote down cannot be understood.",
            found=f"{path}: {error}",
            expected="the journal of this samstudio's restore",
            command="use the samstudio that began it; it names the folders: " + f"cat {path}",
        ) from error


def end(config_dir: Path) -> None:
    (config_dir / NAME).unlink(missing_ok=True)
    files.settle(config_dir)


def keep(config_dir: Path) -> None:
    """End an upgrade that can be taken back later."""
    (config_dir / NAME).replace(config_dir / KEPT)
    files.settle(config_dir)


def reopen(config_dir: Path) -> None:
    """Take up the upgrade that has ended; whoever is cut off from here on finds it under way, and proven."""
    (config_dir / KEPT).replace(config_dir / NAME)
    files.settle(config_dir)


def forget(config_dir: Path) -> None:
    (config_dir / KEPT).unlink(missing_ok=True)
    files.settle(config_dir)


def sentence(config_dir: Path) -> str:
    """What is to be said of a restore or an upgrade that was cut off; "" without any: a rehearsal is none."""
    found = read(config_dir)
    if found is None or found.phase is Phase.REHEARSING:
        return ""
    if found.older:
        said = OF_AN_UPGRADE[found.phase]
        return f"the upgrade from Label Studio {found.older.version}, begun {found.began}, did not end: {said}"
    return f"the restore of {found.backup}, begun {found.began}, did not end: {SENTENCES[found.phase]}"


def refuse_unfinished(config_dir: Path) -> None:
    """
    Raises:
        SamstudioError: a restore or an upgrade was cut off.
    """
    if said := sentence(config_dir):
        raise SamstudioError(
            "What was cut off is finished or taken back before anything else is done.",
            found=said,
            expected="neither a restore nor an upgrade under way",
            command="samstudio restore --finish   # to go back from an upgrade: samstudio rollback",
        )
