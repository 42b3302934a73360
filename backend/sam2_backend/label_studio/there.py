"""The regions that an annotation has already, as masks of the low-res logits' size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_backend.label_studio.labeling_config import MASK_KINDS
from sam2_backend.label_studio.on_screen import regions_on_screen
from sam2_backend.label_studio.regions import BOX_TYPES, frame_of, region_of
from sam2_backend.label_studio.results.reading import HALF, coverage
from sam2_backend.problems import Problem


def masks_there(
    task: Mapping[str, Any],
    to_name: str,
    side: int,
    most_pixels: int,
    item_index: int | None = None,
    *,
    boxes: bool = True,
) -> list[NDArray[np.bool_]]:
    """(side, side) each, of the squared image. Takes milliseconds for each mask.

    A region that cannot be read is left out: at worst its object is proposed once more. most_pixels: of an image.
    item_index: of the image, None where the task has one. boxes: whether rectangles count.
    """
    found: list[NDArray[np.bool_]] = []
    for position, item in enumerate(regions_on_screen(task)):
        here = item.get("to_name") == to_name and (frame_of(item).item_index or 0) == (item_index or 0)
        if here and (boxes or item.get("type") not in BOX_TYPES):
            found += (mask for mask in _mask(item, position, side, most_pixels) if mask.any())
    return found


def _mask(item: Mapping[str, Any], position: int, side: int, most_pixels: int) -> Iterator[NDArray[np.bool_]]:
    """One, or none. A rotated rectangle counts as the upright box around it, a rotated ellipse as if it was not."""
    tag, value = str(item.get("type")), item.get("value")
    kind = tag.removesuffix("labels")
    try:
        if tag in BOX_TYPES:
            (left, top), (right, bottom) = region_of(item, tag, {}, position).corners
            centres = (np.arange(side) + 0.5) / side
            yield np.outer((centres > top) & (centres < bottom), (centres > left) & (centres < right))
        elif kind == "ellipse" and isinstance(value, Mapping):
            x, y, width, height = (float(value[key]) for key in ("x", "y", "radiusX", "radiusY"))
            centres = (np.arange(side) + 0.5) / side * 100
            yield np.hypot((centres - x) * height, (centres[:, None] - y) * width) < width * height
        elif kind in MASK_KINDS and isinstance(value, Mapping):
            size = (item.get("original_width"), item.get("original_height"))
            yield coverage(kind, value, size, side, most_pixels) >= HALF  # type: ignore[arg-type]
    except (Problem, ValueError, TypeError, KeyError):
        return
