"""The scenes, and how a shape becomes pixels. The same rasteriser draws the image and the mask."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 1024, 768
Colour = tuple[int, int, int]
Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Shape:
    """A drawn object.

    Attributes:
        kind: `ellipse` or `rectangle` (points: two opposite corners), `polygon` or `star` (points: the outline).
        points: (x, y) in pixels.
        click: (x, y) in pixels, inside the shape and away from its edge.
    """

    label: str
    kind: str
    points: Points
    click: tuple[int, int]
    colour: Colour


@dataclass(frozen=True)
class Scene:
    """Shapes on a background: plain, a vertical gradient of two colours, or with noise of `noise` grey levels."""

    file: str
    top: Colour
    bottom: Colour
    noise: int
    shapes: tuple[Shape, ...]


def _star(x: float, y: float, outer: float, inner: float) -> Points:
    def corner(index: int) -> tuple[float, float]:
        radius = outer if index % 2 == 0 else inner
        angle = math.pi * index / 5 - math.pi / 2
        return (round(x + radius * math.cos(angle), 1), round(y + radius * math.sin(angle), 1))

    return tuple(corner(index) for index in range(10))


SCENES = (
    Scene(
        "sample-1.png",
        (226, 226, 220),
        (226, 226, 220),
        0,
        (
            Shape("ellipse", "ellipse", ((110, 150), (430, 420)), (270, 285), (176, 42, 48)),
            Shape("rectangle", "rectangle", ((560, 380), (900, 640)), (730, 510), (28, 84, 160)),
        ),
    ),
    Scene(
        "sample-2.png",
        (36, 44, 60),
        (104, 116, 132),
        0,
        (
            Shape(
                "polygon",
                "polygon",
                ((140, 470), (250, 300), (440, 340), (480, 540), (290, 660)),
                (320, 480),
                (240, 196, 60),
            ),
            Shape("star", "star", _star(740, 260, 190, 100), (740, 260), (232, 236, 240)),
            Shape("ellipse", "ellipse", ((610, 510), (890, 690)), (750, 600), (60, 170, 110)),
        ),
    ),
    Scene(
        "sample-3.png",
        (150, 160, 140),
        (150, 160, 140),
        12,
        (
            Shape("rectangle", "rectangle", ((120, 110), (400, 370)), (260, 240), (40, 32, 44)),
            Shape("polygon", "polygon", ((560, 140), (860, 170), (800, 410), (600, 390)), (700, 280), (244, 240, 230)),
            Shape("star", "star", _star(360, 570, 165, 90), (360, 570), (200, 70, 30)),
        ),
    ),
)


def mask(shape: Shape, size: tuple[int, int] = (WIDTH, HEIGHT)) -> npt.NDArray[np.bool_]:
    """The true mask of a shape, bool of shape (height, width)."""
    image = Image.new("1", size)
    _draw(ImageDraw.Draw(image), shape, 1)
    return np.asarray(image, dtype=np.bool_)


def render(scene: Scene) -> Image.Image:
    """The scene as an RGB image, the same on every machine."""
    share = np.linspace(0.0, 1.0, HEIGHT)[:, None, None]
    background = np.array(scene.top) * (1 - share) + np.array(scene.bottom) * share
    image = Image.fromarray(np.broadcast_to(background.round(), (HEIGHT, WIDTH, 3)).astype(np.uint8))
    pencil = ImageDraw.Draw(image)
    for shape in scene.shapes:
        _draw(pencil, shape, shape.colour)
    if not scene.noise:
        return image
    grain = np.random.default_rng(7).integers(-scene.noise, scene.noise + 1, (HEIGHT, WIDTH, 3))
    return Image.fromarray(np.clip(np.asarray(image, dtype=np.int16) + grain, 0, 255).astype(np.uint8))


def _draw(pencil: ImageDraw.ImageDraw, shape: Shape, colour: int | Colour) -> None:
    if shape.kind == "ellipse":
        pencil.ellipse(list(shape.points), fill=colour)
    elif shape.kind == "rectangle":
        pencil.rectangle(list(shape.points), fill=colour)
    else:
        pencil.polygon(list(shape.points), fill=colour)


def iou(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    """Intersection over union of two masks of one shape; 1 for two empty ones."""
    union = int(np.logical_or(one, other).sum())
    return int(np.logical_and(one, other).sum()) / union if union else 1.0
