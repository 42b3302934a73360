"""What the server may ask of an engine, and the values that cross that line.

An engine is used from one worker thread at a time, unless it has an attribute `overlaps` that is true: then one thread
may encode while another one decodes and restores. It holds no per-image state of its own. Everything an image needs for
later clicks is in the `Prepared` value that `encode` or `restore` returned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

NEGATIVE, POSITIVE, BOX_TOP_LEFT, BOX_BOTTOM_RIGHT = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class Prompt:
    """One object's prompt, in SAM2's own terms.

    points: (N, 2) float32, x and y as fractions of the upright image's width and height, in [0, 1].
    labels: (N,) int32; 1 positive, 0 negative, 2 and 3 the two corners of a box (a box is two points, as in SAM2).
    logits: previous low-res mask logits (h, w) float32 to refine, or None.
    multimask: ask for three candidate masks (ambiguous prompt) instead of one.
    """

    points: NDArray[np.float32]
    labels: NDArray[np.int32]
    logits: NDArray[np.float32] | None = None
    multimask: bool = True


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the mask decoder said.

    logits: (M, h, w) float32 low-res mask logits, M = 3 (multimask) or 1; > 0 is the object.
    scores: (M,) float32 predicted IoU of each mask.
    """

    logits: NDArray[np.float32]
    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class HostEmbedding:
    """An image embedding as it is stored: three float16 maps of a model with embedding grid g = image_size / 16.

    high_res_0: (16 g², 32); high_res_1: (4 g², 64); image: (g², 256), all after SAM2's neck and `conv_s0`/`conv_s1`,
    with `no_mem_embed` added to `image`. Rows are the grid's tokens in Morton order (`morton.py`), which is how the
    engines work, so that storing is a copy. For image_size 1024 that is 8.4 MB.
    """

    high_res_0: NDArray[np.float16]
    high_res_1: NDArray[np.float16]
    image: NDArray[np.float16]


class Prepared(Protocol):
    """Per-image decoder state, wherever the engine wants it (RAM, GPU). Opaque to the server but for its size."""

    @property
    def nbytes(self) -> int: ...


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """name: `openvino` or `torch`; device: `cpu` or `cuda:0 NAME`; precision: the encoder's, `bf16`, `f16` or `f32`.

    fingerprint: identifies weights, arithmetic and store format; a stored embedding of another fingerprint is not used.
    """

    name: str
    device: str
    precision: str
    model: str
    image_size: int
    fingerprint: str


class Engine(Protocol):
    @property
    def info(self) -> EngineInfo: ...

    def encode(self, image: NDArray[np.uint8]) -> Prepared:
        """Upright RGB image (H, W, 3) of any size to its prepared embedding. Resizes and normalises as SAM2 does.

        Raises EngineOutOfMemory if the device has no room left even after the engine freed what it could.
        """
        ...

    def pixels(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The first half of `encode`, without the device, in any thread: (1, 3, S, S), resized and normalised."""
        ...

    def encode_pixels(self, pixels: NDArray[np.float32]) -> Prepared:
        """The second half of `encode`, on the device."""
        ...

    def export(self, prepared: Prepared) -> HostEmbedding:
        """The maps to store, float16."""
        ...

    def restore(self, embedding: HostEmbedding) -> Prepared:
        """The inverse of `export`, up to float16 rounding."""
        ...

    def decode(self, prepared: Prepared, prompt: Prompt) -> Decoded:
        """Masks for one object's prompt."""
        ...


class EngineLost(RuntimeError):
    """The device computes no more, whatever is asked of it; only a new process may find it well again."""


class EngineOutOfMemory(RuntimeError):
    """The device ran out of memory; the caller may evict prepared embeddings and try once more."""
