"""A mask that is on the annotator's screen already → the mask that SAM 2 refines, when a negative point comes first.

The editor does not say which region is selected, and a positive point inside a mask may mean another object, which the
mask covers wrongly. A negative point alone means something only together with a mask: it takes up the one under it, or
else the nearest, of its label, or of any label where none is chosen. The points that follow belong to it as well.

The answer has that region's id. So the editor puts it in the region's place when it is accepted, and Undo brings the
region back (seen in Label Studio 1.23.2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sam2_backend.engine.interface import BOX_BOTTOM_RIGHT, BOX_TOP_LEFT, POSITIVE, Prompt
from sam2_backend.label_studio.labeling_config import MASK_KINDS
from sam2_backend.label_studio.on_screen import regions_on_screen
from sam2_backend.label_studio.regions import DrawnObject, Region, frame_of, label_names, labels_of
from sam2_backend.label_studio.results.reading import HALF, coverage

# SAM 2 turns a mask that it is given into logits of ±10 (`SAM2Base._use_mask_as_output`).
SCALE, BIAS = 20.0, -10.0


@dataclass(frozen=True, slots=True)
class ExistingMask:
    """id: of the region; kind: one of MASK_KINDS. split: its labels are those of a `Labels` tag beside it.

    inside: (side, side) uint8, how much of each pixel of the squared image it covers, at most 255.
    """

    id: str
    kind: str
    labels: tuple[str, ...]
    split: bool
    inside: NDArray[np.uint8]

    @property
    def solid(self) -> NDArray[np.bool_]:
        """(side, side), of which something is always True."""
        half: NDArray[np.bool_] = self.inside >= HALF
        return half if half.any() else self.inside > 0

    def distance(self, point: Region) -> float:
        """As a fraction of the image; 0 inside."""
        x, y = _pixel(point, len(self.inside))
        rows, columns = np.nonzero(self.solid)
        return float(np.hypot(columns - x, rows - y).min()) / len(self.inside)


def taken_up(task: Mapping[str, Any], point: Region, side: int, most_pixels: int) -> ExistingMask | None:
    """The mask that a negative point means. Takes milliseconds for each mask of the task the first time.

    side: of the low-res logits. most_pixels: of an image.
    """
    masks = _masks(regions_on_screen(task), point, side, most_pixels)
    return min(masks, key=lambda mask: (mask.distance(point), np.count_nonzero(mask.solid)), default=None)


def refining(mask: ExistingMask, drawn: DrawnObject) -> Prompt:
    """The mask as low-res logits, its box and its deepest point, away from negative points, before what was drawn.

    The box and the point are for models that were trained without a mask as input: our demo model heeds none, and finds
    nothing where only negative points are left (docs/masks.md has the figures).
    """
    asked, solid, side = drawn.prompt(), mask.solid, len(mask.inside)
    rows, columns = np.nonzero(solid)
    box = [(columns.min(), rows.min()), (columns.max() + 1, rows.max() + 1)]
    kept = np.pad(solid.astype(np.uint8), 1)
    for region in drawn.regions:
        if not region.positive:
            x, y = _pixel(region, side)
            kept[y + 1, x + 1] = 0
    row, column = np.unravel_index(int(cv2.distanceTransform(kept, cv2.DIST_L2, 5).argmax()), kept.shape)
    points = np.asarray([*box, (column - 0.5, row - 0.5)], np.float32) / side
    labels = np.asarray([BOX_TOP_LEFT, BOX_BOTTOM_RIGHT, POSITIVE], np.int32)
    return Prompt(
        points=np.concatenate([points, asked.points]),
        labels=np.concatenate([labels, asked.labels]),
        logits=np.asarray(mask.inside / 255 * SCALE + BIAS, np.float32),
        multimask=False,
    )


def _pixel(point: Region, side: int) -> tuple[int, int]:
    x, y = (int(min(number * side, side - 1)) for number in point.corners[0])
    return x, y


def _masks(items: list[Mapping[str, Any]], point: Region, side: int, most_pixels: int) -> Iterator[ExistingMask]:
    """Those that the point may mean and that can be read."""
    names = label_names(items)
    for item in items:
        tag, identifier, value = str(item.get("type")), item.get("id"), item.get("value")
        kind, frame = tag.removesuffix("labels"), frame_of(item)
        if kind not in MASK_KINDS or not isinstance(identifier, str) or not isinstance(value, Mapping):
            continue
        labels = labels_of(item, tag, identifier, names)
        elsewhere = (item.get("to_name"), frame.item_index) != (point.to_name, point.frame.item_index)
        if elsewhere or (point.labels and set(labels) != set(point.labels)):
            continue
        try:
            inside = coverage(kind, value, (frame.width, frame.height), side, most_pixels)
        except ValueError:
            continue
        yield ExistingMask(identifier, kind, labels, tag == kind, inside)
