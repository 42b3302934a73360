"""The re-expressed modules against sam2's own, in float32: equal but for rounding, for every official size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sam2.modeling.sam2_base import SAM2Base
from sam2_backend.engine.encoder import ImageEncoder
from sam2_backend.engine.errors import UnsupportedModel
from sam2_backend.engine.interface import Decoded, Prompt
from sam2_backend.engine.morton import morton_index
from sam2_backend.engine.pixels import model_input
from sam2_backend.engine.reference import ReferenceEngine
from sam2_backend.engine.selfcheck import cases, confident_iou
from sam2_backend.engine.torch_engine import TorchEngine

SIZES = ["small", *(pytest.param(size, marks=pytest.mark.models) for size in ("t", "s", "b+", "l"))]


def iou(ours: np.ndarray, theirs: np.ndarray) -> float:
    union = np.count_nonzero((ours > 0) | (theirs > 0))
    return np.count_nonzero((ours > 0) & (theirs > 0)) / union if union else 1.0


def assert_equal_masks(ours: Decoded, theirs: Decoded, least_iou: float = 0.995) -> None:
    for mine, other in zip(ours.logits, theirs.logits, strict=True):
        assert iou(mine, other) >= least_iou
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-3)


@pytest.mark.parametrize("size", SIZES)
def test_torch_engine_in_float32(size: str, make_model: Callable[..., SAM2Base], photo: np.ndarray) -> None:
    for seed in (0, 1) if size == "small" else (0,):
        model = make_model(size, seed)
        reference = ReferenceEngine(model)
        engine = TorchEngine(model, torch.device("cpu"), precision="f32")
        expected, prepared = reference.encode(photo), engine.encode(photo)

        stored, wanted = engine.export(prepared), reference.export(expected)
        for name in ("high_res_0", "high_res_1", "image"):
            exact = getattr(wanted, name).astype(np.float32)
            np.testing.assert_allclose(getattr(stored, name), exact, atol=2e-3 * np.abs(exact).max())
        prior = reference.candidates(expected, cases(None)[0][1]).logits[2] * 30
        for _, prompt in cases(prior):
            assert_equal_masks(engine.candidates(prepared, prompt), reference.candidates(expected, prompt))
        for _, prompt in cases(prior)[-2:]:
            for multimask in (True, False):
                asked = Prompt(prompt.points, prompt.labels, prompt.logits, multimask)
                answer, right = engine.decode(prepared, asked), reference.decode(expected, asked)
                assert answer.logits.shape == right.logits.shape
                assert_equal_masks(answer, right)


def test_encoder_rounds_and_no_more(make_model: Callable[..., SAM2Base], photo: np.ndarray) -> None:
    model = make_model("small")
    with torch.inference_mode():
        maps = ImageEncoder(model)(torch.from_numpy(model_input(photo, model.image_size)))
    for ours, theirs in zip(maps, ReferenceEngine(model).encode(photo).maps, strict=True):
        raster = ours[torch.from_numpy(morton_index(theirs.shape[-1]))].T.reshape(theirs.shape)
        torch.testing.assert_close(raster, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("precision", ["bf16", "f16"])
def test_torch_engine_in_half_precision(precision: str, make_model: Callable[..., SAM2Base], photo: np.ndarray) -> None:
    model = make_model("small")
    reference, engine = ReferenceEngine(model), TorchEngine(model, torch.device("cpu"), precision=precision)
    expected, prepared = reference.encode(photo), engine.encode(photo)
    for _, prompt in cases(reference.candidates(expected, cases(None)[0][1]).logits[1]):
        answer, right = engine.candidates(prepared, prompt), reference.candidates(expected, prompt)
        for ours, theirs in zip(answer.logits, right.logits, strict=True):
            assert confident_iou(ours, theirs) >= 0.995
            assert iou(ours, theirs) >= 0.98


def test_torch_engine_restores_exactly_what_it_encoded(make_model: Callable[..., SAM2Base], photo: np.ndarray) -> None:
    engine = TorchEngine(make_model("small"), torch.device("cpu"), precision="bf16")
    prepared = engine.encode(photo)
    restored = engine.restore(engine.export(prepared))
    prompt = cases(None)[0][1]
    assert (engine.decode(prepared, prompt).logits == engine.decode(restored, prompt).logits).all()
    assert prepared.nbytes == restored.nbytes > 0


@pytest.mark.parametrize(("attribute", "value"), [("image_size", 768), ("use_high_res_features_in_sam", False)])
def test_other_models_are_refused(attribute: str, value: object, make_model: Callable[..., SAM2Base]) -> None:
    model = make_model("small")
    setattr(model, attribute, value)
    with pytest.raises(UnsupportedModel, match=attribute):
        ImageEncoder(model)
