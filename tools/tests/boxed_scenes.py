"""Drawn images whose objects, labels and boxes are known, as tasks of Label Studio."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from label_studio_sdk.converter.brush import decode_rle
from PIL import Image, ImageDraw

LABELS = ("cell", 'wall, "old" & <grey>')
_WRITTEN = "".join(
    f"<Label value='{label.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')}'/>" for label in LABELS
)
CONFIG = (
    f'<View><Image name="image" value="$image"/><RectangleLabels name="box" toName="image">{_WRITTEN}</RectangleLabels>'
    f'<KeyPointLabels name="point" toName="image" smart="true">{_WRITTEN}</KeyPointLabels>'
    f'<BrushLabels name="mask" toName="image">{_WRITTEN}</BrushLabels>'
    f'<PolygonLabels name="outline" toName="image">{_WRITTEN}</PolygonLabels></View>'
)


@dataclass(frozen=True)
class Drawn:
    """png: the image's file. boxes: a rectangle around each object, as Label Studio has it; truths: the objects."""

    png: bytes
    boxes: list[dict[str, Any]]
    truths: list[npt.NDArray[np.bool_]]


def draw(seed: int, *, columns: int = 3, rows: int = 2, width: int = 768, height: int = 512) -> Drawn:
    """An ellipse or a rectangle, in turn, in each cell of a grid."""
    rng = np.random.default_rng([16, seed])
    image = Image.new("RGB", (width, height), _colour(rng, 170, 240))
    boxes, truths = [], []
    for number in range(columns * rows):
        across, down = width / columns, height / rows
        x, y = (number % columns + 0.5) * across, (number // columns + 0.5) * down
        half = rng.uniform(0.25, 0.42, 2) * (across, down)
        area = [round(edge) for edge in (x - half[0], y - half[1], x + half[0], y + half[1])]
        truth = Image.new("1", image.size)
        for canvas, ink in ((truth, 1), (image, _colour(rng, 10, 110))):
            pencil = ImageDraw.Draw(canvas)
            (pencil.rectangle if number % 2 else pencil.ellipse)(area, fill=ink)
        truths.append(np.asarray(truth))
        boxes.append(box(f"box{number}", LABELS[number % 2], area, (width, height)))
    file = io.BytesIO()
    image.save(file, "PNG")
    return Drawn(file.getvalue(), boxes, truths)


def box(name: str, label: str, area: list[int], size: tuple[int, int]) -> dict[str, Any]:
    """area: left, top, right and bottom in pixels, all of them inside the object."""
    (left, top, right, bottom), (width, height) = area, size
    return {
        "id": name,
        "from_name": "box",
        "to_name": "image",
        "type": "rectanglelabels",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {
            "x": 100 * left / width,
            "y": 100 * top / height,
            "width": 100 * (right + 1 - left) / width,
            "height": 100 * (bottom + 1 - top) / height,
            "rotation": 0,
            "rectanglelabels": [label],
        },
    }


def mask(item: dict[str, Any]) -> npt.NDArray[np.bool_]:
    """A brush item as (height, width), decoded by Label Studio's own SDK."""
    flat = decode_rle(item["value"]["rle"])
    found: npt.NDArray[np.bool_] = flat.reshape(item["original_height"], item["original_width"], 4)[:, :, 3] > 0
    return found


def _colour(rng: np.random.Generator, low: int, high: int) -> tuple[int, int, int]:
    red, green, blue = (int(level) for level in rng.integers(low, high, 3))
    return red, green, blue
