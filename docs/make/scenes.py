"""Drawn scenes that look like work: cells under a microscope, leaves on paper, parts on a bench.

Each object is one closed outline, filled with one colour and a soft texture. So its true mask is known, and the demo
model, which was trained on drawn shapes, can find it. The same seed draws the same picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

WIDTH, HEIGHT = 1024, 768
OVERSAMPLE = 3
Floats = NDArray[np.float64]
Colour = tuple[int, int, int]


@dataclass
class Scene:
    """A picture and what is in it.

    Attributes:
        image: RGB, `WIDTH` x `HEIGHT`.
        labels: int32 (HEIGHT, WIDTH); 0 is the background, each object has its own number from 1.
        clicks: (x, y) in pixels for each object, in order.
    """

    name: str
    label: str
    image: Image.Image
    labels: NDArray[np.int32] = field(default_factory=lambda: np.zeros((HEIGHT, WIDTH), np.int32))
    clicks: list[tuple[int, int]] = field(default_factory=list)

    def mask(self, number: int) -> NDArray[np.bool_]:
        """The true mask of an object, bool (HEIGHT, WIDTH)."""
        return self.labels == number


def filled(outline: Floats) -> Image.Image:
    """How much of each pixel an outline (n, 2) covers, as a greyscale image."""
    large = Image.new("L", (WIDTH * OVERSAMPLE, HEIGHT * OVERSAMPLE))
    ImageDraw.Draw(large).polygon([tuple(point) for point in outline * OVERSAMPLE], fill=255)
    return large.reduce(OVERSAMPLE)


def mixed(colour: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(one + (two - one) * share) for one, two in zip(colour, other, strict=True))
    return red, green, blue


def lines(paths: list[Floats], width: float) -> Image.Image:
    large = Image.new("L", (WIDTH * OVERSAMPLE, HEIGHT * OVERSAMPLE))
    pen = ImageDraw.Draw(large)
    for path in paths:
        pen.line(
            [tuple(point) for point in path * OVERSAMPLE], fill=255, width=round(width * OVERSAMPLE), joint="curve"
        )
    return large.reduce(OVERSAMPLE)


def blotches(rng: np.random.Generator, grain: int, strength: float) -> Floats:
    """Soft random light and shade, (HEIGHT, WIDTH), `grain` spots across."""
    spots = rng.normal(0, strength, (max(2, grain * HEIGHT // WIDTH), grain)).astype(np.float32)
    return np.asarray(Image.fromarray(spots).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), np.float64)


def tinted(colour: Colour, shade: Floats) -> Image.Image:
    """One colour under light and shade of (HEIGHT, WIDTH) grey levels."""
    return Image.fromarray(np.clip(np.array(colour) + shade[..., None], 0, 255).astype(np.uint8))


def shadowed(image: Image.Image, cover: Image.Image, offset: tuple[int, int], blur: float, depth: float) -> Image.Image:
    dark = ImageChops.offset(cover, *offset).filter(ImageFilter.GaussianBlur(blur)).point(lambda v: int(v * depth))
    return Image.composite(Image.new("RGB", image.size), image, dark)


def place(scene: Scene, outline: Floats, filling: Image.Image, click: tuple[float, float]) -> Image.Image:
    """Put an object on top of the scene; gives its cover, for details drawn on it."""
    cover = filled(outline)
    scene.image.paste(filling, mask=cover)
    scene.labels[np.asarray(cover) > 127] = len(scene.clicks) + 1
    scene.clicks.append((round(click[0]), round(click[1])))
    return cover


def blob(rng: np.random.Generator, centre: tuple[float, float], radius: float, lumps: float) -> Floats:
    angle = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    order = np.arange(2, 6)[:, None]
    waves = np.sin(order * angle + rng.uniform(0, 2 * np.pi, (4, 1))) * rng.uniform(0, lumps, (4, 1)) / (order - 1)
    far = radius * (1 + waves.sum(0))
    return np.stack([centre[0] + far * np.cos(angle), centre[1] + far * np.sin(angle)], 1)


def turned(points: Floats, angle: float, centre: tuple[float, float]) -> Floats:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return points @ turn.T + np.array(centre)


def cells(seed: int = 3) -> Scene:
    """Cells that touch each other, in the colours of fluorescent markers on black."""
    rng = np.random.default_rng(seed)
    scene = Scene("cells.png", "cell", tinted((16, 18, 30), blotches(rng, 9, 3)))
    green, red, blue, yellow, pink, cyan = (
        (72, 176, 92),
        (214, 84, 66),
        (66, 104, 206),
        (222, 184, 70),
        (204, 92, 178),
        (78, 186, 204),
    )
    places = [
        ((250, 220), 146, green),
        ((512, 190), 124, red),
        ((404, 428), 140, blue),
        ((156, 500), 116, yellow),
        ((664, 396), 134, cyan),
        ((868, 240), 132, pink),
        ((560, 628), 114, yellow),
        ((826, 598), 140, red),
        ((296, 662), 84, pink),
    ]
    for centre, radius, colour in places:
        outline = blob(rng, centre, radius, 0.14)
        shade = blotches(rng, 40, 5)
        cover = place(scene, outline, tinted(colour, shade), centre)
        rim = ImageChops.multiply(lines([np.vstack([outline, outline[:1]])], 6), cover)
        scene.image.paste(tinted(mixed(colour, (255, 255, 255), 0.18), shade), mask=rim)
        off = rng.uniform(-0.2, 0.2, 2) * radius
        nucleus = filled(blob(rng, (centre[0] + off[0], centre[1] + off[1]), radius * 0.3, 0.08))
        dark = tinted(mixed(colour, (30, 30, 90), 0.16), shade)
        scene.image.paste(dark, mask=nucleus.filter(ImageFilter.GaussianBlur(3)))
    return finished(rng, scene)


def finished(rng: np.random.Generator, scene: Scene) -> Scene:
    """As a camera would see it: a touch of blur, a little noise."""
    soft = np.asarray(scene.image.filter(ImageFilter.GaussianBlur(0.8)), np.float64)
    scene.image = Image.fromarray(np.clip(soft + rng.normal(0, 2.0, soft.shape), 0, 255).astype(np.uint8))
    return scene


def leaf(length: float, width: float, teeth: int = 0) -> tuple[Floats, list[Floats]]:
    """Outline and veins of a leaf that lies along x round the origin."""
    along = np.linspace(0, 1, 160)
    half = width * np.sin(np.pi * along**0.85) ** 0.9 * (1.12 - 0.5 * along)
    if teeth:
        half = half * (1 + 0.09 * (2 * np.abs((along * teeth) % 1 - 0.5) - 0.5))
    x = (along - 0.5) * length
    outline = np.vstack([np.stack([x, half], 1), np.stack([x[::-1], -half[::-1]], 1)])
    veins = [np.array([[-0.5 * length, 0], [0.46 * length, 0]])]
    for share in np.linspace(0.16, 0.78, 6):
        reach = np.interp(min(share + 0.1, 1), along, half) * 0.86
        start = (share - 0.5) * length
        veins += [np.array([[start, 0], [start + 0.11 * length, side * reach]]) for side in (1, -1)]
    return outline, veins


def leaves(seed: int = 5) -> Scene:
    """Pressed leaves on paper, some on top of others."""
    rng = np.random.default_rng(seed)
    scene = Scene("leaves.png", "leaf", tinted((240, 236, 224), blotches(rng, 5, 3)))
    kinds = [
        ((250, 236), 400, 104, 0, -0.5, (74, 132, 66)),
        ((560, 170), 340, 92, 14, 0.35, (206, 150, 44)),
        ((838, 300), 360, 110, 0, 1.25, (150, 52, 44)),
        ((400, 520), 420, 112, 16, 0.25, (134, 158, 60)),
        ((700, 590), 360, 92, 0, -0.55, (58, 100, 92)),
        ((150, 590), 280, 80, 0, 1.2, (186, 96, 48)),
    ]
    for centre, length, width, teeth, angle, colour in kinds:
        outline, veins = leaf(length, width, teeth)
        outline, veins = turned(outline, angle, centre), [turned(vein, angle, centre) for vein in veins]
        scene.image = shadowed(scene.image, filled(outline), (5, 7), 7, 0.35)
        shade = blotches(rng, 36, 6)
        cover = place(scene, outline, tinted(colour, shade), centre)
        light = tinted(mixed(colour, (255, 255, 255), 0.22), shade)
        scene.image.paste(light, mask=ImageChops.multiply(lines(veins, 2.4), cover))
    return finished(rng, scene)


def wrench() -> Floats:
    """An open-ended wrench along x, its jaw on the right."""
    around = np.linspace(0.5, 2 * np.pi - 0.5, 80)
    head = np.stack([190 + 82 * np.cos(around), 82 * np.sin(around)], 1)
    outside = head[(head[:, 0] > 122) | (np.abs(head[:, 1]) > 36)]
    upper, lower = outside[outside[:, 1] > 0], outside[outside[:, 1] <= 0]
    tail = np.linspace(np.pi / 2, 3 * np.pi / 2, 30)
    end = np.stack([-210 + 40 * np.cos(tail), 40 * np.sin(tail)], 1)
    jaw = np.array([[214, -34], [186, -34], [168, 0], [186, 34], [214, 34]], float)
    return np.vstack([upper, end, lower, jaw])


def gear(teeth: int, outer: float, inner: float) -> Floats:
    angle = np.linspace(0, 2 * np.pi, teeth * 40, endpoint=False)
    phase = (angle * teeth / (2 * np.pi)) % 1
    rise = np.clip(np.minimum(phase - 0.1, 0.6 - phase) * 8, 0, 1)
    radius = inner + (outer - inner) * rise
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)


def polygon(corners: int, radius: float) -> Floats:
    angle = 2 * np.pi * np.arange(corners) / corners
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)


def bench(seed: int = 8) -> Scene:
    """Tools and parts on a wooden bench."""
    rng = np.random.default_rng(seed)
    down = np.linspace(0, 1, HEIGHT)[:, None]
    grain = 5 * np.sin(down * 90 + blotches(rng, 4, 0.9)) + 4 * np.sin(down * 230 + blotches(rng, 6, 0.7))
    wood = tinted((186, 148, 104), grain)
    scene = Scene("bench.png", "tool", wood)
    square = np.array([[-170, 110], [190, 110], [-170, -130]], float)
    plate = np.array([[-120, -70], [120, -70], [120, 40], [90, 70], [-120, 70]], float)
    things: list[tuple[Floats, float, tuple[int, int], Colour, tuple[int, int]]] = [
        (wrench(), 0.42, (330, 190), (86, 100, 116), (300, 178)),
        (gear(12, 118, 94), 0.1, (770, 210), (58, 66, 84), (770, 210)),
        (square, -0.1, (240, 560), (196, 58, 50), (150, 590)),
        (polygon(6, 92), 0.25, (550, 430), (232, 222, 206), (550, 430)),
        (plate, 0.2, (810, 560), (44, 108, 150), (810, 560)),
    ]
    for outline, angle, centre, colour, click in things:
        shape = turned(outline, angle, centre)
        scene.image = shadowed(scene.image, filled(shape), (7, 9), 8, 0.4)
        across = (np.linspace(-1, 1, WIDTH)[None, :] + np.linspace(-1, 1, HEIGHT)[:, None]) * 8
        place(scene, shape, tinted(colour, across + blotches(rng, 30, 3)), click)
    return finished(rng, scene)


SCENES: tuple[Callable[[], Scene], ...] = (cells, leaves, bench)
