"""The rectangles and key points that a task's annotations or predictions have already → one SAM2 prompt for each.

A rectangle that was rotated becomes the upright box around it: points beside that box, inside or at its free corners,
made no mask better (docs/masks.md has the figures).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sam2_backend.label_studio.regions import (
    BOX_TYPES,
    POINT_TYPES,
    DrawnObject,
    Region,
    distance,
    label_names,
    region_of,
)
from sam2_backend.problems import Problem

ANNOTATIONS, PREDICTIONS = "annotations", "predictions"
# What the one who asks has on the screen: Label Studio sends the drafts of that person alone.
ON_SCREEN = "on screen"
# Where boxes are looked for, in this order. Every other source is a model version.
KINDS: Mapping[str | None, Sequence[str]] = {
    None: (ANNOTATIONS, PREDICTIONS),
    ANNOTATIONS: (ANNOTATIONS,),
    PREDICTIONS: (PREDICTIONS,),
    ON_SCREEN: ("drafts", ANNOTATIONS, PREDICTIONS),
}


@dataclass(slots=True)
class Boxes:
    """What a task offers. problems: a sentence for each region that is no prompt and was meant as one."""

    objects: list[DrawnObject] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.objects or self.problems)


def boxes_of(task: Mapping[str, Any], source: str | None, labels: frozenset[str] | None) -> Boxes:
    """Of the newest draft, annotation or prediction that has any.

    source: ANNOTATIONS, PREDICTIONS, or the model version of predictions; None for annotations, and predictions where
    no annotation has any; ON_SCREEN for drafts before these. labels: those to take, None for all.
    """
    for results in _results(task, source):
        found = _boxes(results, labels)
        if found:
            return found
    return Boxes()


def name_of(region: Region) -> str:
    kind = "Rectangle" if region.is_box else "Key point"
    called = ", ".join(region.labels)
    return f"{kind} {region.id} ({called})" if called else f"{kind} {region.id}"


def _results(task: Mapping[str, Any], source: str | None) -> Iterator[Sequence[Mapping[str, Any]]]:
    """Newest first."""
    kinds = KINDS.get(source, (PREDICTIONS,))
    version = None if source in KINDS else source
    for kind in kinds:
        given = task.get(kind)
        entries = [entry for entry in given if isinstance(entry, Mapping)] if isinstance(given, list) else []
        for entry in sorted(entries, key=_id, reverse=True):
            result = entry.get("result")
            unwanted = entry.get("was_cancelled") or (version is not None and entry.get("model_version") != version)
            if isinstance(result, list) and not unwanted:
                yield [item for item in result if isinstance(item, Mapping)]


def _id(entry: Mapping[str, Any]) -> int:
    number = entry.get("id")
    return number if isinstance(number, int) else 0


def _boxes(items: Sequence[Mapping[str, Any]], labels: frozenset[str] | None) -> Boxes:
    found = Boxes()
    names = label_names(items)
    seen: set[str] = set()
    negative: list[Region] = []
    for position, item in enumerate(items):
        kind = str(item.get("type"))
        if kind not in POINT_TYPES + BOX_TYPES:
            continue
        try:
            region = region_of(item, kind, names, position)
        except Problem as problem:
            found.problems.append(f"Region {item.get('id') or position}: {problem.message}")
            continue
        if region.id in seen or (labels is not None and not labels.intersection(region.labels)):
            continue
        seen.add(region.id)
        wrong = _wrong(region, item)
        if wrong:
            found.problems.append(f"{name_of(region)}: {wrong}")
        elif region.is_box or region.positive:
            found.objects.append(DrawnObject((region,)))
        else:
            negative.append(region)
    for point in negative:
        _take_away(point, found)
    return found


def _wrong(region: Region, item: Mapping[str, Any]) -> str:
    """Why a region is no prompt, "" if it is one."""
    value: Mapping[str, Any] = item["value"]
    if not region.is_box:
        inside = 0 <= value["x"] <= 100 and 0 <= value["y"] <= 100
        return "" if inside else "it lies outside the image."
    if value["width"] <= 0 or value["height"] <= 0:
        return "it has no area."
    if value.get("rotation") and not (region.frame.width and region.frame.height):
        return "it is rotated, which means nothing without original_width and original_height."
    (left, top), (right, bottom) = region.corners
    return "" if left < right and top < bottom else "it lies outside the image."


def _take_away(point: Region, found: Boxes) -> None:
    """A negative point belongs to the nearest object of its labels."""
    same = [
        each
        for each in found.objects
        if (each.first.to_name, each.first.frame.item_index, each.first.labels)
        == (point.to_name, point.frame.item_index, point.labels)
    ]
    if not same:
        found.problems.append(f"{name_of(point)}: it is negative, and there is nothing to take it away from.")
        return
    nearest = min(same, key=lambda each: distance(point, each.first))
    found.objects[found.objects.index(nearest)] = DrawnObject((*nearest.regions, point))
