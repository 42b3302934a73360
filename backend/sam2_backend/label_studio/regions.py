"""Label Studio's `context.result` → one SAM2 prompt for each object that the annotator means.

What the editor sends: all pending regions of one type and one label, in the order they were drawn. With a separate
`Labels` tag every region arrives twice under one id, once as `keypoint` or `rectangle`, once as `labels`. Alt+click
gives `is_positive: false`; a point without that field is positive. Rectangles never have it, and ellipses, polygons
and brush strokes never come, whatever `smart` says (seen in Label Studio 1.23.2).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sam2_backend.engine.interface import BOX_BOTTOM_RIGHT, BOX_TOP_LEFT, NEGATIVE, POSITIVE, Prompt
from sam2_backend.problems import Problem

MAX_REGIONS = 512
ASPECT_TOLERANCE = 0.02
POINT_TYPES = ("keypoint", "keypointlabels")
BOX_TYPES = ("rectangle", "rectanglelabels")
LABELS_TYPE = "labels"


@dataclass(frozen=True, slots=True)
class Region:
    """One drawn point or box. corners: ((x, y),) or (top left, bottom right), fractions of the upright image."""

    id: str
    to_name: str
    corners: tuple[tuple[float, float], ...]
    positive: bool
    labels: tuple[str, ...]
    split: bool
    frame: Frame

    @property
    def is_box(self) -> bool:
        return len(self.corners) == 2

    @property
    def identity(self) -> tuple[object, ...]:
        """Equal for the same region with the same geometry, however often it is sent."""
        return (self.id, self.corners, self.positive)


@dataclass(frozen=True, slots=True)
class Frame:
    """The editor's view of the image, to be repeated in the answer. width, height in pixels, upright; 0 if not told."""

    width: int
    height: int
    rotation: float
    item_index: int | None

    def size_on(self, width: int, height: int, most_pixels: int) -> tuple[int, int] | None:
        """Width and height of an answer for an upright image of this size: what the editor showed.

        The image's own where the editor told none, or more than `most_pixels`; None if it showed another picture.
        """
        if not self.width or not self.height or self.width * self.height > most_pixels:
            return width, height
        shown = abs(self.width * height / (self.height * width) - 1) <= ASPECT_TOLERANCE
        return (self.width, self.height) if shown else None


@dataclass(frozen=True, slots=True)
class DrawnObject:
    """Everything that was drawn for one object, in drawing order."""

    regions: tuple[Region, ...]

    @property
    def first(self) -> Region:
        return self.regions[0]

    @property
    def strokes(self) -> tuple[tuple[object, ...], ...]:
        return tuple(region.identity for region in self.regions)

    @property
    def ambiguous(self) -> bool:
        """A single point may mean a part or the whole; SAM2 then offers three masks."""
        return len(self.regions) == 1 and not self.first.is_box

    @property
    def negative(self) -> bool:
        """Nothing but negative points: no prompt without a mask to take them away from."""
        return not any(region.is_box or region.positive for region in self.regions)

    @property
    def begins_with_less(self) -> bool:
        """A negative point comes first, and no box says what it is taken away from."""
        return not self.first.positive and not any(region.is_box for region in self.regions)

    def prompt(self) -> Prompt:
        """Boxes first, as SAM2 was trained."""
        ordered = sorted(self.regions, key=lambda region: not region.is_box)
        points = [corner for region in ordered for corner in region.corners]
        labels = [label for region in ordered for label in _engine_labels(region)]
        return Prompt(
            points=np.asarray(points, np.float32).reshape(-1, 2),
            labels=np.asarray(labels, np.int32),
            multimask=self.ambiguous,
        )


def _engine_labels(region: Region) -> tuple[int, ...]:
    if region.is_box:
        return (BOX_TOP_LEFT, BOX_BOTTOM_RIGHT)
    return (POSITIVE if region.positive else NEGATIVE,)


def drawn_objects(result: object) -> list[DrawnObject]:
    """Objects in the order they were begun, `negative` ones among them. Raises Problem (400) if nothing can be used."""
    if not isinstance(result, Sequence) or isinstance(result, str | bytes):
        raise Problem(400, "prompt", "params.context.result must be a list of regions.")
    if len(result) > 2 * MAX_REGIONS:
        raise Problem(400, "prompt", f"{len(result)} regions in one request; at most {2 * MAX_REGIONS} are taken.")
    items = [item for item in result if isinstance(item, Mapping)]
    names = label_names(items)
    regions: dict[str, Region] = {}
    ignored: set[str] = set()
    for position, item in enumerate(items):
        kind = str(item.get("type"))
        if kind == LABELS_TYPE:
            continue
        if kind not in POINT_TYPES + BOX_TYPES:
            ignored.add(kind)
            continue
        region = region_of(item, kind, names, position)
        if region.is_box and not region.positive:
            raise Problem(400, "prompt", "A rectangle cannot be negative: SAM 2 takes negative points only.")
        regions.setdefault(region.id, region)
    if not regions:
        found = ", ".join(sorted(ignored)) or "nothing"
        raise Problem(400, "prompt", f"A prompt is a keypoint or a rectangle; the editor sent {found}.")
    return [built for group in _groups(regions.values()) for built in _objects(group)]


