"""The reference engine against SAM2ImagePredictor itself.

The predictor needs torchvision, which has no build for a CPU-only torch from the usual index. Its three transforms are
stood in for here; all else is the predictor's own code.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from sam2.modeling.sam2_base import SAM2Base
from sam2_backend.engine.interface import Prompt
from sam2_backend.engine.reference import ReferenceEngine
from torch import Tensor, nn


class Resize(nn.Module):
    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.height, self.width = size

    def forward(self, image: Tensor) -> Tensor:
        size = [self.height, self.width]
        return nn.functional.interpolate(image[None], size, mode="bilinear", align_corners=False, antialias=True)[0]


class Normalize(nn.Module):
    def __init__(self, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def forward(self, image: Tensor) -> Tensor:
        return (image - self.mean) / self.std


class ToTensor:
    def __call__(self, image: np.ndarray) -> Tensor:
        return torch.from_numpy(image).permute(2, 0, 1).float() / 255


@pytest.fixture
def predictor_class(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    transforms = ModuleType("torchvision.transforms")
    transforms.Normalize, transforms.Resize, transforms.ToTensor = Normalize, Resize, ToTensor  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.transforms", transforms)
    monkeypatch.setattr(torch.jit, "script", lambda module: module)
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    yield SAM2ImagePredictor
    for name in ("sam2.sam2_image_predictor", "sam2.utils.transforms"):
        sys.modules.pop(name, None)


def test_same_answers_as_the_image_predictor(
    predictor_class: Any, make_model: Callable[[str], SAM2Base], photo: np.ndarray
) -> None:
    model = make_model("small")
    height, width, _ = photo.shape
    predictor = predictor_class(model)
    predictor._bb_feat_sizes = [(64, 64), (32, 32), (16, 16)]  # it assumes 1024 pixels
    predictor.set_image(photo)
    engine = ReferenceEngine(model)
    prepared = engine.encode(photo)

    point = {"point_coords": np.array([[120.0, 90.0]]), "point_labels": np.array([1])}
    two = {"point_coords": np.array([[120.0, 90.0], [300.0, 200.0]]), "point_labels": np.array([1, 0])}
    box = {"box": np.array([60.0, 40.0, 250.0, 210.0])}
    corners = [(60.0, 40.0), (250.0, 210.0)]
    asked = [
        (point, [(120.0, 90.0)], [1]),
        (two, [(120.0, 90.0), (300.0, 200.0)], [1, 0]),
        (box, corners, [2, 3]),
        ({**box, **point}, [*corners, (120.0, 90.0)], [2, 3, 1]),
    ]
    prior = 40 * np.random.default_rng(0).standard_normal((1, 64, 64), np.float32)
    prior = np.clip(prior, -32, 32)
    for arguments, pixels, labels in asked:
        for logits in (None, prior):
            for multimask in (True, False):
                _, scores, low_res = predictor.predict(**arguments, mask_input=logits, multimask_output=multimask)
                fractions = np.array(pixels, np.float32) / np.array([width, height], np.float32)
                prompt = Prompt(
                    fractions.astype(np.float32),
                    np.array(labels, np.int32),
                    None if logits is None else logits[0],
                    multimask,
                )
                answer = engine.decode(prepared, prompt)
                np.testing.assert_allclose(answer.logits, low_res, atol=1e-5)
                np.testing.assert_allclose(answer.scores, scores, atol=1e-6)


def test_export_and_restore(make_model: Callable[[str], SAM2Base], photo: np.ndarray) -> None:
    engine = ReferenceEngine(make_model("small"))
    prepared = engine.encode(photo)
    stored = engine.export(prepared)
    assert [value.shape for value in (stored.high_res_0, stored.high_res_1, stored.image)] == [
        (4096, 32),
        (1024, 64),
        (256, 256),
    ]
    back = engine.restore(stored)
    for ours, theirs in zip(back.maps, prepared.maps, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)
