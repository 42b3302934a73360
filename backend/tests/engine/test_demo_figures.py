"""The figures of demo/README.md, on drawings the demo model has never seen."""

from __future__ import annotations

import pytest
import torch
from sam2_backend.demo import network
from sam2_backend.demo.drawings import EASY, FULL
from sam2_backend.demo.evaluate import evaluate

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def same_corrections() -> None:
    torch.manual_seed(0)


def test_a_few_shapes() -> None:
    """As the quick start draws them: two or three, a quarter to half of the side long."""
    scores = evaluate(network.load(network.CHECKPOINT, None), 200, difficulty=EASY)
    assert scores.click.mean >= 0.90, scores
    assert scores.box.mean >= 0.93, scores
    assert scores.clicks.mean >= 0.93, scores


def test_crowded_and_noisy_drawings() -> None:
    scores = evaluate(network.load(network.CHECKPOINT, None), 200, difficulty=FULL)
    assert scores.click.mean == pytest.approx(0.888, abs=0.005), scores
    assert scores.box.mean == pytest.approx(0.919, abs=0.005), scores
    assert scores.clicks.mean == pytest.approx(0.924, abs=0.005), scores
