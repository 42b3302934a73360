"""The move, step by step. SQLite's file loses its name last: until then SQLite is live, from then on PostgreSQL is."""

from __future__ import annotations

import contextlib
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from samstudio import moments
from samstudio.backup import room, service, sqlite
from samstudio.backup.contents import ANNOTATIONS
from samstudio.backup.manifest import Bar
from samstudio.backup.postgresql import NAME, PostgreSQL
from samstudio.backup.restore import Say
from samstudio.backup.swap import SwapDatabases
from samstudio.deployment import Deployment
from samstudio.errors import NothingToLookAt, SamstudioError
from samstudio.moving import rows, schema, tables

#: the database that is filled before it gets Label Studio's name
FRESH = f"{NAME}_moving"
#: PostgreSQL takes this many times the bytes of SQLite's file: its indexes reach into annotations
GROWTH = 3


@dataclass
class Moved:
    """What a move came to."""

    #: SQLite's file, set aside
    aside: str
    #: how many rows were copied and compared; 0 where the move was made before
    rows: int = 0
    #: what to type to remove what PostgreSQL held before
    removals: list[str] = field(default_factory=list)


def wanted(deployment: Deployment) -> bool:
    """Whether a move would move anything; the errors are those of `move` before it changes anything."""
    live = deployment.label_studio.data / sqlite.NAME
    if live.exists() or not _aside(deployment):
        _require_sqlite(deployment, live)
    return live.exists()


def move(deployment: Deployment, bar: Bar, say: Say) -> Moved:
    """Copy, compare, and let PostgreSQL be live. Label Studio is stopped then, and has to be started on PostgreSQL.

    Raises:
        SamstudioError: nothing was moved; Label Studio works on SQLite, as before.
        NothingToLookAt: there is no SQLite database.
    """
    live = deployment.label_studio.data / sqlite.NAME
    if not wanted(deployment):
        return Moved(str(_aside(deployment)))
    server = PostgreSQL(deployment.database.container)
    there = _asides(deployment)
    room.require(
        there,
        GROWTH * live.stat().st_size,
        message="There is no room for PostgreSQL's copy; nothing was moved.",
        command=f"du -xh --max-depth=1 {there}",
    )
    if not service.running(deployment):  # a move that was cut off left it so
        service.start(deployment)
        service.wait(deployment, say)
    say("letting Label Studio make its tables in PostgreSQL")
    server.create(FRESH)
    schema.make(deployment, FRESH)
    with closing(sqlite.opened(live)) as source:
        alike = tables.both(source, server, FRESH)
    say("stopping Label Studio")
    try:
        service.stop(deployment)
        copied = _copy(live, server, alike, bar, say)
        return _exchange(deployment, live, server, copied)
    except BaseException:
        if live.exists():
            say("going back to SQLite")
            service.start(deployment)
        raise


def back(deployment: Deployment, say: Say) -> Path | None:
    """Let SQLite be live again, right after a move on which Label Studio did not come up.

    Returns:
        the file that has its name again; None where no move is to be taken back.

    Raises:
        SamstudioError: somebody worked in PostgreSQL since.
    """
    live, aside = deployment.label_studio.data / sqlite.NAME, _aside(deployment)
    if live.exists() or aside is None or deployment.database.kind == "postgresql":
        _require_sqlite(deployment, live)
        return None
    moment = datetime.strptime(aside.name.rpartition("-")[2], moments.STAMP).replace(tzinfo=timezone.utc).isoformat()
    with contextlib.suppress(SamstudioError):  # there may be no container, where none could be made
        service.stop(deployment)
    if written := PostgreSQL(deployment.database.container).written_since(moment, ANNOTATIONS):
        with contextlib.suppress(SamstudioError):
            service.start(deployment)
        raise SamstudioError(
            "Label Studio works on PostgreSQL since it was moved; SQLite's file was left where it is.",
            found=f"{written} annotations made or changed since {moment}",
            expected="a move after which nobody worked",
            command="./samstudio deploy",
        )
    _rename(aside, live)
    say(f"{live} has its name again")
    return live


