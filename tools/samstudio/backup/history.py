"""How the last backup and the last rehearsal of a restore ended, kept on the host; and whether that is good enough."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime, timedelta, timezone
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass

from samstudio import files, moments
from samstudio.deployment import Deployment
from samstudio.errors import explained

_STRICT = ConfigDict(extra="forbid")


class Kind(str, Enum):
    BACKUP = "backup"
    REHEARSAL = "rehearsal"


#: twice as long as the timers wait: a host may be off for a night
LIMITS = {Kind.BACKUP: timedelta(days=2), Kind.REHEARSAL: timedelta(days=14)}


@dataclass(frozen=True, config=_STRICT)
class Good:
    """A backup that was made, or rehearsed, and what it holds."""

    #: UTC, ISO 8601
    ended: str
    #: its folder, or its snapshot's id
    backup: str
    contents: str
    #: restic's, and the file of its password; "" for a folder
    repository: str = ""
    password_file: str = ""


@dataclass(frozen=True, config=_STRICT)
class Last:
    #: UTC, ISO 8601; "" where there was none yet
    ended: str = ""
    #: why it failed, "" where it did not
    error: str = ""
    #: the last one that did not fail
    good: Good | None = None


_LAST = TypeAdapter(Last)


def path(config_dir: Path, kind: Kind) -> Path:
    return config_dir / f"last-{kind.value}.json"


def read(config_dir: Path, kind: Kind) -> Last:
    """A note that cannot be understood counts as a failure."""
    file = path(config_dir, kind)
    try:
        return _LAST.validate_json(file.read_bytes())
    except FileNotFoundError:
        return Last()
    except ValueError as error:
        return Last(error=f"{file} cannot be understood: {str(error).splitlines()[0]}")


def succeeded(
    config_dir: Path, kind: Kind, backup: str, contents: str, repository: str = "", password_file: str = ""
) -> None:
    now = moments.now()
    _write(config_dir, kind, Last(ended=now, good=Good(now, backup, contents, repository, password_file)))


@contextlib.contextmanager
def noting_failure(config_dir: Path, kind: Kind) -> Iterator[None]:
    """Note why what is done inside failed, if it does; the error goes on."""
    try:
        yield
    except Exception as error:
        told = explained(error, f"samstudio {kind.value}")
        said = f"{told.message} {told.found}".strip()
        with contextlib.suppress(OSError):  # a full disk: the note must not hide the error
            _write(config_dir, kind, replace(read(config_dir, kind), ended=moments.now(), error=said))
        raise


def report(deployment: Deployment) -> dict[str, Any]:
    """
    Returns:
        `scheduled`, `backup` and `rehearsal` as `Last` has them, and `wrong`: sentences about what is old or failed
        where a timer was asked for. Without a timer nobody expects anything.
    """
    last = {kind: read(deployment.config_dir, kind) for kind in Kind}
    timer = deployment.backups.timer
    return {
        "scheduled": bool(timer),
        **{kind.value: asdict(each) for kind, each in last.items()},
        "wrong": [said for kind, each in last.items() if (said := _wrong(kind, each, Path(timer)))] if timer else [],
    }


def _wrong(kind: Kind, last: Last, timer: Path) -> str:
    if last.error:
        return f"the last {kind.value} failed: {last.error}"
    try:
        since = (
            last.good.ended if last.good else datetime.fromtimestamp(timer.stat().st_mtime, timezone.utc).isoformat()
        )
    except FileNotFoundError:
        return f"no {kind.value} was made, and its timer is gone: no {timer}"
    if age(since) <= LIMITS[kind]:
        return ""
    days = age(since).days
    return f"the last {kind.value} is {days} days old" if last.good else f"no {kind.value} was made in {days} days"


def age(moment: str) -> timedelta:
    return datetime.now(timezone.utc) - datetime.fromisoformat(moment)


def _write(config_dir: Path, kind: Kind, last: Last) -> None:
    files.write(path(config_dir, kind), json.dumps(asdict(last), indent=1) + "\n", mode=0o644)
