"""A dataset's images as they are on this disk, and its boxes as shares of them."""

from __future__ import annotations

import math
import os
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from PIL import ExifTags, Image, UnidentifiedImageError

from samstudio.datasets import Box, Listed
from samstudio.labelstudio.storage import IMAGE_SUFFIXES

#: EXIF orientations that are shown turned by a quarter
QUARTER_TURNED = (5, 6, 7, 8)
#: Sizes of one shape differ by this share at most: as the backend compares them.
TOLERANCE = 0.02
#: Label Studio takes no larger upload.
MOST_BYTES = 200 << 20


@dataclass(frozen=True)
class Picture:
    """An image that is there. size: upright, as a browser shows it; boxes: shares of that, nothing sticks out."""

    file: str
    path: Path
    size: tuple[int, int]
    bytes: int
    boxes: list[Box] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def look(listed: Listed, folder: Path) -> Picture:
    """Compare what a file says of an image with the image.

    Args:
        folder: an absolute path.

    Raises:
        ValueError: nothing can be made of it; the text says why.
    """
    path = Path(os.path.normpath(folder / listed.file))
    if not path.is_relative_to(folder):
        raise ValueError(f"it is not below {folder}.")
    if not path.is_file():
        raise ValueError(f"no such file in {folder}.")
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise ValueError(f"a browser does not show it; it shows {', '.join(IMAGE_SUFFIXES)}.")
    size, length = _upright_size(path), path.stat().st_size
    if length > MOST_BYTES:
        raise ValueError(f"it has {length >> 20} MiB, and Label Studio takes {MOST_BYTES >> 20}.")
    if listed.size is not None and not _same_shape(listed.size, size):
        made, found = (f"{width}x{height}" for width, height in (listed.size, size))
        raise ValueError(f"its boxes were made on an image of {made}, but the file, upright, is {found}.")
    picture = Picture(path.relative_to(folder).as_posix(), path, size, length, problems=list(listed.problems))
    across, down = listed.size or (1, 1)
    for box in listed.boxes:
        problem, whole = _inside(box, across, down)
        if whole is None:
            place = ", ".join(f"{side:g}" for side in (box.left, box.top, box.width, box.height))
            picture.problems.append(f"box of {box.label} at {place}: {problem}")
        else:
            picture.boxes.append(whole)
    return picture


def _inside(box: Box, across: float, down: float) -> tuple[str, Box | None]:
    """A box in shares, with what sticks out cut off; or why there is none."""
    sides = (box.left / across, box.top / down, box.width / across, box.height / down)
    if not all(map(math.isfinite, sides)):
        return "it has no finite place.", None
    left, top, width, height = sides
    if width <= 0 or height <= 0:
        return "it has no area.", None
    right, bottom = min(left + width, 1.0), min(top + height, 1.0)
    left, top = max(left, 0.0), max(top, 0.0)
    if left >= right or top >= bottom:
        return "it lies outside the image.", None
    score = box.score if box.score is not None and 0 <= box.score <= 1 else None  # as Label Studio takes it
    return "", Box(box.label, left, top, right - left, bottom - top, score)


def _same_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return min(*one, *other) > 0 and abs(one[0] * other[1] / (one[1] * other[0]) - 1) <= TOLERANCE


def _upright_size(path: Path) -> tuple[int, int]:
    """Only the file's header is read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                width, height = image.size
                turned = image.getexif().get(ExifTags.Base.Orientation) in QUARTER_TURNED
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"it cannot be opened as an image: {error}.") from error
    return (height, width) if turned else (width, height)
