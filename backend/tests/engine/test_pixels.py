"""The C resize against torch's antialiased interpolation, which SAM2Transforms uses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sam2_backend.engine.pixels import MEAN, SPREAD, model_input


def sam2_transforms(image: np.ndarray, size: int) -> np.ndarray:
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255
    pixels = F.interpolate(pixels, (size, size), mode="bilinear", antialias=True)
    return ((pixels - torch.from_numpy(MEAN)[:, None, None]) / torch.from_numpy(SPREAD)[:, None, None]).numpy()


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from([64, 128, 256]), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_any_size_resizes_as_torch_does(height: int, width: int, size: int, seed: int) -> None:
    image = noise(height, width, seed)
    np.testing.assert_allclose(model_input(image, size), sam2_transforms(image, size), atol=2e-5)


@pytest.mark.parametrize(("height", "width"), [(768, 1024), (1365, 2048), (3000, 4000), (20000, 3), (2, 30000)])
def test_large_and_extreme_images(height: int, width: int) -> None:
    image = noise(height, width)
    np.testing.assert_allclose(model_input(image, 1024), sam2_transforms(image, 1024), atol=5e-5)


def test_strided_views() -> None:
    image = noise(90, 120)
    for view in (image[5:80:2, 10:100], image[:, ::-1], image[..., ::-1], image.transpose(1, 0, 2)):
        assert (model_input(view, 64) == model_input(np.ascontiguousarray(view), 64)).all()


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)],
)
def test_what_is_no_rgb_image_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="an image is uint8 RGB"):
        model_input(image, 64)
