"""Result items as the editor takes them: `brushlabels` and its siblings, or a pair of items that share one id."""

from __future__ import annotations

import secrets
import string
from typing import Any

import orjson

from sam2_backend.label_studio.labeling_config import LabelsTag, Output
from sam2_backend.label_studio.regions import Region
from sam2_backend.label_studio.results import shapes
from sam2_backend.label_studio.results.mask import Mask
from sam2_backend.settings import PolygonStyle

_ALPHABET = string.ascii_letters + string.digits


def items(
    mask: Mask,
    prompt: Region,
    output: Output,
    naming: LabelsTag | None,
    score: float,
    style: PolygonStyle,
    replaces: str | None = None,
) -> list[dict[str, Any]]:
    """One item for each region, two with a separate `Labels` tag; none for an empty mask.

    score: the mask's predicted IoU, 0 to 1. replaces: the id of the region whose place the first one takes.
    Values may hold `orjson.Fragment`: serialise with orjson.
    """
    found: list[dict[str, Any]] = []
    for value in [] if mask.empty else _values(mask, output.kind, style):
        shared: dict[str, Any] = {
            "id": replaces or new_id(),
            "to_name": output.to_name,
            "original_width": mask.width,
            "original_height": mask.height,
            "image_rotation": prompt.frame.rotation,
            "score": round(score, 4),
        }
        if prompt.frame.item_index is not None:
            shared["item_index"] = prompt.frame.item_index
        labels = list(prompt.labels)
        own = {output.type: labels} if output.labelled else {}
        found.append({**shared, "from_name": output.name, "type": output.type, "value": {**value, **own}})
        if naming is not None:
            value_with_labels = {**value, "labels": labels}
            found.append({**shared, "from_name": naming.name, "type": "labels", "value": value_with_labels})
        replaces = None
    return found


def _values(mask: Mask, kind: str, style: PolygonStyle) -> list[dict[str, Any]]:
    if kind == "brush":
        return [{"format": "rle", "rle": orjson.Fragment(mask.brush_json())}]
    if kind == "bitmask":
        return [shapes.bitmask(mask)]
    if kind == "polygon":
        return shapes.polygons(mask, style)
    value = shapes.rectangle(mask) if kind == "rectangle" else shapes.ellipse(mask)
    return [value] if value else []


def new_id() -> str:
    """As the editor makes them: ten letters and digits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(10))
