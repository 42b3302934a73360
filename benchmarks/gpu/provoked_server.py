"""The backend's server with something done to it, by environment variable, that no setting of it does.

PROVOKE_SMOOTH=1: every mask is one round shape, after its decoder ran: random weights give masks of a hundred thousand
runs, and writing those would be most of a click. PROVOKE_ROOM_MIB=N: the process may take N MiB more of the card than
the loaded model. PROVOKE_LOSS=N: the Nth prompt makes the card fail for good.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np
from sam2_backend import __main__, backend
from sam2_backend.engine.token_engine import TokenEngine
from sam2_backend.model.loading import LoadedModel, load
from sam2_backend.settings import Settings

SMOOTH = bool(os.environ.get("PROVOKE_SMOOTH"))
ROOM = os.environ.get("PROVOKE_ROOM_MIB")
LOSS = int(os.environ.get("PROVOKE_LOSS", "0"))


def provoked(settings: Settings) -> LoadedModel:
    model = load(settings)
    engine = model.engine
    assert isinstance(engine, TokenEngine)
    ask, prompts = engine.best_mask, 0
    side = engine.info.image_size // 4
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    shape = 8 * (0.3 - np.hypot(x - 0.5, y - 0.5 + 0.05 * np.sin(9 * x)))

    def best_mask(*arguments: Any) -> Any:
        nonlocal prompts
        prompts += 1
        if prompts == LOSS:
            import torch

            torch.zeros(1, device=settings.device)[torch.tensor([7], device=settings.device)].cpu()
        logits, score = ask(*arguments)
        return (shape.copy() if SMOOTH else logits), score

    engine.best_mask = best_mask  # type: ignore[method-assign]
    if ROOM is not None:
        import torch

        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(settings.device).total_memory
        allowed = torch.cuda.memory_reserved(settings.device) + (int(ROOM) << 20)
        torch.cuda.set_per_process_memory_fraction(allowed / total, settings.device)
    return model


backend.load = provoked  # type: ignore[attr-defined]

if __name__ == "__main__":
    sys.exit(__main__.main())
