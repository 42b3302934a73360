"""Models with random weights: nothing published can be fetched in a test, and arithmetic does not care."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sam2.modeling.sam2_base import SAM2Base
from sam2_backend.engine.build import build_model
from sam2_backend.engine.select import config_path

SMALL = Path(__file__).parent / "small_model.yaml"
CONFIGS = {
    "small": SMALL,
    **{size: config_path(f"configs/sam2.1/sam2.1_hiera_{size}.yaml") for size in ("t", "s", "b+", "l")},
}


def random_model(name: str, seed: int = 0) -> SAM2Base:
    torch.manual_seed(seed)
    model = build_model(CONFIGS[name], None)
    trunk = model.image_encoder.trunk
    for embedding in (trunk.pos_embed, trunk.pos_embed_window):  # zero as they come, which would hide a wrong order
        torch.nn.init.trunc_normal_(embedding, std=0.02)
    return model


@pytest.fixture(scope="session")
def config_of() -> dict[str, Path]:
    return CONFIGS


@pytest.fixture(scope="session")
def make_model() -> Callable[..., SAM2Base]:
    return random_model


@pytest.fixture(scope="session")
def make_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("checkpoints")

    def make(name: str) -> Path:
        path = folder / f"random_{name}.pt"
        if not path.exists():
            torch.save({"model": random_model(name).state_dict()}, path)
        return path

    return make


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where converted models are kept for the whole session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """A smooth coloured image (300, 420, 3) uint8."""
    coarse = torch.randn(1, 3, 9, 12, generator=torch.Generator().manual_seed(3))
    smooth = torch.nn.functional.interpolate(coarse, (300, 420), mode="bicubic")[0]
    return (128 + 50 * smooth).clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy()
