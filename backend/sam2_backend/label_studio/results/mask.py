"""One object's mask: low-res logits and the size at which the editor shows the image."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sam2_backend.label_studio.results import rle


@dataclass(frozen=True, slots=True)
class Mask:
    """logits: (h, w) float32, > 0 is the object; width, height: of the upright image, in pixels."""

    logits: NDArray[np.float32]
    width: int
    height: int

    @property
    def empty(self) -> bool:
        return not bool((self.logits > 0).any())

    def brush_json(self) -> bytes:
        """Brush RLE as the text of a JSON array."""
        return rle.rle_to_json(rle.logits_to_rle(self.logits, self.height, self.width))

    def pixels(self, longest_side: int | None = None) -> NDArray[np.uint8]:
        """(height, width) uint8, 255 inside; scaled down so that no side is longer than `longest_side`, if given."""
        scale = min(1.0, longest_side / max(self.width, self.height)) if longest_side else 1.0
        width, height = max(1, round(self.width * scale)), max(1, round(self.height * scale))
        return rle.logits_to_mask(self.logits, height, width)

    def largest_component(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The same mask with its largest connected part only, so that specks do not move boxes and ellipses."""
        count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        if count <= 2:
            return mask
        largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
        return np.where(labels == largest, np.uint8(255), np.uint8(0))
