"""SAM 2's prompt encoder and mask choice on the host, in float32: what surrounds the mask decoder and is cheap.

Point coordinates go through sines of large arguments; embedding them here keeps that out of bfloat16.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sam2_backend.engine.interface import Decoded, Prompt

LOGIT_BOUND = 32.0  # SAM2ImagePredictor clamps the logits it hands back for refinement


@dataclass(frozen=True, slots=True)
class PromptEncoder:
    """The few weights that turn clicks into tokens, and the constants of the mask choice.

    frequencies: (2, 128) float32, the random Fourier matrix. labels: (5, 256) float32, the embeddings of label -1
    (padding), 0, 1, 2 and 3. stability: (delta, threshold) of `dynamic_multimask_via_stability`, or None if it is off.
    """

    image_size: int
    frequencies: NDArray[np.float32]
    labels: NDArray[np.float32]
    stability: tuple[float, float] | None

    def tokens(self, prompt: Prompt) -> NDArray[np.float32]:
        """(1, N + 1, 256) float32: the prompt's points, box corners among them, and SAM 2's padding token.

        Raises ValueError if the prompt is malformed.
        """
        points, labels = prompt.points, prompt.labels
        if points.ndim != 2 or points.shape[1] != 2 or labels.shape != points.shape[:1] or len(points) == 0:
            raise ValueError(f"a prompt has points (N, 2) and labels (N,), not {points.shape} and {labels.shape}")
        if not np.isfinite(points).all() or not np.isin(labels, (0, 1, 2, 3)).all():
            raise ValueError("prompt points are finite and labels are 0, 1, 2 or 3")
        centred = (points.astype(np.float64) * self.image_size + 0.5) / self.image_size
        angles = 2 * np.pi * ((2 * centred - 1) @ self.frequencies.astype(np.float64))
        embedded = np.concatenate([np.sin(angles), np.cos(angles)], axis=1) + self.labels[labels + 1]
        tokens: NDArray[np.float32] = np.concatenate([embedded, self.labels[:1]])[None].astype(np.float32)
        return tokens

    def mask_logits(self, prompt: Prompt) -> NDArray[np.float32] | None:
        """The logits to refine, (h, w) clamped as SAM2ImagePredictor's, or None. Raises ValueError on a wrong shape."""
        if prompt.logits is None:
            return None
        side = self.image_size // 4
        if prompt.logits.shape != (side, side):
            raise ValueError(f"this model refines logits of {side} x {side}, not of shape {prompt.logits.shape}")
        return np.clip(prompt.logits, -LOGIT_BOUND, LOGIT_BOUND).astype(np.float32)

    def choose(self, candidates: Decoded, multimask: bool) -> Decoded:
        """The masks to return out of the decoder's four: the last three, or one.

        One mask is the first, unless it is unstable: then it is the best of the other three by predicted IoU
        (`MaskDecoder._dynamic_multimask_via_stability`).
        """
        logits, scores = candidates.logits, candidates.scores
        if multimask:
            return Decoded(logits[1:], scores[1:])
        best = 0
        if self.stability is not None:
            delta, threshold = self.stability
            union = np.count_nonzero(logits[0] > -delta)
            stable = np.count_nonzero(logits[0] > delta) / union if union else 1.0
            best = 0 if stable >= threshold else 1 + int(scores[1:].argmax())
        return Decoded(logits[best : best + 1], scores[best : best + 1])

    def save(self, path: Path) -> None:
        np.savez(
            path,
            image_size=self.image_size,
            frequencies=self.frequencies,
            labels=self.labels,
            stability=np.array(self.stability or [], np.float64),
        )

    @classmethod
    def load(cls, path: Path) -> PromptEncoder:
        with np.load(path, allow_pickle=False) as stored:
            stability = stored["stability"].tolist()
            return cls(
                image_size=int(stored["image_size"]),
                frequencies=stored["frequencies"],
                labels=stored["labels"],
                stability=(stability[0], stability[1]) if stability else None,
            )
