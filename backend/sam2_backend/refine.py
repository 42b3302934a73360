"""Low-res logits of earlier masks, so that an added click refines the mask the annotator sees, as SAM2 was trained to.

A prompt is a refinement if all its regions but the last were a prompt on the same image before.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from .prompts import ObjectPrompt
from .store.key import Key

PromptKey = tuple[tuple[object, ...], ...]


class LastLogits:
    """Used from the event loop only. Holds `size` matrices of 128 kB (float16)."""

    def __init__(self, size: int = 256) -> None:
        self._size = size
        self._logits: OrderedDict[tuple[object, Key, PromptKey], NDArray[np.float16]] = OrderedDict()

    def before(self, task: object, image: Key, prompt: ObjectPrompt) -> NDArray[np.float32] | None:
        """(h, w) float32 logits of the mask that this prompt extends, or None."""
        earlier = self._logits.get((task, image, prompt.key[:-1])) if len(prompt.key) > 1 else None
        return None if earlier is None else earlier.astype(np.float32)

    def keep(self, task: object, image: Key, prompt: ObjectPrompt, logits: NDArray[np.float32]) -> None:
        entry = (task, image, prompt.key)
        self._logits[entry] = np.clip(logits, -32, 32).astype(np.float16)
        self._logits.move_to_end(entry)
        while len(self._logits) > self._size:
            self._logits.popitem(last=False)
