"""The JSON of every verb, as docs/command-line.md promises it."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import jsonschema
import yaml

PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"
FAILING = "every verb that fails"
SIMPLE = ("string", "integer", "number", "boolean", "object", "null")


@functools.cache
def verbs() -> dict[str, Any]:
    """A JSON schema for each verb."""
    (block,) = re.findall(r"(?ms)^```yaml\n(.*?)^```$", PAGE.read_text())
    described = yaml.safe_load(block)
    shared = {name: described.pop(name) for name in list(described) if name.startswith(("a ", "an "))}
    return {name.strip(): _schema(keys, shared) for names, keys in described.items() for name in names.split(",")}


def check(words: tuple[str, ...] | list[str], printed: dict[str, Any]) -> None:
    """Fail unless what was printed is what is documented for the verb at the beginning of these words."""
    verb = " ".join(words[:2]) if " ".join(words[:2]) in verbs() else words[0]
    jsonschema.validate(printed, verbs()[FAILING if "error" in printed else verb])


def _schema(described: Any, shared: dict[str, Any]) -> dict[str, Any]:
    if isinstance(described, dict):
        return {
            "type": "object",
            "properties": {name: _schema(value, shared) for name, value in described.items()},
            "required": [name for name, value in described.items() if not str(value).startswith("maybe ")],
            "additionalProperties": False,
        }
    if isinstance(described, list):
        return {"type": "array", "items": _schema(described[0], shared)}
    choices = described.removeprefix("maybe ").split(" or ")
    return {"anyOf": [_one(choice, shared) for choice in choices]}


def _one(name: str, shared: dict[str, Any]) -> dict[str, Any]:
    if name.startswith("list of "):
        return {"type": "array", "items": _one(name.removeprefix("list of "), shared)}
    if name in shared:
        return _schema(shared[name], shared)
    assert name in (*SIMPLE, "any"), name
    return {} if name == "any" else {"type": name}
