"""The database of a deployment, of either kind, as backup and restore need it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from samstudio.backup import sqlite
from samstudio.backup.contents import ANNOTATIONS, Contents
from samstudio.backup.postgresql import NAME, PostgreSQL
from samstudio.backup.swap import Swap, SwapDatabases, SwapFiles
from samstudio.deployment import Deployment
from samstudio.errors import SamstudioError


class Database(Protocol):
    """What is asked of a database; `file` is a backup's copy of it."""

    @property
    def kind(self) -> str: ...

    @property
    def file(self) -> str:
        """How a backup names the copy."""

    def size(self) -> int:
        """An upper bound of a copy's bytes."""

    def copy(self, target: Path, advance: Callable[[int], None]) -> None:
        """A copy of one moment, while people work."""

    def counts(self) -> dict[str, int]:
        """How much the live one holds, by the names of `Contents`."""

    def look(self, upto: int) -> Contents:
        """What the live one holds, without annotations of higher ids."""

    def written_since(self, moment: str, table: str = ANNOTATIONS) -> int:
        """How many rows of a table of the live one were made or changed after a moment."""

    def prove(self, file: Path) -> Contents:
        """Open a copy and count what it holds."""

    def load(self, file: Path, folder: Path, stamp: str) -> Contents:
        """Bring a copy beside the live one: into the folder that will be Label Studio's, or into its own server.

        Returns:
            what it holds there.
        """

    def swaps(self, stamp: str) -> list[Swap]:
        """What is renamed beside Label Studio's folder, of the restore with this stamp."""

    def alone(self, stamp: str) -> Swap:
        """What is renamed to exchange the database and nothing else."""

    def duplicate(self, stamp: str) -> Contents:
        """Copy the live one, while Label Studio is stopped, to what is `fresh` in `alone`.

        Returns:
            what the copy holds.
        """


@dataclass(frozen=True)
class SqliteDatabase:
    """A file in Label Studio's folder, swapped with it."""

    data: Path
    kind: str = "sqlite"
    file: str = "database.sqlite3"

    @property
    def live(self) -> Path:
        return self.data / sqlite.NAME

    def size(self) -> int:
        try:
            return self.live.stat().st_size
        except FileNotFoundError as error:
            raise SamstudioError(
                "There is no database to look at.",
                found=f"no {self.live}",
                expected="Label Studio's SQLite, as deployment.yml says (label_studio.data, database.kind)",
                command="./samstudio deploy",
            ) from error

    def copy(self, target: Path, advance: Callable[[int], None]) -> None:
        sqlite.copy(self.live, target, advance)

    def counts(self) -> dict[str, int]:
        return sqlite.counts(self.live)

    def look(self, upto: int) -> Contents:
        return sqlite.look(self.live, upto)

    def written_since(self, moment: str, table: str = ANNOTATIONS) -> int:
        return sqlite.written_since(self.live, moment, table)

    def prove(self, file: Path) -> Contents:
        sqlite.check(file)
        return sqlite.look(file)

    def load(self, file: Path, folder: Path, stamp: str) -> Contents:
        sqlite.copy(file, folder / sqlite.NAME)
        return self.prove(folder / sqlite.NAME)

    def swaps(self, stamp: str) -> list[Swap]:
        return []

    def alone(self, stamp: str) -> Swap:
        beside = f"{self.live.resolve().parent / sqlite.KEPT}"
        return SwapFiles(str(self.live.resolve()), f"{beside}newer-{stamp}", f"{beside}older-{stamp}")

    def duplicate(self, stamp: str) -> Contents:
        copy, had = Path(self.alone(stamp).fresh), self.live.stat()
        sqlite.copy(self.live, copy)
        os.chown(copy, had.st_uid, had.st_gid)
        copy.chmod(had.st_mode & 0o777)
        return self.prove(copy)


@dataclass(frozen=True)
class PostgresqlDatabase:
    """A database in a server of this host; copies are proven by loading them into another one of it."""

    server: PostgreSQL
    kind: str = "postgresql"
    file: str = "database.dump"
    proven: str = f"{NAME}_checking"

    def size(self) -> int:
        return self.server.size()

    def copy(self, target: Path, advance: Callable[[int], None]) -> None:
        self.server.dump(target)

    def counts(self) -> dict[str, int]:
        return self.server.counts()

    def look(self, upto: int) -> Contents:
        return self.server.look(upto=upto)

    def written_since(self, moment: str, table: str = ANNOTATIONS) -> int:
        return self.server.written_since(moment, table)

    def prove(self, file: Path) -> Contents:
        try:
            self.server.load(file, self.proven)
            return self.server.look(self.proven)
        finally:
            self.server.drop(self.proven)

    def load(self, file: Path, folder: Path, stamp: str) -> Contents:
        name = self._swap(stamp).fresh
        self.server.load(file, name)
        return self.server.look(name)

    def swaps(self, stamp: str) -> list[Swap]:
        return [self._swap(stamp)]

    def alone(self, stamp: str) -> Swap:
        return self._swap(stamp)

    def duplicate(self, stamp: str) -> Contents:
        name = self._swap(stamp).fresh
        self.server.duplicate(name)
        return self.server.look(name)

    def _swap(self, stamp: str) -> SwapDatabases:
        ending = stamp.lower()
        return SwapDatabases(NAME, f"{NAME}_restoring_{ending}", f"{NAME}_before_{ending}", self.server.container)


def of(deployment: Deployment) -> Database:
    """
    Raises:
        SamstudioError: it is on another host, where these tools cannot reach it.
    """
    settings = deployment.database
    if settings.kind != "postgresql":
        return SqliteDatabase(deployment.label_studio.data)
    if settings.host:
        raise SamstudioError(
            f"The database is on another host ({settings.host}), and samstudio reaches only one of its own host.",
            found=f"database.host: {settings.host} in deployment.yml",
            expected="Label Studio's database on this host",
            command="dump and restore it there by hand: docs/fleet.md, Database",
        )
    return PostgresqlDatabase(PostgreSQL(settings.container))