def _copy(live: Path, server: PostgreSQL, alike: list[tables.Table], bar: Bar, say: Say) -> int:
    """
    Returns:
        how many rows were copied, and are the same.
    """
    try:
        with closing(sqlite.opened(live)) as source:
            size = live.stat().st_size
            with bar("Copying", size) as advance:
                read = rows.copy(source, server, FRESH, alike, advance)
        say("comparing every row of every table")
        with bar("Comparing", size) as advance:
            differing = {
                table.name: (read[table.name], found)
                for table in alike
                if (found := rows.look(server, FRESH, table, advance)) != read[table.name]
            }
    except sqlite3.Error as error:
        raise SamstudioError(
            f"{live} cannot be read; nothing was moved.",
            found=str(error),
            expected="a whole SQLite database with Label Studio's tables",
            command=f"sqlite3 {live} 'PRAGMA integrity_check'",
        ) from error
    if differing:
        raise SamstudioError(
            "What PostgreSQL holds is not what SQLite holds; nothing was moved.",
            found="; ".join(f"{name}: {found}" for name, (_, found) in differing.items()),
            expected="; ".join(f"{name}: {read}" for name, (read, _) in differing.items()),
            command="report this, please: it is a mistake of samstudio's own",
        )
    server.ask("ANALYZE", FRESH)
    return sum(each.rows for each in read.values())


def _exchange(deployment: Deployment, live: Path, server: PostgreSQL, copied: int) -> Moved:
    """Give the filled database Label Studio's name; what had it is kept, unless it is empty. SQLite's turn is last."""
    stamp = moments.stamp()
    swap = SwapDatabases(NAME, FRESH, f"{NAME}_before_{stamp.lower()}", server.container)
    if server.exists(NAME) and server.ask("SELECT 1 FROM pg_tables WHERE schemaname = 'public' LIMIT 1", NAME):
        swap.forward()
    else:
        server.drop(NAME)
        server.rename((FRESH, NAME))
    removal = swap.removal(swap.kept)
    aside = _asides(deployment) / f"{sqlite.NAME}.before-{stamp}"
    _rename(live, aside)
    return Moved(str(aside), copied, [removal] if removal else [])


def _rename(source: Path, target: Path) -> None:
    for each in sqlite.files_of(source):
        if each.exists():
            each.chmod(0o600)
    sqlite.rename(source, target)


def _asides(deployment: Deployment) -> Path:
    """Where SQLite's file is set aside: beside Label Studio's folder, so that no backup takes it along."""
    return deployment.label_studio.data.resolve().parent


def _aside(deployment: Deployment) -> Path | None:
    """SQLite's file of the last move."""
    pattern = f"{sqlite.NAME}.before-{'[0-9]' * 8}T{'[0-9]' * 6}Z"
    return max(_asides(deployment).glob(pattern), default=None)


def _require_sqlite(deployment: Deployment, live: Path) -> None:
    if deployment.database.kind == "postgresql":
        raise NothingToLookAt(
            "Label Studio works on PostgreSQL already; nothing was moved.",
            found=f"database.kind: postgresql in {deployment.config_dir}/deployment.yml",
            expected="a deployment on SQLite",
            command="./samstudio deploy",
        )
    if not live.exists():
        raise NothingToLookAt(
            "There is no SQLite database to move.",
            found=f"no {live}",
            expected="Label Studio's SQLite, as deployment.yml says (label_studio.data, database.kind)",
            command="./samstudio deploy",
        )
    if live.parent.is_mount():
        raise SamstudioError(
            f"{live.parent} is a mount point, and SQLite's file cannot be set aside by a rename.",
            found="a disk that is mounted on the folder itself",
            expected="a disk that is mounted on a folder above it",
            command=f"findmnt {live.parent}",
        )
