"""A prompt on a prepared image becomes the best mask's logits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sam2_backend.engine.interface import Decoded, Prompt
from sam2_backend.serving.claim import Claim, Urgency
from sam2_backend.serving.device import Device
from sam2_backend.serving.refine import LastLogits, Strokes
from sam2_backend.serving.store.memory import PreparedImage
from sam2_backend.steps import Steps


class Predictor:
    """Used from the event loop only."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._logits = LastLogits()

    @property
    def mask_side(self) -> int:
        """Height and width of the logits that a prompt may have."""
        return self._device.mask_side

    async def mask(
        self, task: object, image: PreparedImage, prompt: Prompt, strokes: Strokes, steps: Steps
    ) -> tuple[NDArray[np.float32], float]:
        """The best mask's low-res logits (h, w) and its predicted IoU, 0 to 1.

        task, strokes: what the prompt was drawn on and of, so that the next one with a stroke more refines this mask.
        A prompt's own logits count only where no mask was given for the strokes before.
        """
        earlier = self._logits.before(task, image.key, strokes)
        asked = prompt if earlier is None else replace(prompt, logits=earlier)
        logits, score = await self._decode(image, asked, Urgency.CLICK, steps)
        self._logits.keep(task, image.key, strokes, logits)
        return logits, score

    async def alone(
        self, image: PreparedImage, prompt: Prompt, urgency: Urgency, steps: Steps
    ) -> tuple[NDArray[np.float32], float]:
        """As `mask` for a prompt that nothing came before and nothing will: everybody's clicks go first."""
        return await self._decode(image, prompt, urgency, steps)

    async def candidates(self, image: PreparedImage, prompt: Prompt, urgency: Urgency) -> Decoded:
        """All masks that the decoder offers for a prompt."""
        return await self._device.candidates(image.prepared, prompt, Claim(urgency))

    async def _decode(
        self, image: PreparedImage, prompt: Prompt, urgency: Urgency, steps: Steps
    ) -> tuple[NDArray[np.float32], float]:
        with steps.measure("decode_prompt"):
            return await self._device.best_mask(image.prepared, prompt, Claim(urgency))
