"""Frames of a moving picture: screenshots of the editor, with the pointer and a caption drawn in.

Screenshots show no pointer, so it is drawn, and moves in a straight line between two places that were really clicked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

CAPTION_HEIGHT = 46
STEP_MS = 40  # between two frames of a moving pointer
ARROW = ((0, 0), (0, 21), (5, 16), (9, 25), (13, 23), (9, 15), (16, 15))
FONT = "DejaVuSans.ttf"
Point = tuple[float, float]


@dataclass
class Film:
    """Frames in order, each with the milliseconds it stays.

    Attributes:
        width: of the finished picture, in pixels.
        part: the part of a screenshot that is shown, as left, top, right, bottom; it is scaled down to the width.
    """

    width: int
    part: tuple[int, int, int, int]
    frames: list[tuple[Image.Image, int]] = field(default_factory=list)
    pointer: Point = (0, 0)
    caption: str = ""

    def hold(self, shot: Image.Image, milliseconds: int, *, pressed: bool = False, keys: str = "") -> None:
        """Show a screenshot for a while, the pointer where it is."""
        self.frames.append((self._drawn(shot, pressed, keys), milliseconds))

    def move(self, shot: Image.Image, target: Point, milliseconds: int = 480) -> None:
        """Move the pointer over a screenshot, slower at both ends."""
        start, steps = self.pointer, max(1, milliseconds // STEP_MS)
        for step in range(1, steps + 1):
            share = step / steps
            eased = share * share * (3 - 2 * share)
            self.pointer = (start[0] + (target[0] - start[0]) * eased, start[1] + (target[1] - start[1]) * eased)
            self.hold(shot, STEP_MS)

    def save(self, path: Path) -> None:
        """Write an animated GIF that repeats; all frames share one palette, so that what rests does not flicker."""
        chosen = [frame for frame, milliseconds in self.frames if milliseconds > STEP_MS]
        strip = Image.new("RGB", (chosen[0].width, sum(frame.height for frame in chosen)))
        top = 0
        for frame in chosen:
            strip.paste(frame, (0, top))
            top += frame.height
        palette = strip.quantize(255, method=Image.Quantize.MEDIANCUT)
        first, *rest = (frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame, _ in self.frames)
        durations = [milliseconds for _, milliseconds in self.frames]
        first.save(path, save_all=True, append_images=rest, duration=durations, loop=0, optimize=True, disposal=1)

    def _drawn(self, shot: Image.Image, pressed: bool, keys: str) -> Image.Image:
        shown = shot.crop(self.part)
        scale = self.width / shown.width
        small = shown.resize((self.width, round(shown.height * scale)), Image.Resampling.LANCZOS)
        frame = Image.new("RGB", (small.width, small.height + CAPTION_HEIGHT), (28, 32, 44))
        frame.paste(small, (0, 0))
        pen = ImageDraw.Draw(frame)
        x, y = (self.pointer[0] - self.part[0]) * scale, (self.pointer[1] - self.part[1]) * scale
        if pressed:
            pen.ellipse((x - 13, y - 13, x + 13, y + 13), outline=(255, 255, 255), width=3)
            pen.ellipse((x - 15, y - 15, x + 15, y + 15), outline=(40, 40, 60), width=2)
        pen.polygon([(x + dx, y + dy) for dx, dy in ARROW], fill=(20, 20, 24), outline=(255, 255, 255))
        font = ImageFont.truetype(FONT, 19)
        middle, left = small.height + CAPTION_HEIGHT / 2, 18.0
        if keys:
            wide = pen.textlength(keys, font)
            box = (left, middle - 15, left + wide + 22, middle + 15)
            pen.rounded_rectangle(box, 6, fill=(238, 240, 246), outline=(150, 156, 170), width=2)
            pen.text((left + 11, middle), keys, fill=(28, 32, 44), font=font, anchor="lm")
            left = box[2] + 14
        pen.text((left, middle), self.caption, fill=(238, 240, 246), font=font, anchor="lm")
        return frame
