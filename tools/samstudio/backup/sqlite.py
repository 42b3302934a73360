"""Label Studio's SQLite: copied while people write into it, opened and counted."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from samstudio import files
from samstudio.backup import contents
from samstudio.backup.contents import Annotation, Contents
from samstudio.errors import SamstudioError

#: in Label Studio's data folder
NAME = "label_studio.sqlite3"
#: of a database's name, for what SQLite keeps beside it while it is written, and for itself, which is moved last:
#: without what is beside it, it would be damaged
ENDINGS = ("-journal", "-wal", "-shm", "")
SIDECARS = tuple(NAME + ending for ending in ENDINGS)
#: how the names of copies begin that an upgrade keeps there
KEPT = NAME + "."
#: pages a step: 4 MiB of the usual page size, between which others may write
STEP = 1024
#: how often a copy may begin again because somebody wrote; then it is made at once, and writers wait
RESTARTS = 5
BUSY_SECONDS = 60.0
#: annotations read at once: who reads keeps others from writing for that long
PAGE = 200


class _TooBusy(Exception):
    """Others write faster than the copy is made."""


def files_of(database: Path) -> list[Path]:
    """What belongs to a database, whether it is there or not, itself last."""
    return [database.with_name(database.name + ending) for ending in ENDINGS]


def rename(database: Path, to: Path) -> None:
    """With what SQLite keeps beside it; it is on the disk before this returns."""
    for old, new in zip(files_of(database), files_of(to), strict=True):
        if old.exists():
            old.rename(new)
    for folder in {database.parent, to.parent}:
        files.settle(folder)


def opened(file: Path) -> sqlite3.Connection:
    """For reading; a database that is not there is not made."""
    return sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS, isolation_level=None)


def copy(source: Path, target: Path, advance: Callable[[int], None] = lambda _: None) -> None:
    """A consistent copy by SQLite's online backup API, which Label Studio works through.

    Raises:
        SamstudioError: the database cannot be read.
    """
    with _errors(source), closing(opened(source)) as reading, closing(sqlite3.connect(target)) as writing:
        size = int(reading.execute("PRAGMA page_size").fetchone()[0])
        try:
            reading.backup(writing, pages=STEP, progress=_Watch(size, advance), sleep=0.01)
        except _TooBusy:
            reading.backup(writing)
    target.chmod(0o600)


class _Watch:
    """Tells of progress, and stops a copy that never ends."""

    def __init__(self, page_bytes: int, advance: Callable[[int], None]) -> None:
        self.page_bytes, self.advance = page_bytes, advance
        self.remaining: int | None = None
        self.restarts = 0

    def __call__(self, status: int, remaining: int, total: int) -> None:
        if self.remaining is not None and remaining < self.remaining:
            self.advance((self.remaining - remaining) * self.page_bytes)
        elif self.remaining is not None:
            self.restarts += 1
            if self.restarts > RESTARTS:
                raise _TooBusy
        self.remaining = remaining


def check(file: Path) -> None:
    """
    Raises:
        SamstudioError: SQLite itself finds the file damaged.
    """
    with _errors(file), closing(opened(file)) as connection:
        found = [row[0] for row in connection.execute("PRAGMA integrity_check(5)")]
    if found != ["ok"]:
        raise _damaged(file, "; ".join(found))


def look(file: Path, upto: int | None = None) -> Contents:
    """What a database file holds. Others may write into it meanwhile; they hardly have to wait.

    Raises:
        SamstudioError: it cannot be read, or is no Label Studio's.
    """
    with _errors(file), closing(opened(file)) as connection:
        return contents.read(_Asked(connection), upto)


def counts(file: Path) -> dict[str, int]:
    with _errors(file), closing(opened(file)) as connection:
        return contents.counts(_Asked(connection))


def written_since(file: Path, moment: str, table: str) -> int:
    """How many rows of a table were made or changed after a moment (UTC, ISO 8601)."""
    asked = f"SELECT count(*) FROM {table} WHERE datetime(updated_at) >= datetime(?)"  # noqa: S608 - ours
    with _errors(file), closing(opened(file)) as connection:
        return int(connection.execute(asked, (moment,)).fetchone()[0])


@dataclass(frozen=True)
class _Asked:
    connection: sqlite3.Connection

    def count(self, table: str) -> int:
        return int(self.connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0])  # noqa: S608 - ours

    def annotations(self) -> Iterator[Annotation]:
        columns = ", ".join(contents.COLUMNS)
        asked = f"SELECT {columns} FROM task_completion WHERE id > ? ORDER BY id LIMIT {PAGE}"  # noqa: S608 - ours
        last = -1
        while rows := self.connection.execute(asked, (last,)).fetchall():
            for *row, result in rows:
                yield [*row, json.loads(result) if result is not None else None]
            last = rows[-1][0]


@contextmanager
def _errors(file: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _damaged(file, str(error)) from error


def _damaged(file: Path, found: str) -> SamstudioError:
    return SamstudioError(
        f"{file} cannot be read as Label Studio's database.",
        found=found,
        expected="a whole SQLite database with Label Studio's tables",
        command=f"sqlite3 {file} 'PRAGMA integrity_check'",
    )
