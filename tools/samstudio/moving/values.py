"""A value as SQLite holds it, as PostgreSQL's COPY takes it, and as both must agree on it.

What Django stores in either: https://docs.djangoproject.com/en/5.1/ref/databases/. COPY's text format:
https://www.postgresql.org/docs/current/sql-copy.html (Text Format).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

NULL = r"\N"
MOMENT = "timestamp with time zone"
_ESCAPES = {"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r", "\b": r"\b", "\f": r"\f", "\v": r"\v"}
_ESCAPED = str.maketrans(_ESCAPES)
_WRITTEN_ESCAPE = re.compile(r"\\(.)")
_MEANT = {written[1]: character for character, written in _ESCAPES.items()}


def _boolean(value: Any) -> str:
    if value not in (0, 1):
        raise ValueError(f"{value!r} is neither 0 nor 1")
    return "t" if value else "f"


def _number(value: Any) -> str:
    if not isinstance(value, (int, float)):
        raise ValueError(f"{value!r} is no number")
    return repr(value)


def _text(value: Any) -> str:
    text = str(value)
    if "\0" in text:
        raise ValueError("a NUL character, which PostgreSQL's text cannot hold")
    return text


def _moment(value: Any) -> str:
    """Django stores UTC without saying so."""
    return f"{_text(value)}+00"


#: by PostgreSQL's name of the type: SQLite's value as PostgreSQL reads it
WRITTEN: Mapping[str, Callable[[Any], str]] = {
    "smallint": _number,
    "integer": _number,
    "bigint": _number,
    "double precision": _number,
    "boolean": _boolean,
    "character varying": _text,
    "text": _text,
    "uuid": _text,
    "jsonb": _text,
    MOMENT: _moment,
}


def _one_number(text: str) -> Any:
    """JSON's 1e16, 1.0 and -0.0 as jsonb gives them back: 10000000000000000, 1 and 0."""
    number = Decimal(text)
    return int(number) if number == number.to_integral_value() else f"\0{number.normalize()}"


def _one_json(text: str) -> str:
    meant = json.loads(text, parse_float=_one_number)
    return json.dumps(meant, sort_keys=True, separators=(",", ":"))


def _one_moment(text: str) -> str:
    moment = text.removesuffix("+00")
    return moment.rstrip("0").removesuffix(".") if "." in moment else moment


#: by PostgreSQL's name of the type, where one value can be written in several ways: the one way to compare it by
COMPARED: Mapping[str, Callable[[str], str]] = {
    "double precision": lambda text: repr(float(text)),
    "uuid": lambda text: text.replace("-", "").lower(),
    "jsonb": _one_json,
    MOMENT: _one_moment,
}


def escaped(text: str | None) -> str:
    """A field of a line of COPY."""
    return NULL if text is None else text.translate(_ESCAPED)


def meant(field: str) -> str | None:
    """The text of a field of a line of COPY."""
    if field == NULL:
        return None
    return _WRITTEN_ESCAPE.sub(lambda found: _MEANT.get(found[1], found[1]), field)
