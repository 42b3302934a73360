"""docs/command-line.md documents the JSON of every verb that has any, and of no other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import typer.main
from samstudio.cli import app

from tools.tests import documented


def with_json(command: Any, words: tuple[str, ...] = ()) -> Iterator[str]:
    for name, below in getattr(command, "commands", {}).items():
        yield from with_json(below, (*words, name))
    if any("--json" in parameter.opts for parameter in command.params):
        yield " ".join(words)


def test_every_verb_with_json_is_documented() -> None:
    assert set(with_json(typer.main.get_command(app))) == set(documented.verbs()) - {documented.FAILING}


def test_what_differs_from_the_page_is_noticed() -> None:
    good = {"changed": False, "name": "gpu1"}
    documented.check(["backends", "drain"], good)
    documented.check(["backends", "drain"], {"changed": False, "error": {"message": "No."}})
    for wrong in ({"name": "gpu1"}, {**good, "more": 1}, {**good, "changed": "no"}):
        with pytest.raises(jsonschema.ValidationError):
            documented.check(["backends", "drain"], wrong)
