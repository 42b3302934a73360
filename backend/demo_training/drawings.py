"""Seeded drawings of plain shapes, with the label map and the prompts that go with them.

Every shape is a closed polygon (an ellipse is a polygon of many corners, a ring has a second
polygon cut out of it), filled with Pillow at twice the size and reduced, so edges are smooth.
Only numpy and Pillow are needed; one 256 px drawing takes a few milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Floats = NDArray[np.float32]

SHAPES = ("ellipse", "rectangle", "polygon", "star", "blob", "ring")
OVERSAMPLE = 2
MIN_COLOUR_DISTANCE = 70.0  # Euclidean, in 8-bit RGB
MAX_OVERLAP = 0.2  # of the visible area of either shape
MIN_AREA = 0.006  # of the image
SAME_COLOUR_CHANCE = 0.15


@dataclass(frozen=True)
class Difficulty:
    """How full and how noisy the drawings are."""

    objects: tuple[int, int] = (1, 6)  # fewest and most, both included
    radius: tuple[float, float] = (0.06, 0.27)  # of the image side
    texture: float = 1.0  # scales gradients, stripes and noise


EASY = Difficulty(objects=(2, 3), radius=(0.12, 0.26), texture=0.5)
FULL = Difficulty()


@dataclass(frozen=True)
class Drawing:
    """One drawing: ``image`` uint8 (height, width, 3) and ``labels`` int32 (height, width).

    Label 0 is the background; every object has its own number from 1.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.int32]


@dataclass(frozen=True)
class Target:
    """What a person would do to get ``label``: ``click`` (x, y) or ``box`` (x0, y0, x1, y1).

    Coordinates are pixels of the drawing.
    """

    label: int
    click: Floats
    box: Floats


def draw(rng: np.random.Generator, size: int | tuple[int, int], difficulty: Difficulty = FULL) -> Drawing:
    """Draw one scene; ``size`` is the side of a square, or (height, width), in pixels."""
    height, width = (size, size) if isinstance(size, int) else size
    count = int(rng.integers(difficulty.objects[0], difficulty.objects[1] + 1))
    base = rng.uniform(0, 255, 3).astype(np.float32)
    canvas = _paint(rng, base, (height, width), difficulty.texture)
    labels = np.zeros((height, width), np.int32)
    colours = [base]
    placed = 0
    for _ in range(count * 6):
        if placed == count:
            break
        alpha, (top, left) = _shape(rng, height, width, difficulty)
        window = (slice(top, top + alpha.shape[0]), slice(left, left + alpha.shape[1]))
        solid = alpha > 0.5
        if solid.sum() < MIN_AREA * height * width or _covers_too_much(solid, labels, window):
            continue
        reusable = colours[1:] if not labels[window].any() else []
        colour = _colour(rng, colours, reusable)
        if colour is None:
            continue
        fill = _paint(rng, colour, solid.shape, difficulty.texture)
        canvas[window] += alpha[..., None] * (fill - canvas[window])
        placed += 1
        labels[window][solid] = placed
        colours.append(colour)
    return Drawing(_finish(rng, canvas, difficulty.texture), labels)


def targets(rng: np.random.Generator, labels: NDArray[np.int32], count: int) -> list[Target]:
    """Return ``count`` prompts for the objects of a label map, each object in turn.

    Clicks lie inside the visible object and away from its edge where it is wide enough; four in
    ten are as near to its centre of gravity as the object allows. Empty when nothing is visible.
    """
    sizes = np.bincount(labels.ravel())
    visible = [n for n in range(1, len(sizes)) if sizes[n] >= 0.5 * MIN_AREA * labels.size]
    if not visible:
        return []
    rng.shuffle(visible)
    found = []
    for index in range(count):
        label = visible[index % len(visible)]
        ys, xs = np.nonzero(labels == label)
        y0, x0, y1, x1 = ys.min(), xs.min(), ys.max() + 1, xs.max() + 1
        box = np.array([x0, y0, x1, y1], np.float32)
        side = np.array([x1 - x0, y1 - y0] * 2, np.float32)
        jitter = np.clip(rng.normal(0, 0.03, 4), -0.08, 0.08).astype(np.float32) * side
        limit = np.array([labels.shape[1], labels.shape[0]] * 2, np.float32)
        click = np.add(_inside(rng, labels[y0:y1, x0:x1] == label), (x0, y0))
        found.append(Target(label, click.astype(np.float32), np.clip(box + jitter, 0, limit)))
    return found


