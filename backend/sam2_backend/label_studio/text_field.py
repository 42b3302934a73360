"""The editor's text field for SAM 2: `boxes` and Enter ask for the masks of an image's boxes, and sentences come back.

Label Studio sends what was typed as a region of type `textarea`, and would store it with the annotation. Two things in
the answer, seen in Label Studio 1.23.2, make it vanish:

- The answer takes the place of what was typed. It holds an empty text for the field and, under the same id, the
  sentences for the tag beside it, as a result of type `choices`. The field says `visibleWhen="choice-unselected"` and
  names that tag, which itself says `visibleWhen="choice-selected"` and names a tag that does not exist. So the editor
  leaves both out of every draft and annotation, though it shows them.
- `dynamic` makes the editor drop them with the next suggestions that are accepted or thrown away, like a smart point.

While sentences stand beside the field, the editor leaves out what is typed next as well: it sends an empty list. So the
field can ask for one thing only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sam2_backend.label_studio.labeling_config import TextField
from sam2_backend.label_studio.masks import TaskMasks
from sam2_backend.label_studio.results.items import new_id

COMMAND = "boxes"
# The type of the region that holds what was typed.
TYPED = "textarea"
MOST_SENTENCES = 4


def typed(result: object, field: TextField | None) -> str | None:
    """The last line that was typed, COMMAND where the editor left it out, None if it was not the field that asked."""
    if field is None or not isinstance(result, list):
        return None
    if not result:
        return COMMAND
    for item in result:
        if isinstance(item, Mapping) and item.get("from_name") == field.name:
            value = item.get("value")
            lines = value.get("text") if isinstance(value, Mapping) else None
            return str(lines[-1]).strip().lower() if isinstance(lines, list) and lines else COMMAND
    return None


def said(field: TextField, sentences: Sequence[str]) -> list[dict[str, Any]]:
    """Items that empty the field and show the sentences beside it."""
    if len(sentences) > MOST_SENTENCES:
        rest = len(sentences) - MOST_SENTENCES + 1
        sentences = [*sentences[: MOST_SENTENCES - 1], f"{rest} more: ask whoever runs this for samstudio status."]
    shared = {"id": new_id(), "to_name": field.to_name, "dynamic": True}
    return [
        {**shared, "from_name": field.name, "type": TYPED, "value": {"text": []}},
        {**shared, "from_name": field.says, "type": "choices", "value": {"text": list(sentences)}},
    ]


def sentences(masks: TaskMasks, seconds: float) -> list[str]:
    """What the annotator is told of the boxes of the open task."""
    if masks.state == "made":
        count = len(masks.scores)
        made = "1 mask" if count == 1 else f"{count} masks"
        return [f"{made}, with the labels of the boxes. Accept before you choose a label.", *masks.problems]
    if masks.state == "no boxes":
        return ["No boxes here. What you drew a moment ago counts once Label Studio has saved it: try again."]
    if masks.state == "left":
        return [f"Nothing was ready after {seconds:g} s. Try again: what was computed is kept."]
    return masks.problems or [masks.error]


def unknown(text: str) -> list[str]:
    return [f'"{text[:40]}" means nothing here. Type {COMMAND} and press Enter.']
