"""SQLite's values as PostgreSQL reads and gives them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samstudio.moving.values import COMPARED, WRITTEN, escaped, meant

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(st.none() | TEXTS)
def test_a_field_of_copy_means_what_was_written_and_stays_on_its_line(text: str | None) -> None:
    field = escaped(text)
    assert meant(field) == text
    assert not {"\t", "\n", "\r"} & set(field)


@pytest.mark.parametrize(
    ("kind", "value", "written"),
    [
        ("boolean", 0, "f"),
        ("boolean", 1, "t"),
        ("integer", 2**31, "2147483648"),
        ("double precision", 0.1, "0.1"),
        ("timestamp with time zone", "2026-03-29 01:30:00.120000", "2026-03-29 01:30:00.120000+00"),
        ("jsonb", "null", "null"),
        ("text", r"\N", r"\N"),
    ],
)
def test_how_a_value_is_written(kind: str, value: object, written: str) -> None:
    assert WRITTEN[kind](value) == written


@pytest.mark.parametrize(("kind", "value"), [("boolean", 2), ("integer", "seven"), ("text", "a\0b")])
def test_a_value_that_postgresql_has_no_place_for_is_refused(kind: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        WRITTEN[kind](value)


@pytest.mark.parametrize(
    ("kind", "here", "there"),
    [
        ("jsonb", '{"b": 1e16, "a": [-0.0, 1.50]}', '{"a": [0.0, 1.5], "b": 10000000000000000}'),
        ("jsonb", '{"a": 1, "a": 2}', '{"a": 2}'),
        ("jsonb", r'"\u00e9"', '"é"'),
        ("timestamp with time zone", "2026-03-29 01:30:00.120000+00", "2026-03-29 01:30:00.12"),
        ("timestamp with time zone", "2026-03-29 01:30:00+00", "2026-03-29 01:30:00"),
        ("uuid", "0123456789ABCDEF0123456789abcdef", "01234567-89ab-cdef-0123-456789abcdef"),
        ("double precision", "1e-07", "1e-07"),
    ],
)
def test_what_both_kinds_write_in_their_own_ways_is_the_same(kind: str, here: str, there: str) -> None:
    assert COMPARED[kind](here) == COMPARED[kind](there)


@pytest.mark.parametrize(
    ("kind", "here", "there"),
    [
        ("jsonb", "[1, 2]", "[2, 1]"),
        ("jsonb", "1", '"1"'),
        ("jsonb", "0.1", "0.10000000000000001"),
        ("jsonb", "1e300", "1e301"),
        ("jsonb", "null", "{}"),
        ("timestamp with time zone", "2026-03-29 01:30:00.12", "2026-03-29 01:30:00.120001"),
    ],
)
def test_what_differs_is_not(kind: str, here: str, there: str) -> None:
    assert COMPARED[kind](here) != COMPARED[kind](there)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
        max_leaves=12,
    )
)
def test_json_is_the_same_as_itself_however_it_is_laid_out(value: object) -> None:
    assert COMPARED["jsonb"](json.dumps(value)) == COMPARED["jsonb"](json.dumps(value, indent=1, ensure_ascii=False))
