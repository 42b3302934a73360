"""The editor's text field for SAM 2: a word and Enter ask for masks of the open image, and sentences come back.

`boxes` asks for the masks of the image's boxes, `all` or `all LABEL` for those of every object.

Label Studio sends what was typed as a region of type `textarea`, and would store it with the annotation. What makes the
answer vanish, seen in Label Studio 1.23.2:

- The answer takes the place of what was typed: the sentences are the field's text now. Under the same id it holds a
  result of type `choices` for a tag that nobody sees, the mark. The field says `visibleWhen="choice-unselected"` and
  names the mark, which itself says `visibleWhen="choice-selected"` and names a tag that does not exist. So the editor
  leaves both out of every draft and annotation.
- `maxSubmissions="1"`: as long as the sentences stand there, nothing can be typed. A click on them deletes the field's
  result and leaves the mark alone. Since that is `perRegion`, it counts for its own region only: what is typed next is
  another one, which is sent.
- The sentences end with a line break, which nothing that was typed has: the style of the field tells them apart by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sam2_backend.label_studio.everything import Everything
from sam2_backend.label_studio.labeling_config import TextField
from sam2_backend.label_studio.masks import TaskMasks
from sam2_backend.label_studio.results.items import new_id

BOXES, ALL = "boxes", "all"
# The type of the region that holds what was typed.
TYPED = "textarea"
MOST_SENTENCES = 4


def typed(result: object, field: TextField | None) -> str | None:
    """The last line that was typed, None if it was not the field that asked."""
    if field is None or not isinstance(result, list):
        return None
    for item in result:
        if isinstance(item, Mapping) and item.get("from_name") == field.name:
            value = item.get("value")
            lines = value.get("text") if isinstance(value, Mapping) else None
            return str(lines[-1]).strip() if isinstance(lines, list) and lines else ""
    return None


def command(text: str) -> tuple[str, str]:
    """The word, in small letters, and what follows it."""
    word, _, rest = text.partition(" ")
    return word.lower(), rest.strip()


def said(field: TextField, sentences: Sequence[str]) -> list[dict[str, Any]]:
    """Items that show the sentences in the field and that the editor stores nothing of."""
    if len(sentences) > MOST_SENTENCES:
        rest = len(sentences) - MOST_SENTENCES + 1
        sentences = [*sentences[: MOST_SENTENCES - 1], f"{rest} more: ask whoever runs this for samstudio status."]
    shared = {"id": new_id(), "to_name": field.to_name}
    text = "".join(f"{sentence}\n" for sentence in sentences)
    return [
        {**shared, "from_name": field.name, "type": TYPED, "value": {"text": [text]}},
        {**shared, "from_name": field.mark, "type": "choices", "value": {"text": []}},
    ]


def of_boxes(masks: TaskMasks, seconds: float) -> list[str]:
    """What the annotator is told of the boxes of the open task."""
    if masks.state == "made":
        return [*_made(len(masks.scores), masks.there), *masks.problems]
    if masks.state == "no boxes":
        return ["No boxes here. What you drew a moment ago counts once Label Studio has saved it: try again."]
    if masks.state == "left":
        return [f"Nothing was ready after {seconds:g} s. Try again: what was computed is kept."]
    return masks.problems or [masks.error]


def _made(count: int, there: int) -> list[str]:
    told = []
    if count:
        made = "1 mask" if count == 1 else f"{count} masks"
        told.append(f"{made}, with the labels of the boxes. Accept before you choose a label.")
    if there:
        told.append("1 box has its mask already." if there == 1 else f"{there} boxes have their masks already.")
    return told


def of_all(found: Everything, seconds: float) -> list[str]:
    """What the annotator is told of the objects of the open image."""
    told = [] if found.whole else [f"The image was not searched to the end: {seconds:g} s were over."]
    count = len(found.scores)
    if not count:
        return [f"No {'other ' if found.there else ''}objects found.", *told]
    made = "1 object" if count == 1 else f"{count} objects"
    called = f' with the label "{found.label}"' if found.label else ""
    if found.left_out:
        told.append(f"{found.left_out} more were found: accept these, wait until they are saved, and ask again.")
    return [f"{made}{called}. Throw away what you do not want, and accept before you choose a label.", *told]


def unknown(text: str) -> list[str]:
    return [f'"{text[:40]}" means nothing here. Type {BOXES} for the masks of all boxes, or {ALL} for every object.']
