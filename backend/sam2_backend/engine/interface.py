"""What the server may ask of an engine, and the values that cross that line.

One thread at a time may encode, and one decode and restore; they are the same thread unless the engine has an attribute
`overlaps` that is true. `pixels` and `export` may be called in any thread at any time. An engine holds no per-image
state of its own: everything an image needs for later clicks is in the `Prepared` value that `encode` or `restore`
returned.
"""

from __future__ import annotations

from collections.abc import Sequence
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


class Pixels(Protocol):
    """An image as the encoder takes it, resized and normalised, wherever the engine wants it. Opaque to the server."""

    @property
    def nbytes(self) -> int: ...


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

    @property
    def mask_side(self) -> int:
        """Height and width of low-res logits."""
        return self.image_size // 4


class Engine(Protocol):
    """Whatever asks for the device raises EngineOutOfMemory if it has no room left, EngineLost if it computes no more.

    batch: how many images `encode_batch` takes at once, 1 where that is no faster.
    """

    @property
    def info(self) -> EngineInfo: ...

    @property
    def batch(self) -> int: ...

    @property
    def room(self) -> int | None:
        """Bytes that embeddings may take of the device's memory, None where they lie in the host's."""
        ...

    def pixels(self, image: NDArray[np.uint8]) -> Pixels:
        """The first half of an encode: an upright RGB image (H, W, 3) of any size, resized and normalised as SAM2 does.

        Raises ValueError if it is no such image.
        """
        ...

    def encode_batch(self, pixels: Sequence[Pixels]) -> list[Prepared]:
        """The second half: the embeddings of `batch` images, or of one."""
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

    def best_mask(self, prepared: Prepared, prompt: Prompt) -> tuple[NDArray[np.float32], float]:
        """Low-res logits (h, w) of the mask with the highest predicted IoU among those of `decode`, and that IoU."""
        ...


class EngineLost(RuntimeError):
    """The device computes no more, whatever is asked of it; only a new process may find it well again."""


class EngineOutOfMemory(RuntimeError):
    """The device ran out of memory; the caller may evict prepared embeddings and try once more."""
