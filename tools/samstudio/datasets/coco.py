"""COCO's object detection format: {"images", "annotations", "categories"} (https://cocodataset.org/#format-data)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

from samstudio.datasets import Box, Dataset, Listed
from samstudio.errors import WrongCommandLine

KEYS = ("images", "annotations", "categories")


def read(file: Path) -> Dataset:
    """What a file says of its images; one without annotations has no boxes.

    Raises:
        WrongCommandLine: it cannot be read, or is not of this format.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unusable(file, str(error)) from error
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in KEYS):
        found = sorted(content) if isinstance(content, dict) else f"a {type(content).__name__}"
        raise _unusable(file, f"it holds {found}")
    dataset = Dataset(file.name, [])
    names = {each.get("id"): each.get("name") for each in _objects(content["categories"])}
    images = {}
    for entry in _objects(content["images"]):
        name = entry.get("file_name")
        if not isinstance(name, str) or not name:
            dataset.problems.append(f"image {entry.get('id')!r} has no file_name")
            continue
        images[entry.get("id")] = listed = Listed(name, _size(entry))
        dataset.images.append(listed)
    for entry in _objects(content["annotations"]):
        image = images.get(entry.get("image_id"))
        if image is None:
            dataset.problems.append(f"annotation {entry.get('id')!r} is of image {entry.get('image_id')!r}, not there")
            continue
        try:
            image.boxes.append(_box(entry, names))
        except ValueError as error:
            image.problems.append(f"annotation {entry.get('id')!r}: {error}")
    return dataset


def _box(entry: dict[str, Any], names: dict[Any, Any]) -> Box:
    label = names.get(entry.get("category_id"))
    if not isinstance(label, str) or not label:
        raise ValueError(f"category {entry.get('category_id')!r} has no name in the file.")
    if entry.get("iscrowd"):
        raise ValueError("it is a crowd, not one object.")
    sides = entry.get("bbox")
    if not isinstance(sides, list) or len(sides) != 4 or not all(map(_is_number, sides)):
        raise ValueError(f"its bbox is {sides!r}, not four numbers.")
    left, top, width, height = map(float, sides)
    score = entry.get("score")
    return Box(label, left, top, width, height, float(score) if _is_number(score) else None)


def _size(entry: dict[str, Any]) -> tuple[int, int]:
    """(0, 0) where the file tells none."""
    width, height = entry.get("width"), entry.get("height")
    return (int(width), int(height)) if _is_number(width) and _is_number(height) else (0, 0)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _objects(entries: list[Any]) -> Iterator[dict[str, Any]]:
    """Those with an id that can be one."""
    return (each for each in entries if isinstance(each, dict) and isinstance(each.get("id"), int | str | None))


def _unusable(file: Path, found: str) -> WrongCommandLine:
    return WrongCommandLine(
        f"{file} cannot be read as COCO.",
        found=found,
        expected='one JSON object with the lists "images", "annotations" and "categories"',
        command="samstudio masks --coco instances.json --images DIR",
    )
