"""SAM 2's choice among the mask decoder's four masks, on the device: only the chosen one is copied back.

The same choice as `PromptEncoder.choose` with the best of what it returns.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sam2_backend.engine.morton import morton_index


class MaskChoice(nn.Module):
    """All masks' logits (4, 16 N) in Morton order, scores (4,) and a flag (1,) to the chosen mask, (16 N + 1,).

    The flag is 1 to choose among the three masks of an ambiguous prompt, 0 for the single-mask output unless it is
    unstable. The result is the logits in raster order, then the predicted IoU.

    side: of the masks, in pixels. stability: delta and threshold of `dynamic_multimask_via_stability`, or None.
    """

    def __init__(self, side: int, stability: tuple[float, float] | None) -> None:
        super().__init__()
        self.order: Tensor
        self.register_buffer("order", torch.from_numpy(morton_index(side)))
        self.stability = stability
        delta, _ = stability or (0.0, 0.0)
        self.bounds: Tensor
        self.register_buffer("bounds", torch.tensor([[delta], [-delta]]))

    def forward(self, logits: Tensor, scores: Tensor, multimask: Tensor) -> Tensor:
        best = 1 + scores[1:].argmax(0, keepdim=True)
        unambiguous = torch.zeros_like(best)
        if self.stability is not None:
            inside, union = (logits[0] > self.bounds).sum(1, dtype=torch.float32)
            unambiguous = torch.where(inside >= self.stability[1] * union, unambiguous, best)
        chosen = torch.where(multimask > 0, best, unambiguous)
        mask = logits.index_select(0, chosen)[0].index_select(0, self.order)
        return torch.cat([mask, scores.index_select(0, chosen)])
