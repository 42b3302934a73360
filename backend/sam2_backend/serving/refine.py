"""Low-res logits of earlier masks, so that an added click refines the mask the annotator sees, as SAM2 was trained to.

A prompt is a refinement if all its strokes but the last were a prompt on the same image before.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from sam2_backend.serving.store.key import Key

# Equal for the same point or box of the same region, however often it is sent; in drawing order.
Strokes = tuple[tuple[object, ...], ...]


class LastLogits:
    """Used from the event loop only. Holds `size` matrices of 256 kB: halving them takes longer than all else here."""

    def __init__(self, size: int = 128) -> None:
        self._size = size
        self._logits: OrderedDict[tuple[object, Key, Strokes], NDArray[np.float32]] = OrderedDict()

    def before(self, task: object, image: Key, strokes: Strokes) -> NDArray[np.float32] | None:
        """(h, w) float32 logits of the mask that this prompt extends, or None."""
        return self._logits.get((task, image, strokes[:-1])) if len(strokes) > 1 else None

    def keep(self, task: object, image: Key, strokes: Strokes, logits: NDArray[np.float32]) -> None:
        entry = (task, image, strokes)
        self._logits[entry] = logits
        self._logits.move_to_end(entry)
        while len(self._logits) > self._size:
            self._logits.popitem(last=False)
