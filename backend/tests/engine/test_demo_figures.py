"""The figures of demo_training/README.md, on drawings the demo model has never seen."""

from __future__ import annotations

import pytest
import torch
from demo_training import network
from demo_training.drawings import EASY, FULL, Difficulty
from demo_training.evaluate import evaluate

pytestmark = pytest.mark.models


@pytest.fixture(autouse=True)
def same_corrections() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("difficulty", [FULL, EASY], ids=["crowded and noisy", "a few shapes"])
def test_unseen_drawings(difficulty: Difficulty) -> None:
    scores = evaluate(network.load(network.CHECKPOINT, None), 200, difficulty=difficulty)
    assert scores.click.mean >= 0.90, scores
    assert scores.box.mean >= 0.93, scores
    assert scores.clicks.mean >= 0.92, scores
