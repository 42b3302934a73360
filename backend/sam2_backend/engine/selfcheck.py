"""Whether an engine's masks are those of fp32 with the same weights, asked at every start for every shape it serves.

The fp32 answers are computed once by the reference engine and kept beside the converted model, so that the question
costs one encode and a few decodes. Libraries do get this wrong: OpenVINO 2026.4 in bfloat16 with static shapes returned
masks that were off by a quarter for exactly one click.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sam2_backend.engine.errors import SelfCheckFailed
from sam2_backend.engine.interface import Decoded, Prompt

# bfloat16 on official sizes: cosine 0.9998, scores within 0.001, a few pixels near the outline. A quarter off: 0.985.
LEAST_COSINE = 0.995
LEAST_IOU = 0.98
MOST_SCORE_ERROR = 0.05
CONFIDENT = 0.05  # of the largest logit: nearer to zero a pixel may fall either way

_POINT_COUNTS = (1, 2, 3, 4, 5, 6, 7, 8, 12, 16)


class Checkable(Protocol):
    def encode(self, image: NDArray[np.uint8]) -> Any: ...

    def candidates(self, prepared: Any, prompt: Prompt) -> Decoded: ...


@dataclass(frozen=True, slots=True)
class Golden:
    """The reference's four masks of every case: logits (cases, 4, h, w) float16, scores (cases, 4) float32."""

    logits: NDArray[np.float16]
    scores: NDArray[np.float32]

    def save(self, path: Path) -> None:
        np.savez(path, logits=self.logits, scores=self.scores)

    @classmethod
    def load(cls, path: Path) -> Golden:
        with np.load(path, allow_pickle=False) as stored:
            return cls(stored["logits"], stored["scores"])


def drawn_image(height: int = 480, width: int = 640) -> NDArray[np.uint8]:
    """Shapes on a shaded ground, (height, width, 3), the same at every call."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / np.float32(height)
    image = np.stack([90 + 60 * x, 120 + 40 * y, 140 - 50 * x * y], axis=-1)
    shapes = [
        (((x - 0.35) ** 2 + (y - 0.4) ** 2 < 0.04), (210, 70, 60)),
        ((abs(x - 0.95) < 0.2) & (abs(y - 0.65) < 0.15), (60, 150, 220)),
        ((abs(x - 0.9) + abs(y - 0.25) < 0.16), (240, 210, 80)),
        (((x - 0.4) ** 2 / 4 + (y - 0.82) ** 2 < 0.008), (40, 60, 40)),
    ]
    for inside, colour in shapes:
        image[inside] = np.array(colour) + 8 * np.sin(40 * x[inside])[:, None]
    return np.clip(image, 0, 255).astype(np.uint8)


def cases(first_logits: NDArray[np.floating[Any]] | None) -> list[tuple[str, Prompt]]:
    """Every kind of prompt that is served; those that refine a mask only if `first_logits` (h, w) is given."""
    rng = np.random.default_rng(7)
    scattered = rng.uniform(0.05, 0.95, (max(_POINT_COUNTS), 2)).astype(np.float32)
    scattered[:2] = (0.26, 0.4), (0.3, 0.45)  # on the first shape
    signs = np.array([1, 1, 0, 1, 0, 0, 1, 0] * 2, np.int32)
    box = np.array([(0.11, 0.19), (0.42, 0.61)], np.float32)
    corners = np.array([2, 3], np.int32)

    result = [(f"{n} points", Prompt(scattered[:n], signs[:n])) for n in _POINT_COUNTS]
    result.append(("box", Prompt(box, corners)))
    result.append(("box and point", Prompt(np.vstack([box, scattered[:1]]), np.append(corners, np.int32(1)))))
    if first_logits is not None:
        prior = first_logits.astype(np.float32)
        result.append(("point and mask", Prompt(scattered[:1], signs[:1], prior)))
        result.append(("3 points and mask", Prompt(scattered[:3], signs[:3], prior)))
        result.append(("box and mask", Prompt(box, corners, prior)))
    return result


def compute_golden(reference: Checkable) -> Golden:
    prepared = reference.encode(drawn_image())
    first = reference.candidates(prepared, cases(None)[0][1]).logits[1].astype(np.float16)
    answers = [reference.candidates(prepared, prompt) for _, prompt in cases(first)]
    return Golden(
        np.stack([answer.logits for answer in answers]).astype(np.float16),
        np.stack([answer.scores for answer in answers]),
    )


def check(engine: Checkable, golden: Golden) -> None:
    """Raises SelfCheckFailed, naming the first case that differs and by how much."""
    prepared = engine.encode(drawn_image())
    for (name, prompt), logits, scores in zip(cases(golden.logits[0, 1]), golden.logits, golden.scores, strict=True):
        answer = engine.candidates(prepared, prompt)
        wrong = _difference(answer, Decoded(logits.astype(np.float32), scores))
        if wrong:
            raise SelfCheckFailed(f"for {name} this engine differs from fp32 of the same weights: {wrong}")


def _difference(answer: Decoded, expected: Decoded) -> str:
    """What is wrong with an answer, empty if nothing is."""
    if not (np.isfinite(answer.logits).all() and np.isfinite(answer.scores).all()):
        return "its answer is not finite"
    for ours, theirs in zip(answer.logits, expected.logits, strict=True):
        cosine = float(np.vdot(ours, theirs) / np.sqrt(np.vdot(ours, ours) * np.vdot(theirs, theirs)))
        if not cosine >= LEAST_COSINE:
            return f"cosine of the mask logits {cosine:.4f}, expected at least {LEAST_COSINE}"
        iou = confident_iou(ours, theirs)
        if iou < LEAST_IOU:
            return f"mask IoU {iou:.3f}, expected at least {LEAST_IOU}"
    error = float(np.abs(answer.scores - expected.scores).max())
    return f"predicted IoU off by {error:.3f}" if error > MOST_SCORE_ERROR else ""


def confident_iou(ours: NDArray[np.floating[Any]], theirs: NDArray[np.floating[Any]]) -> float:
    """IoU of two masks over the pixels at which `theirs` is clearly inside or outside; 1 if none is inside."""
    sure = np.abs(theirs) > CONFIDENT * np.abs(theirs).max()
    inside, expected = (ours > 0) & sure, (theirs > 0) & sure
    union = np.count_nonzero(inside | expected)
    return np.count_nonzero(inside & expected) / union if union else 1.0
