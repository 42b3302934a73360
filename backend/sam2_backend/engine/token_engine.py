"""What the engines on Morton tokens share: prompts, mask choice and raster order, around the device's own part."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_backend.engine.interface import Decoded, EngineInfo, HostEmbedding, Pixels, Prepared, Prompt
from sam2_backend.engine.morton import morton_index, raster_index
from sam2_backend.engine.prompt_encoder import PromptEncoder


class TokenEngine(ABC):
    """An Engine whose encoder and decoder work on tokens in Morton order.

    `restore(export(encode(image)))` decodes exactly as `encode(image)` does: the state itself is float16.
    """

    # Why no faster precision is served, where one was tried.
    refused = ""
    # How many images `encode_batch` takes.
    batch = 1

    @property
    def room(self) -> int | None:
        return None

    def __init__(self, info: EngineInfo, prompts: PromptEncoder) -> None:
        self._info = info
        self._prompts = prompts
        self._raster = raster_index(info.image_size // 4)
        self._morton = morton_index(info.image_size // 4)

    @property
    def info(self) -> EngineInfo:
        return self._info

    def encode(self, image: NDArray[np.uint8]) -> Prepared:
        return self.encode_batch([self.pixels(image)])[0]

    def decode(self, prepared: Prepared, prompt: Prompt) -> Decoded:
        return self._in_raster(self._prompts.choose(self._candidates(prepared, prompt), prompt.multimask))

    def candidates(self, prepared: Prepared, prompt: Prompt) -> Decoded:
        """All four masks of the decoder, the single-mask output first."""
        return self._in_raster(self._candidates(prepared, prompt))

    def best_mask(self, prepared: Prepared, prompt: Prompt) -> tuple[NDArray[np.float32], float]:
        chosen = self._prompts.choose(self._candidates(prepared, prompt), prompt.multimask)
        best = int(chosen.scores.argmax())
        mask = self._in_raster(Decoded(chosen.logits[best : best + 1], chosen.scores[best : best + 1]))
        return mask.logits[0], probability(mask.scores[0])

    @abstractmethod
    def pixels(self, image: NDArray[np.uint8]) -> Pixels: ...

    @abstractmethod
    def encode_batch(self, pixels: Sequence[Pixels]) -> list[Prepared]: ...

    @abstractmethod
    def export(self, prepared: Prepared) -> HostEmbedding: ...

    @abstractmethod
    def restore(self, embedding: HostEmbedding) -> Prepared: ...

    @abstractmethod
    def _run(
        self, prepared: Prepared, tokens: NDArray[np.float32], logits: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The decoder on prompt tokens (1, T, 256) and logits to refine (N, 16) in Morton order, or None.

        Returns all four masks' logits (4, 16 N) in Morton order, valid until the next call, and scores (4,).
        """

    def _candidates(self, prepared: Prepared, prompt: Prompt) -> Decoded:
        return Decoded(*self._run(prepared, *self._inputs(prompt)))

    def _inputs(self, prompt: Prompt) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """The last two arguments of `_run`."""
        logits = self._prompts.mask_logits(prompt)
        if logits is not None:
            logits = logits.reshape(-1)[self._raster].reshape(-1, 16)
        return self._prompts.tokens(prompt), logits

    def _in_raster(self, decoded: Decoded) -> Decoded:
        side = self._info.image_size // 4
        return Decoded(decoded.logits.take(self._morton, axis=1).reshape(-1, side, side), decoded.scores.copy())


def probability(score: np.floating[Any] | float) -> float:
    """A predicted IoU, which the network may put a little outside, within 0 and 1."""
    return min(1.0, max(0.0, float(score)))


def check_embedding(embedding: HostEmbedding, image_size: int) -> None:
    """Raises ValueError unless the maps have the shapes and type of this image size."""
    grid = (image_size // 16) ** 2
    for values, shape in (
        (embedding.high_res_0, (16 * grid, 32)),
        (embedding.high_res_1, (4 * grid, 64)),
        (embedding.image, (grid, 256)),
    ):
        if values.shape != shape or values.dtype != np.float16:
            raise ValueError(f"a stored map is float16 of shape {shape}, not {values.dtype} of shape {values.shape}")
