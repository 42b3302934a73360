"""Every object of an image: which points are asked, and which of the masks that come back are worth showing.

The way of "Segment Anything" (https://arxiv.org/abs/2304.02643, appendix B): a grid of single points with three masks
each, of which those count that the model is sure of and that hardly change with the threshold of the logits. The best
mask of each object stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam2_backend.engine.interface import Decoded

# Points in a row and in a column, a power of two: with 8 ms for each, a CPU is done in 2 s.
PER_SIDE = 16
# As in SAM 2's automatic mask generator: predicted IoU, stability of logits that are 256 pixels wide, and its offset.
SURE = 0.8
STABLE = 0.95
STABLE_SIDE = 256
OFFSET = 1.0
# Masks that have this IoU are the same object.
ALIKE = 0.4
# A share of the image below which a mask is a speck, and of the image's edge above which it is the background.
SPECK = 0.0005
BACKGROUND = 0.75


@dataclass(frozen=True, slots=True)
class Proposal:
    """logits: (h, w) float16, > 0 is the object; score: predicted IoU; quality: that times the stability."""

    logits: NDArray[np.float16]
    score: float
    quality: float


def grid(per_side: int = PER_SIDE) -> NDArray[np.float32]:
    """(per_side², 2) float32: the centres of equal cells, x and y as fractions of the image. per_side: a power of two.

    The first 4, 16, 64 … are grids themselves, so that a search that is ended has looked everywhere.
    """
    if per_side.bit_count() != 1:
        raise ValueError(f"{per_side} is no power of two")
    bits = per_side.bit_length() - 1
    numbers = np.arange(per_side**2)
    columns, rows = np.zeros_like(numbers), np.zeros_like(numbers)
    for bit in range(bits):
        columns |= ((numbers >> 2 * bit) & 1) << (bits - 1 - bit)
        rows |= ((numbers >> 2 * bit + 1) & 1) << (bits - 1 - bit)
    return ((np.stack([columns, rows], 1) + 0.5) / per_side).astype(np.float32)


def stability(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """(M,): IoU of each of the masks (M, h, w) at a threshold OFFSET above zero and at one OFFSET below."""
    above = np.count_nonzero(logits > OFFSET, axis=(1, 2))
    below = np.count_nonzero(logits > -OFFSET, axis=(1, 2))
    stays: NDArray[np.float64] = above / np.maximum(below, 1)
    return stays


def worth_showing(decoded: Decoded) -> list[Proposal]:
    """Those of a point's masks that are sure, stable, no speck and not the background.

    The outline of a mask is a larger share of it with fewer pixels, and so is what changes with the threshold.
    """
    masks = decoded.logits > 0
    steady = stability(decoded.logits)
    side = max(masks.shape[1:])
    sure = (decoded.scores >= SURE) & (steady >= 1 - (1 - STABLE) * STABLE_SIDE / side)
    edge = np.concatenate([masks[:, [0, -1]].reshape(len(masks), -1), masks[:, :, [0, -1]].reshape(len(masks), -1)], 1)
    sized = (masks.mean((1, 2)) >= SPECK) & (edge.mean(1) <= BACKGROUND)
    return [
        Proposal(decoded.logits[at].astype(np.float16), float(score), float(score * steady[at]))
        for at, score in enumerate(decoded.scores)
        if sure[at] and sized[at]
    ]


def distinct(proposals: Sequence[Proposal], there: Sequence[NDArray[np.bool_]] = ()) -> list[Proposal]:
    """The best of each object, best first, without objects that are `there` already, (h, w) each. Takes a while."""
    ordered = sorted(proposals, key=lambda each: -each.quality)
    taken = [_Packed.of(mask) for mask in there]
    chosen: list[Proposal] = []
    for each in ordered:
        packed = _Packed.of(each.logits > 0)
        if not any(packed.alike(other) for other in taken):
            taken.append(packed)
            chosen.append(each)
    return chosen


def without_a_mask(masks: Sequence[NDArray[np.bool_]], there: Sequence[NDArray[np.bool_]]) -> list[int]:
    """Positions of the masks whose object is not `there`, (h, w) each; each of `there` is of the one most like it."""
    packed, others = [_Packed.of(mask) for mask in masks], [_Packed.of(mask) for mask in there]
    ious = [(mask.iou(other), at, by) for at, mask in enumerate(packed) for by, other in enumerate(others)]
    known: dict[int, int] = {}
    for iou, at, by in sorted(ious, reverse=True):
        if iou >= ALIKE and at not in known and by not in known.values():
            known[at] = by
    return [at for at in range(len(masks)) if at not in known]


@dataclass(frozen=True, slots=True)
class _Packed:
    """A mask as bits, and how many of them are set."""

    bits: NDArray[np.uint64]
    area: int

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> _Packed:
        packed = np.packbits(mask)
        bits = np.pad(packed, (0, -len(packed) % 8)).view(np.uint64)
        return cls(bits, int(np.count_nonzero(mask)))

    def alike(self, other: _Packed) -> bool:
        smaller, larger = sorted((self.area, other.area))
        return smaller >= ALIKE * larger and self.iou(other) >= ALIKE

    def iou(self, other: _Packed) -> float:
        both = int(np.bitwise_count(self.bits & other.bits).sum())
        return both / max(self.area + other.area - both, 1)
