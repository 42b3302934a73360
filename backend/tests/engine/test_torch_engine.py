"""The GPU engine on CPU tensors: what it fills up, batches, chooses and copies changes no mask.

Streams, graphs and `native/fused.cu` exist on a GPU alone; `benchmarks/gpu` runs them there.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sam2.modeling.sam2_base import SAM2Base
from sam2_backend.engine.interface import Decoded, EngineLost, Prompt
from sam2_backend.engine.lane import Lane
from sam2_backend.engine.mask_choice import MaskChoice
from sam2_backend.engine.morton import raster_index
from sam2_backend.engine.pixels import model_input
from sam2_backend.engine.reference import ReferenceEngine
from sam2_backend.engine.selfcheck import cases
from sam2_backend.engine.torch_engine import TOKENS, TorchEngine


@pytest.fixture(scope="module")
def model(make_model: Callable[..., SAM2Base]) -> SAM2Base:
    return make_model("small")


@pytest.fixture(scope="module")
def engine(model: SAM2Base) -> TorchEngine:
    return TorchEngine(model, torch.device("cpu"), precision="f32", batch=3)


def clicks(count: int) -> Prompt:
    points = np.random.default_rng(count).uniform(0.1, 0.9, (count, 2)).astype(np.float32)
    return Prompt(points, np.resize(np.array([1, 1, 0], np.int32), count))


@pytest.mark.parametrize("count", [1, TOKENS[0] - 1, TOKENS[0], TOKENS[1] - 1, TOKENS[1] + 3])
def test_prompts_of_every_length(count: int, model: SAM2Base, engine: TorchEngine, photo: np.ndarray) -> None:
    """A prompt and its padding token fill a length exactly, begin the next one, or are longer than any."""
    reference = ReferenceEngine(model)
    expected = reference.candidates(reference.encode(photo), clicks(count))
    found = engine.candidates(engine.encode(photo), clicks(count))
    np.testing.assert_allclose(found.logits, expected.logits, atol=2e-3 * np.abs(expected.logits).max())
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-3)


def test_a_short_prompt_after_a_long_one(engine: TorchEngine, photo: np.ndarray) -> None:
    prepared = engine.encode(photo)
    expected = engine.candidates(prepared, clicks(1)).logits
    engine.candidates(prepared, clicks(7))
    assert (engine.candidates(prepared, clicks(1)).logits == expected).all()


def test_the_best_mask_is_the_best_of_those_decoded(engine: TorchEngine, photo: np.ndarray) -> None:
    prepared = engine.encode(photo)
    prior = engine.candidates(prepared, cases(None)[0][1]).logits[2] * 30
    for _, prompt in cases(prior):
        for multimask in (True, False):
            asked = Prompt(prompt.points, prompt.labels, prompt.logits, multimask)
            decoded = engine.decode(prepared, asked)
            logits, score = engine.best_mask(prepared, asked)
            best = int(decoded.scores.argmax())
            assert (logits == decoded.logits[best]).all()
            assert score == pytest.approx(float(np.clip(decoded.scores[best], 0, 1)))


def test_images_of_a_batch_are_those_images(engine: TorchEngine, photo: np.ndarray) -> None:
    images = [np.ascontiguousarray(np.roll(photo, 60 * turn, 1)) for turn in range(3)]
    together = engine.encode_batch([engine.pixels(image) for image in images])
    for image, prepared in zip(images, together, strict=True):
        alone = engine.candidates(engine.encode(image), clicks(1)).logits
        np.testing.assert_allclose(
            engine.candidates(prepared, clicks(1)).logits, alone, atol=1e-3 * np.abs(alone).max()
        )
    assert not np.allclose(*(engine.candidates(prepared, clicks(1)).logits for prepared in together[:2]))


@pytest.mark.parametrize("shape", [(300, 420), (40, 50), (1100, 260)])
def test_pixels_are_resized_as_on_the_host(shape: tuple[int, int], engine: TorchEngine) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    expected = model_input(image, engine.info.image_size)
    found = engine.pixels(image).numpy()
    np.testing.assert_allclose(found[None], expected, atol=1e-4)


@pytest.mark.parametrize("stability", [(0.05, 0.98), None])
@pytest.mark.parametrize("multimask", [True, False])
def test_the_choice_is_the_hosts(stability: tuple[float, float] | None, multimask: bool, engine: TorchEngine) -> None:
    """Stable and unstable single masks, empty ones, and each of the other three the best."""
    side = engine.info.image_size // 4
    prompts = engine._prompts.__class__(engine.info.image_size, np.zeros(0), np.zeros(0), stability)
    choice = MaskChoice(side, stability)
    rng = np.random.default_rng(5)
    for first in (3.0, 0.02, -9.0):
        for best in range(3):
            raster = rng.normal(size=(4, side, side)).astype(np.float32)
            raster[0] = np.where(raster[0] > 0, first, -9.0)
            scores = np.array([0.5, 0.1, 0.1, 0.1], np.float32)
            scores[1 + best] = 0.9
            expected = prompts.choose(Decoded(raster, scores), multimask)
            wanted = int(expected.scores.argmax())
            morton = torch.from_numpy(raster.reshape(4, -1)[:, raster_index(side)])
            answer = choice(morton, torch.from_numpy(scores), torch.tensor([float(multimask)])).numpy()
            assert (answer[:-1].reshape(side, side) == expected.logits[wanted]).all()
            assert answer[-1] == expected.scores[wanted]


def test_an_error_of_the_device_is_told_from_others() -> None:
    lane = Lane(torch.device("cpu"))
    with pytest.raises(EngineLost, match="illegal memory access"), lane.work():
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nmore of it")
    with pytest.raises(RuntimeError, match="shapes"), lane.work():
        raise RuntimeError("shapes do not fit")
