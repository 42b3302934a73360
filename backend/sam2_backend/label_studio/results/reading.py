"""Label Studio's brush, bitmask and polygon values → how much of each low-res pixel lies inside the mask."""

from __future__ import annotations

import base64
import functools
from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from sam2_backend.label_studio.results.rle import rle_to_mask

# Of tasks with many masks; 64 kB each beside the value itself.
REMEMBERED = 256
FINER = 4
PNG_START = "data:image/png;base64,"
# Of 255: a pixel that is covered by half belongs to the mask.
HALF = 128
# Percent: a polygon's corner this far outside the image may lie anywhere.
FAR = 1000.0


def coverage(
    kind: str, value: Mapping[str, object], size: tuple[int, int], side: int, most_pixels: int
) -> NDArray[np.uint8]:
    """(side, side) uint8, 255 where a pixel of the squared image lies all inside.

    kind: `brush`, `bitmask` or `polygon`. size: width and height of the upright image, which brush RLE needs.
    most_pixels: an image with more is refused. Raises ValueError for what holds no mask.
    """
    try:
        if kind == "polygon":
            found = _polygon(value, side)
        elif kind == "brush":
            found = _brush(_bytes(value.get("rle")), *size, side, most_pixels)
        else:
            found = _bitmask(str(value.get("imageDataURL")), side, most_pixels)
    except (TypeError, OverflowError, cv2.error) as error:
        raise ValueError(f"no {kind}: {error}") from None
    if not found.any():
        raise ValueError(f"an empty {kind}")
    return found


def _bytes(numbers: object) -> bytes:
    if not isinstance(numbers, list):
        raise ValueError("brush RLE is a list of numbers")
    return bytes(numbers)


def _polygon(value: Mapping[str, object], side: int) -> NDArray[np.uint8]:
    points = np.asarray(value.get("points"), np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
        raise ValueError("a polygon has three points or more")
    if value.get("closed") is False:
        raise ValueError("the polygon is not closed")
    finer = side * FINER
    corners = np.clip(points, -FAR, FAR) / 100 * finer - 0.5
    canvas = np.zeros((finer, finer), np.uint8)
    cv2.fillPoly(canvas, [np.round(corners).astype(np.int32)], 255)
    return _shrunk(canvas, side)


@functools.lru_cache(REMEMBERED)
def _brush(stream: bytes, width: int, height: int, side: int, most_pixels: int) -> NDArray[np.uint8]:
    if width * height > most_pixels:
        raise ValueError(f"{width} x {height} pixels are too many")
    return _shrunk(rle_to_mask(stream, height, width), side)


@functools.lru_cache(REMEMBERED)
def _bitmask(url: str, side: int, most_pixels: int) -> NDArray[np.uint8]:
    png = base64.b64decode(url.removeprefix(PNG_START), validate=True)
    width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))  # of PNG's first chunk
    if not png.startswith(b"\x89PNG") or not 0 < width * height <= most_pixels:
        raise ValueError("the bitmask is no PNG, or too large")
    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.ndim != 3 or pixels.shape[2] != 4:
        raise ValueError("the bitmask has no transparent background")
    return _shrunk(np.asarray(pixels[:, :, 3] > 0, np.uint8) * np.uint8(255), side)


def _shrunk(mask: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Read-only, as it may be handed out again."""
    found = np.asarray(cv2.resize(np.ascontiguousarray(mask), (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    found.flags.writeable = False
    return found
