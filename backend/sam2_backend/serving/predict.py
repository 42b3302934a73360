"""A prompt on a prepared image becomes the best mask's logits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sam2_backend.engine.interface import Engine, Prepared, Prompt
from sam2_backend.serving.embeddings import Embeddings
from sam2_backend.serving.queue import DeviceQueue, Urgency
from sam2_backend.serving.refine import LastLogits, Strokes
from sam2_backend.serving.store.memory import PreparedImage
from sam2_backend.steps import Steps


class Predictor:
    """Used from the event loop only."""

    def __init__(self, engine: Engine, embeddings: Embeddings, decoder: DeviceQueue) -> None:
        self._engine = engine
        self._embeddings = embeddings
        self._decoder = decoder
        self._logits = LastLogits()

    async def mask(
        self, task: object, image: PreparedImage, prompt: Prompt, strokes: Strokes, steps: Steps
    ) -> tuple[NDArray[np.float32], float]:
        """The best mask's low-res logits (h, w) and its predicted IoU, 0 to 1.

        task, strokes: what the prompt was drawn on and of, so that the next one with a stroke more refines this mask.
        """
        asked = replace(prompt, logits=self._logits.before(task, image.key, strokes))
        with steps.measure("decode_prompt"):
            logits, score = await self._embeddings.with_room(
                lambda: self._decoder.submit(lambda: self._best(image.prepared, asked), Urgency.CLICK)
            )
        self._logits.keep(task, image.key, strokes, logits)
        return logits, score

    def _best(self, prepared: Prepared, prompt: Prompt) -> tuple[NDArray[np.float32], float]:
        decoded = self._engine.decode(prepared, prompt)
        best = int(np.argmax(decoded.scores))
        # The engine may reuse its output buffers for the next prompt.
        return np.array(decoded.logits[best], np.float32), min(1.0, max(0.0, float(decoded.scores[best])))
