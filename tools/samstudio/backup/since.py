"""What people made in a Label Studio since it took another one's place, in words for those who would lose it."""

from __future__ import annotations

from samstudio.backup.contents import DRAFTS, Contents
from samstudio.backup.database import Database
from samstudio.backup.journal import Journal
from samstudio.errors import SamstudioError

UNKNOWN = "what cannot be counted, for its database does not answer"


def counted(live: Database) -> Contents:
    """What a database holds, while people write into it: no annotation is looked at."""
    return Contents(**live.counts(), last_annotation=0, annotations_sha256="")


def made(live: Database, upgrade: Journal) -> str:
    """What was made or changed since the older Label Studio stopped; "" for nothing."""
    try:
        changed = {
            "annotations": live.written_since(upgrade.began),
            "drafts": live.written_since(upgrade.began, DRAFTS),
        }
        more = {name: count - getattr(upgrade.contents, name) for name, count in live.counts().items()}
    except SamstudioError:
        return UNKNOWN
    more["annotations"] = max(more["annotations"], changed["annotations"])
    more["drafts"] = changed["drafts"]
    return ", ".join(f"{count} {name}" for name, count in more.items() if count > 0)
