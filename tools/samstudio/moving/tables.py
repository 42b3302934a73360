"""Label Studio's tables, as its migrations made them in PostgreSQL, each with its counterpart in SQLite."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from samstudio.backup.postgresql import PostgreSQL
from samstudio.errors import SamstudioError
from samstudio.moving.values import WRITTEN

#: tells of the tables themselves: it must say the same on both sides, and stays as PostgreSQL's own migrations left it
MIGRATIONS = "django_migrations"
#: columns but those that PostgreSQL computes
_CATALOGUE = """
SELECT c.relname, a.attname, format_type(a.atttypid, NULL),
       coalesce(pg_get_serial_sequence(quote_ident(c.relname), a.attname), '')
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
  AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
ORDER BY c.relname, a.attnum
"""


@dataclass(frozen=True)
class Column:
    name: str
    #: PostgreSQL's, without its length
    type: str
    #: that gives out its numbers, "" for none
    sequence: str = ""


@dataclass(frozen=True)
class Table:
    name: str
    columns: tuple[Column, ...]

    @property
    def listed(self) -> str:
        """The columns, for SQL; both kinds quote names alike."""
        return ", ".join(f'"{column.name}"' for column in self.columns)


def both(source: sqlite3.Connection, server: PostgreSQL, database: str) -> list[Table]:
    """The tables whose rows are copied.

    Raises:
        SamstudioError: one of the two kinds has what the other lacks, so that something would be lost.
    """
    here = {table.name: table for table in _of_postgresql(server, database)}
    there = {
        name: {row[1] for row in source.execute(f'PRAGMA table_info("{name}")')}
        for (name,) in source.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
    }
    wrong = [f"{name} is in SQLite alone" for name in sorted(there.keys() - here) if _rows(source, name)]
    for name, table in here.items():
        columns = {column.name for column in table.columns}
        if missing := columns - there.get(name, set()):
            wrong.append(f"{name} lacks {', '.join(sorted(missing))} in SQLite")
        wrong += [f"{name}.{each.name} is of type {each.type}" for each in table.columns if each.type not in WRITTEN]
    wrong += _other_migrations(source, server, database)
    if wrong:
        raise SamstudioError(
            "Label Studio's tables in SQLite and in PostgreSQL are not alike; nothing was moved.",
            found="; ".join(wrong[:5]) + (f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""),
            expected="the tables of one and the same version of Label Studio, with columns of known types",
            command="./samstudio deploy   # with label_studio_database: sqlite, so that SQLite is migrated; then again",
        )
    return [table for name, table in here.items() if name != MIGRATIONS]


def _of_postgresql(server: PostgreSQL, database: str) -> list[Table]:
    found: dict[str, list[Column]] = {}
    for line in server.ask(_CATALOGUE, database).splitlines():
        name, *column = line.split("|")
        found.setdefault(name, []).append(Column(*column))
    return [Table(name, tuple(columns)) for name, columns in found.items()]


def _other_migrations(source: sqlite3.Connection, server: PostgreSQL, database: str) -> list[str]:
    asked = f"SELECT app || '.' || name FROM {MIGRATIONS}"  # noqa: S608 - ours
    done = {row[0] for row in source.execute(asked)}
    here = set(server.ask(asked, database).split())
    return [f"migration {name} is in one of them alone" for name in sorted(done ^ here)]


def _rows(source: sqlite3.Connection, name: str) -> bool:
    return source.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone() is not None  # noqa: S608 - its own name
