"""The rows of tables: copied in one transaction, and compared afterwards, each of them."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from samstudio.backup.manifest import Advance
from samstudio.backup.postgresql import PostgreSQL
from samstudio.errors import SamstudioError
from samstudio.moving.tables import Table
from samstudio.moving.values import COMPARED, MOMENT, WRITTEN, escaped, meant

_MODULUS = 1 << 256


@dataclass
class Fingerprint:
    """How many rows, and the sum of their SHA-256: the same for the same rows, in whichever order they come."""

    rows: int = 0
    sum: int = 0

    def add(self, table: Table, texts: Sequence[str | None]) -> None:
        digest = hashlib.sha256()
        for column, text in zip(table.columns, texts, strict=True):
            if text is None:
                digest.update(b"-")
            else:
                same = COMPARED[column.type](text) if column.type in COMPARED else text
                content = same.encode()
                digest.update(b"%d:" % len(content) + content)
        self.rows += 1
        self.sum = (self.sum + int.from_bytes(digest.digest(), "big")) % _MODULUS

    def __str__(self) -> str:
        return f"{self.rows} rows, hash {self.sum:064x}"[:40]


def copy(
    source: sqlite3.Connection, server: PostgreSQL, database: str, tables: Sequence[Table], advance: Advance
) -> dict[str, Fingerprint]:
    """Put SQLite's rows in place of what the tables hold. All of them are there afterwards, or none.

    Foreign keys of Django's are checked when the transaction ends, so tables may come in any order.

    Returns:
        by table, what was read.

    Raises:
        SamstudioError: PostgreSQL cannot hold something; it holds nothing then.
    """
    read = {table.name: Fingerprint() for table in tables}
    try:
        server.feed(_script(source, tables, read, advance), database)
    except SamstudioError as error:
        if error.link == "database":
            raise _refused(error) from error
        raise
    return read


def look(server: PostgreSQL, database: str, table: Table, advance: Advance) -> Fingerprint:
    """What PostgreSQL holds."""
    found = Fingerprint()
    # As SQLite has them, times are UTC's, whatever the server's zone is.
    moments = [f'"{each.name}"' + " AT TIME ZONE 'UTC'" * (each.type == MOMENT) for each in table.columns]
    asked = f'COPY (SELECT {", ".join(moments)} FROM "{table.name}") TO STDOUT'  # noqa: S608 - its own names
    with server.rows(asked, database) as lines:
        for line in lines:
            advance(len(line))
            found.add(table, [meant(field) for field in line.rstrip("\n").split("\t")])
    return found


def _script(
    source: sqlite3.Connection, tables: Sequence[Table], read: dict[str, Fingerprint], advance: Advance
) -> Iterator[str]:
    names = ", ".join(f'"{table.name}"' for table in tables)
    yield f"BEGIN;\nTRUNCATE {names};\n"
    for table in tables:
        yield f'COPY "{table.name}" ({table.listed}) FROM STDIN;\n'
        for row in source.execute(f'SELECT {table.listed} FROM "{table.name}"'):  # noqa: S608 - its own names
            texts = _written(table, row)
            read[table.name].add(table, texts)
            line = "\t".join(map(escaped, texts)) + "\n"
            advance(len(line))
            yield line
        yield "\\.\n"
    yield from _sequences(source, tables)
    yield "COMMIT;\n"


def _written(table: Table, row: Sequence[object]) -> list[str | None]:
    texts: list[str | None] = []
    for column, value in zip(table.columns, row, strict=True):
        try:
            texts.append(None if value is None else WRITTEN[column.type](value))
        except ValueError as error:
            raise SamstudioError(
                "SQLite holds a value that PostgreSQL cannot; nothing was moved.",
                found=f"{table.name}.{column.name}, in the row that begins {row[0]!r}: {error}",
                expected=f"a value of PostgreSQL's type {column.type}",
                command="change or delete it in Label Studio; then the same command again",
            ) from error
    return texts


def _refused(error: SamstudioError) -> SamstudioError:
    return SamstudioError(
        "PostgreSQL does not take what SQLite holds; nothing was moved.",
        link=error.link,
        found=error.found,
        expected="rows that keep the rules of PostgreSQL's tables, and room on its disk",
        command="change or delete in Label Studio what is named; then the same command again",
    )


def _sequences(source: sqlite3.Connection, tables: Sequence[Table]) -> Iterator[str]:
    """Let each go on where SQLite's stood, which is behind what was deleted, too: no id is given out twice."""
    stood = dict(source.execute("SELECT name, seq FROM sqlite_sequence"))
    for table in tables:
        for column in table.columns:
            if column.sequence:
                greatest = f'(SELECT coalesce(max("{column.name}"), 0) FROM "{table.name}")'  # noqa: S608
                last = f"greatest({greatest}, {int(stood.get(table.name) or 0)})"
                yield f"SELECT setval('{column.sequence}', greatest({last}, 1), {last} > 0) \\g /dev/null\n"
