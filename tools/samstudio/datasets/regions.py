"""Boxes as the regions of a Label Studio prediction, for the rectangle control that knows their label."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from samstudio.datasets import Box
from samstudio.datasets.pictures import Picture
from samstudio.labelstudio.label_config import Control, LabelConfig

BOX_TAGS = ("RectangleLabels", "Rectangle")
#: by what `samstudio masks --to` calls them
MASK_TAGS = {
    "brush": ("BrushLabels", "Brush"),
    "bitmask": ("BitmaskLabels", "Bitmask"),
    "polygon": ("PolygonLabels", "Polygon"),
}
#: digits of a region's id and of its sides' shares that are compared
ID_DIGITS, SHARE_DIGITS = 10, 4


def without_control(config: LabelConfig, labels: Iterable[str], tags: Sequence[str]) -> list[str]:
    """Labels that no control of these tags has."""
    return sorted({label for label in labels if _control(config, label, tags) is None})


def prediction(picture: Picture, config: LabelConfig, version: str) -> dict[str, Any]:
    """`{"result", "score", "model_version"}`; every label must have a control."""
    result: list[dict[str, Any]] = []
    for number, box in enumerate(picture.boxes):
        control = _control(config, box.label, BOX_TAGS)
        assert control is not None
        seed = f"{version}\0{picture.file}\0{number}"
        result += _items(hashlib.sha256(seed.encode()).hexdigest()[:ID_DIGITS], box, picture, control)
    scores = [box.score for box in picture.boxes if box.score is not None]
    score = round(sum(scores) / len(scores), 4) if scores else None
    return {"result": result, "score": score, "model_version": version}


def same(one: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]]) -> bool:
    """Whether two results hold the same boxes with the same labels, whatever their ids."""
    return _essence(one) == _essence(other)


def _essence(result: Sequence[dict[str, Any]]) -> list[tuple[Any, ...]]:
    sides = ("x", "y", "width", "height")
    return sorted(
        (
            item["type"],
            str(item["value"].get(item["type"], "")),
            *(round(item["value"][side] / 100, SHARE_DIGITS) for side in sides),
        )
        for item in result
    )


def _control(config: LabelConfig, label: str, tags: Sequence[str]) -> Control | None:
    return next((each for each in config.controls if each.tag in tags and label in each.labels), None)


def _items(name: str, box: Box, picture: Picture, control: Control) -> list[dict[str, Any]]:
    """One item, or two of one id where the labels have a tag of their own."""
    place = {
        "x": 100 * box.left,
        "y": 100 * box.top,
        "width": 100 * box.width,
        "height": 100 * box.height,
        "rotation": 0,
    }
    shared = {
        "id": name,
        "to_name": control.to_name,
        "original_width": picture.size[0],
        "original_height": picture.size[1],
        "image_rotation": 0,
        **({} if box.score is None else {"score": box.score}),
    }
    kind = control.tag.lower()
    if not control.shared:
        return [{**shared, "from_name": control.name, "type": kind, "value": {**place, kind: [box.label]}}]
    return [
        {**shared, "from_name": control.name, "type": kind, "value": place},
        {**shared, "from_name": control.shared, "type": "labels", "value": {**place, "labels": [box.label]}},
    ]
