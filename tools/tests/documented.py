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
TYPES = ("string", "integer", "number", "boolean", "object", "null")


@functools.cache
def verbs() -> dict[str, Any]:
    """A JSON schema for each verb."""
    (block,) = re.findall(r"(?ms)^```yaml\n(.*?)^```$", PAGE.read_text())
    described = yaml.safe_load(block)
    described.pop("error")
    return {name.strip(): _schema(keys) for names, keys in described.items() for name in names.split(",")}


def check(words: tuple[str, ...] | list[str], printed: dict[str, Any]) -> None:
    """Fail unless what was printed is what is documented for the verb at the beginning of these words."""
    verb = " ".join(words[:2]) if " ".join(words[:2]) in verbs() else words[0]
    jsonschema.validate(printed, verbs()[FAILING if "error" in printed else verb])


def _schema(described: Any) -> dict[str, Any]:
    if isinstance(described, dict):
        return {
            "type": "object",
            "properties": {name.rstrip("?"): _schema(value) for name, value in described.items()},
            "required": [name for name in described if not name.endswith("?")],
            "additionalProperties": False,
        }
    if isinstance(described, list):
        return {"type": "array", "items": _schema(described[0])}
    if described == "any":
        return {}
    types = described.split(" or ")
    assert set(types) <= set(TYPES), described
    return {"type": types}