def begun(objects: Sequence[DrawnObject]) -> list[DrawnObject]:
    """Those that need no mask to take something away from. Raises Problem (400) if there are none."""
    found = [each for each in objects if not each.negative]
    if not found:
        raise nothing_begun()
    return found


def nothing_begun() -> Problem:
    return Problem(
        400,
        "prompt",
        "Only negative points were given, and no mask of their label to take them away from: "
        "add a positive point or a rectangle first.",
    )


def label_names(items: Iterable[Mapping[str, object]]) -> dict[str, tuple[str, ...]]:
    """What the `Labels` items among them call the region of the same id."""
    return {str(item.get("id")): _strings(_value(item), "labels") for item in items if item.get("type") == LABELS_TYPE}


def region_of(item: Mapping[str, object], kind: str, names: Mapping[str, tuple[str, ...]], position: int) -> Region:
    """names: by id, the labels of the `Labels` item beside it. position: names it if it has no id. Raises Problem."""
    value = _value(item)
    identifier = str(item.get("id") or f"prompt-{position}")
    x, y = _number(value, "x") / 100, _number(value, "y") / 100
    corners: tuple[tuple[float, float], ...]
    frame = frame_of(item)
    if kind in POINT_TYPES:
        corners = ((_unit(x), _unit(y)),)
    else:
        corners = _box(x, y, _number(value, "width") / 100, _number(value, "height") / 100, value, frame)
    positive = item.get("is_positive")
    return Region(
        id=identifier,
        to_name=str(item.get("to_name") or "image"),
        corners=corners,
        positive=positive not in (False, 0),
        labels=labels_of(item, kind, identifier, names) or _strings(value, "labels"),
        split=not kind.endswith("labels"),
        frame=frame,
    )


def frame_of(item: Mapping[str, object]) -> Frame:
    return Frame(
        width=_size(item, "original_width"),
        height=_size(item, "original_height"),
        rotation=_optional(item, "image_rotation"),
        item_index=_index(item),
    )


def labels_of(
    item: Mapping[str, object], kind: str, identifier: str, names: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """Its own, or those of the `Labels` item of the same id. names: as `label_names` gives them."""
    own = _strings(_value(item), kind) if kind.endswith("labels") else ()
    return own or names.get(identifier, ())


def _box(
    x: float, y: float, width: float, height: float, value: Mapping[str, object], frame: Frame
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Upright box around a rectangle that the editor may have rotated about its top left corner, in degrees."""
    angle = math.radians(_optional(value, "rotation"))
    aspect = frame.width / frame.height if frame.width and frame.height else 1.0
    cosine, sine = math.cos(angle), math.sin(angle)
    corners = [(0.0, 0.0), (width, 0.0), (0.0, height), (width, height)]
    xs = [x + across * cosine - down * sine / aspect for across, down in corners]
    ys = [y + across * sine * aspect + down * cosine for across, down in corners]
    return (_unit(min(xs)), _unit(min(ys))), (_unit(max(xs)), _unit(max(ys)))


def _groups(regions: Iterable[Region]) -> list[list[Region]]:
    groups: dict[tuple[object, ...], list[Region]] = {}
    for region in regions:
        groups.setdefault((region.to_name, region.frame.item_index, region.labels), []).append(region)
    return list(groups.values())


def _objects(group: list[Region]) -> list[DrawnObject]:
    """Points of one label are one object; each box is one, and takes the points inside it, or else nearest to it."""
    boxes = [region for region in group if region.is_box]
    if len(boxes) <= 1:
        return [DrawnObject(tuple(group))]
    owned: dict[str, list[Region]] = {box.id: [box] for box in boxes}
    for point in group:
        if not point.is_box:
            owner = min(boxes, key=lambda box: (distance(point, box), _area(box)))
            owned[owner.id].append(point)
    return [DrawnObject(tuple(regions)) for regions in owned.values()]


def distance(point: Region, other: Region) -> float:
    """To a box or a point, as a fraction of the image; 0 inside a box."""
    (x, y), (left, top), (right, bottom) = point.corners[0], other.corners[0], other.corners[-1]
    return math.hypot(max(left - x, 0, x - right), max(top - y, 0, y - bottom))


def _area(box: Region) -> float:
    (left, top), (right, bottom) = box.corners
    return (right - left) * (bottom - top)


def _value(item: Mapping[str, object]) -> Mapping[str, object]:
    value = item.get("value")
    return value if isinstance(value, Mapping) else {}


def _strings(value: Mapping[str, object], key: str) -> tuple[str, ...]:
    found = value.get(key)
    return tuple(str(entry) for entry in found) if isinstance(found, list) else ()


def _number(value: Mapping[str, object], key: str) -> float:
    number = value.get(key)
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise Problem(400, "prompt", f'A prompt region needs a number in value["{key}"], percent of the image size.')
    return float(number)


def _optional(value: Mapping[str, object], key: str) -> float:
    number = value.get(key)
    usable = isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)
    return float(number) if usable else 0.0  # type: ignore[arg-type]


def _size(item: Mapping[str, object], key: str) -> int:
    number = item.get(key)
    return int(number) if isinstance(number, int) and not isinstance(number, bool) and 0 < number <= 1 << 20 else 0


def _index(item: Mapping[str, object]) -> int | None:
    index = item.get("item_index")
    return index if isinstance(index, int) and not isinstance(index, bool) and index >= 0 else None


def _unit(number: float) -> float:
    return min(1.0, max(0.0, number))
