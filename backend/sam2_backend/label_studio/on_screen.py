"""The regions that the annotator who asks has in front of him, of all that a task tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def regions_on_screen(task: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Items of the newest draft. Without a draft those of the only annotation: of several, nobody says which.

    Not of a prediction: the editor gives its regions other ids where it makes an annotation of it.
    """
    drafts = _mappings(task.get("drafts"))
    annotations = [each for each in _mappings(task.get("annotations")) if not each.get("was_cancelled")]
    shown = max(drafts, key=_id) if drafts else annotations[0] if len(annotations) == 1 else {}
    return _mappings(shown.get("result"))


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _id(entry: Mapping[str, Any]) -> int:
    number = entry.get("id")
    return number if isinstance(number, int) else 0
