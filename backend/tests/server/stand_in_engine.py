"""A stand-in for a SAM2 engine, for tests of the server alone: the "mask" is a disc around the mean positive point.

It knows nothing of the image but a colour, which travels in the embedding, so that a mask of another image is noticed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sam2_backend.engine.interface import (
    BOX_TOP_LEFT,
    POSITIVE,
    Decoded,
    EngineInfo,
    EngineLost,
    EngineOutOfMemory,
    HostEmbedding,
    Prompt,
)

GRID = 64
ONCE_TOO_MUCH, ALWAYS_TOO_MUCH, FATAL = (255, 0, 1), (255, 0, 2), (255, 0, 3)


@dataclass(frozen=True)
class DiscState:
    colour: float
    nbytes: int = 1000


class DiscEngine:
    batch = 1
    room = None

    def __init__(self, encode_seconds: float = 0.0, decode_seconds: float = 0.0, fingerprint: str = "disc-1") -> None:
        self._info = EngineInfo("stand-in", "cpu", "f32", "disc", 256, fingerprint)
        self._encode_seconds = encode_seconds
        self._decode_seconds = decode_seconds
        self._failed = False

    @property
    def info(self) -> EngineInfo:
        return self._info

    def pixels(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        return image.astype(np.float32)

    def encode_pixels(self, image: NDArray[np.float32]) -> DiscState:
        """Two colours are too much for the device, one of them only the first time."""
        time.sleep(self._encode_seconds)
        colour = tuple(int(value) for value in image[0, 0])
        if colour == FATAL:
            raise EngineLost("CUDA error: an illegal memory access was encountered")
        if colour == ALWAYS_TOO_MUCH or (colour == ONCE_TOO_MUCH and not self._failed):
            self._failed = True
            raise EngineOutOfMemory
        return DiscState(float(image.mean()))

    def encode_batch(self, images: Sequence[NDArray[np.float32]]) -> list[DiscState]:
        return [self.encode_pixels(image) for image in images]

    def export(self, prepared: DiscState) -> HostEmbedding:
        small = np.full((2, 2), prepared.colour, np.float16)
        return HostEmbedding(small, small, small)

    def restore(self, embedding: HostEmbedding) -> DiscState:
        return DiscState(float(embedding.image[0, 0]))

    def decode(self, prepared: DiscState, prompt: Prompt) -> Decoded:
        """Radius: 10 % of the side, or half a box; doubled if logits are refined. Three masks: radius 1, 1.2, 0.8."""
        time.sleep(self._decode_seconds)
        ys, xs = (np.mgrid[0:GRID, 0:GRID].astype(np.float32) + 0.5) / GRID
        wanted = prompt.points[(prompt.labels == POSITIVE) | (prompt.labels >= BOX_TOP_LEFT)]
        x, y = wanted.mean(0)
        radius = 0.1 if BOX_TOP_LEFT not in prompt.labels else float(np.ptp(wanted[:, 0])) / 2
        radius *= 2 if prompt.logits is not None else 1
        factors = (1.0, 1.2, 0.8) if prompt.multimask else (1.0,)
        distance = np.hypot(xs - x, ys - y)
        logits = np.stack([radius * factor - distance for factor in factors]).astype(np.float32) * 50
        return Decoded(logits, np.array([0.9, 0.5, 0.4][: len(factors)], np.float32))

    def best_mask(self, prepared: DiscState, prompt: Prompt) -> tuple[NDArray[np.float32], float]:
        decoded = self.decode(prepared, prompt)
        return decoded.logits[0], float(decoded.scores[0])
