"""A mask as polygon, rectangle, ellipse or bitmask values; positions in percent of the image's width and height."""

from __future__ import annotations

import base64
import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sam2_backend.label_studio.results.mask import Mask
from sam2_backend.settings import PolygonStyle

# An outline on a finer grid than this carries no more than the 256x256 logits told.
OUTLINE_SIDE = 2048
SMALLEST_PART = 0.01


def bitmask(mask: Mask) -> dict[str, Any]:
    """PNG of the image's size, transparent outside, as the editor's Bitmask tag stores it."""
    pixels = mask.pixels()
    layered = np.zeros((*pixels.shape, 4), np.uint8)
    layered[pixels > 0] = 255
    done, png = cv2.imencode(".png", layered, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert done
    return {"imageDataURL": "data:image/png;base64," + base64.b64encode(png.tobytes()).decode()}


def polygons(mask: Mask, style: PolygonStyle) -> list[dict[str, Any]]:
    """Outer outlines, largest first: one, or with `style.parts` = `all` every part of at least 1 % of the whole."""
    pixels = mask.pixels(OUTLINE_SIDE)
    height, width = pixels.shape
    contours, _ = cv2.findContours(pixels, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outlines = sorted(contours, key=cv2.contourArea, reverse=True)
    if not outlines:
        return []
    total = sum(cv2.contourArea(outline) for outline in outlines)
    chosen = outlines[:1]
    if style.parts == "all":
        chosen += [outline for outline in outlines[1:] if cv2.contourArea(outline) >= SMALLEST_PART * total]
    found = []
    for outline in chosen:
        points = _simplify(outline, style).astype(np.float64)
        if len(points) >= 3:
            # A contour runs through pixel centres; half a pixel brings it to the image's own coordinates.
            percent = (points + 0.5) / (width, height) * 100
            found.append({"points": np.round(percent, 3).tolist(), "closed": True})
    return found


def _simplify(outline: NDArray[Any], style: PolygonStyle) -> NDArray[Any]:
    """Ramer-Douglas-Peucker; the tolerance grows until the point cap holds."""
    _, _, width, height = cv2.boundingRect(outline)
    tolerance = style.tolerance / 100 * math.hypot(width, height)
    while True:
        points = cv2.approxPolyDP(outline, tolerance, closed=True).reshape(-1, 2)
        if len(points) <= style.max_points:
            return points
        tolerance = max(tolerance * 1.4, 0.25)


def rectangle(mask: Mask) -> dict[str, Any] | None:
    pixels = mask.largest_component(mask.pixels(OUTLINE_SIDE))
    x, y, width, height = cv2.boundingRect(pixels)
    if width == 0:
        return None
    rows, columns = pixels.shape
    return {
        "x": _percent(x, columns),
        "y": _percent(y, rows),
        "width": _percent(width, columns),
        "height": _percent(height, rows),
        "rotation": 0,
    }


def ellipse(mask: Mask) -> dict[str, Any] | None:
    """The upright ellipse with the mask's centre and second moments; percent of width for x, of height for y."""
    pixels = mask.largest_component(mask.pixels(OUTLINE_SIDE))
    moments = cv2.moments(pixels, binaryImage=True)
    area = moments["m00"]
    if area == 0:
        return None
    rows, columns = pixels.shape
    # A filled ellipse with half axis r has variance r^2 / 4 along that axis; a pixel adds 1/12.
    across = 2 * math.sqrt(moments["mu20"] / area + 1 / 12)
    down = 2 * math.sqrt(moments["mu02"] / area + 1 / 12)
    return {
        "x": _percent(moments["m10"] / area + 0.5, columns),
        "y": _percent(moments["m01"] / area + 0.5, rows),
        "radiusX": _percent(across, columns),
        "radiusY": _percent(down, rows),
        "rotation": 0,
    }


def _percent(pixels: float, whole: int) -> float:
    return round(100 * pixels / whole, 4)