def _inside(rng: np.random.Generator, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Pick an (x, y) of ``mask``, off its edge, sometimes the most central one."""
    reach = max(1, int(0.1 * min(mask.shape)))
    while reach:
        ys, xs = np.nonzero(_eroded(mask, reach))
        if len(ys):
            break
        reach //= 2
    else:
        ys, xs = np.nonzero(mask)
    if rng.random() < 0.4:
        my, mx = (axis.mean() for axis in np.nonzero(mask))
        pick = int(((ys - my) ** 2 + (xs - mx) ** 2).argmin())
    else:
        pick = int(rng.integers(len(ys)))
    return np.array([xs[pick], ys[pick]])


def _eroded(mask: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Keep the pixels of ``mask`` whose square of ``2 * reach + 1`` lies wholly inside it."""
    side = 2 * reach + 1
    sums = np.pad(mask, ((reach + 1, reach), (reach + 1, reach))).cumsum(0, np.int32).cumsum(1)
    full: NDArray[np.int32] = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    return np.equal(full, side * side)


def _outline(rng: np.random.Generator, kind: str) -> Floats:
    """Corners (n, 2) of a shape of about unit radius round the origin."""
    if kind in ("ellipse", "ring"):
        angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        radius = np.ones_like(angle)
    elif kind == "rectangle":
        angle = np.pi * np.array([0.25, 0.75, 1.25, 1.75])
        radius = np.ones(4)
    elif kind == "polygon":
        corners = int(rng.integers(3, 8))
        angle = 2 * np.pi * (np.arange(corners) + rng.uniform(-0.3, 0.3, corners)) / corners
        radius = rng.uniform(0.75, 1.0, corners)
    elif kind == "star":
        tips = int(rng.integers(4, 8))
        angle = np.pi * np.arange(2 * tips) / tips
        radius = np.where(np.arange(2 * tips) % 2 == 0, 1.0, rng.uniform(0.4, 0.65))
    else:
        angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        order = np.arange(2, 5)[:, None]
        phase = rng.uniform(0, 2 * np.pi, (3, 1))
        weight = rng.uniform(0, 0.3, (3, 1)) / (order - 1)
        radius = 0.8 + (weight * np.sin(order * angle + phase)).sum(0)
    return np.stack([np.cos(angle) * radius, np.sin(angle) * radius], 1).astype(np.float32)


def _shape(rng: np.random.Generator, height: int, width: int, difficulty: Difficulty) -> tuple[Floats, tuple[int, int]]:
    """Return the coverage (h, w) of a random shape, 0 to 1, and the (top, left) of its window."""
    kind = SHAPES[rng.integers(len(SHAPES))]
    radius = rng.uniform(*difficulty.radius)
    turn = rng.uniform(0, 2 * np.pi)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    slimness = rng.uniform(0.7 if kind in ("ring", "star") else 0.45, 1.0)
    squash = np.sqrt(rng.uniform(0.7, 1.4))  # a scene may be resized to a square afterwards
    matrix = np.diag([squash, 1 / squash]) @ rotation @ np.diag([1.0, slimness]) * radius
    corners = _outline(rng, kind) @ matrix.T.astype(np.float32)
    centre = rng.uniform(0.1, 0.9, 2).astype(np.float32)
    scale = np.array([width, height], np.float32)
    points = (corners + centre) * scale
    low = np.clip(np.floor(points.min(0)), 0, scale - 1).astype(int)
    high = np.clip(np.ceil(points.max(0)) + 1, low + 1, scale).astype(int)
    span = (high - low) * OVERSAMPLE
    picture = Image.new("L", (int(span[0]), int(span[1])))
    pen = ImageDraw.Draw(picture)
    pen.polygon([tuple(p) for p in (points - low) * OVERSAMPLE], fill=255)
    if kind == "ring":
        hole = (corners * rng.uniform(0.3, 0.55) + centre) * scale
        pen.polygon([tuple(p) for p in (hole - low) * OVERSAMPLE], fill=0)
    alpha = np.asarray(picture.reduce(OVERSAMPLE), np.float32) / np.float32(255)
    return alpha, (int(low[1]), int(low[0]))


def _covers_too_much(solid: NDArray[np.bool_], labels: NDArray[np.int32], window: tuple[slice, slice]) -> bool:
    """Tell whether a new shape would hide, or sit on, too much of one already there."""
    hidden = np.bincount(labels[window][solid], minlength=1)
    if hidden[1:].sum() == 0:
        return False
    areas = np.bincount(labels.ravel(), minlength=len(hidden))[: len(hidden)]
    if hidden[1:].sum() > MAX_OVERLAP * solid.sum():
        return True
    return bool((hidden[1:] > MAX_OVERLAP * areas[1:]).any())


def _colour(rng: np.random.Generator, taken: list[Floats], reusable: list[Floats]) -> Floats | None:
    """Pick a colour clear of all ``taken``, or now and then one of ``reusable`` again."""
    if reusable and rng.random() < SAME_COLOUR_CHANCE:
        return reusable[rng.integers(len(reusable))]
    for _ in range(20):
        colour = rng.uniform(0, 255, 3).astype(np.float32)
        if min(float(np.linalg.norm(colour - other)) for other in taken) >= MIN_COLOUR_DISTANCE:
            return colour
    return None


def _paint(rng: np.random.Generator, base: Floats, shape: tuple[int, ...], texture: float) -> Floats:
    """Return (h, w, 3) of colour ``base``: flat, a gradient, stripes or soft blotches."""
    height, width = shape[:2]
    area = np.empty((height, width, 3), np.float32)
    area[:] = base
    kind = rng.integers(5)
    strength = rng.uniform(6, 26) * texture
    across = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    turn = rng.uniform(0, 2 * np.pi)
    slope = np.float32(np.cos(turn)) * across + np.float32(np.sin(turn)) * down
    if kind == 2:
        area += (slope * np.float32(strength))[..., None]
    elif kind == 3:
        periods = np.float32(rng.uniform(2, 7) * np.pi)
        area += (np.sin(slope * periods) * np.float32(strength * 0.7))[..., None]
    elif kind == 4:
        cells = rng.integers(3, 14, 2)
        blotches = rng.normal(0, strength, (cells[0], cells[1])).astype(np.float32)
        grown = Image.fromarray(blotches).resize((width, height), Image.Resampling.BILINEAR)
        area += np.asarray(grown)[..., None]
    return area


def _finish(rng: np.random.Generator, canvas: Floats, texture: float) -> NDArray[np.uint8]:
    """Add a little blur and sensor-like noise, and round to 8 bits."""
    height, width = canvas.shape[:2]
    if rng.random() < 0.3:
        soft = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
        canvas = np.asarray(soft.filter(ImageFilter.BoxBlur(rng.uniform(0.3, 1.0))), np.float32)
    if rng.random() < 0.6:
        grain = rng.standard_normal((height, width, 3), dtype=np.float32)
        canvas = canvas + grain * np.float32(rng.uniform(1, 10) * texture)
    return np.clip(canvas, 0, 255).astype(np.uint8)
