"""The self-check passes what is right and refuses what was really seen to be wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sam2.modeling.sam2_base import SAM2Base
from sam2_backend.engine.errors import SelfCheckFailed
from sam2_backend.engine.interface import Decoded, Prepared, Prompt
from sam2_backend.engine.reference import ReferenceEngine
from sam2_backend.engine.selfcheck import Golden, check, compute_golden


@pytest.fixture(scope="module")
def reference(make_model: Callable[[str], SAM2Base]) -> ReferenceEngine:
    return ReferenceEngine(make_model("small"))


@pytest.fixture(scope="module")
def golden(reference: ReferenceEngine) -> Golden:
    return compute_golden(reference)


class Broken:
    """The reference engine with one fault."""

    def __init__(self, engine: ReferenceEngine, fault: Callable[[Prompt, Decoded], Decoded]) -> None:
        self._engine, self._fault = engine, fault

    def encode(self, image: np.ndarray) -> Prepared:
        return self._engine.encode(image)

    def candidates(self, prepared: Any, prompt: Prompt) -> Decoded:
        return self._fault(prompt, self._engine.candidates(prepared, prompt))


def off_by_a_quarter_for_one_point(prompt: Prompt, answer: Decoded) -> Decoded:
    """What OpenVINO did: largest error 0.22 of the largest logit, cosine 0.985, one point only."""
    if len(prompt.points) > 1:
        return answer
    noise = np.random.default_rng(0).standard_normal(answer.logits.shape).astype(np.float32)
    return Decoded(answer.logits + 0.18 * answer.logits.std() * noise, answer.scores)


FAULTS: dict[str, Callable[[Prompt, Decoded], Decoded]] = {
    "1 points": off_by_a_quarter_for_one_point,
    "box": lambda p, d: Decoded(-d.logits, d.scores) if p.labels[0] == 2 else d,
    "point and mask": lambda p, d: Decoded(np.roll(d.logits, 9, 2), d.scores) if p.logits is not None else d,
    "16 points": lambda p, d: Decoded(d.logits[::-1], d.scores) if len(p.points) == 16 else d,
    "3 points": lambda p, d: Decoded(d.logits * np.float32(np.nan), d.scores) if len(p.points) == 3 else d,
    "2 points": lambda p, d: Decoded(d.logits, d.scores + 0.2) if len(p.points) == 2 else d,
}


def test_the_reference_passes(reference: ReferenceEngine, golden: Golden) -> None:
    check(reference, golden)


def test_bfloat16_noise_passes(reference: ReferenceEngine, golden: Golden) -> None:
    noise = np.random.default_rng(0).standard_normal(golden.logits.shape[1:]).astype(np.float32)
    check(Broken(reference, lambda _, d: Decoded(d.logits + 0.02 * d.logits.std() * noise, d.scores)), golden)


@pytest.mark.parametrize("case", FAULTS)
def test_a_broken_engine_is_refused(case: str, reference: ReferenceEngine, golden: Golden) -> None:
    with pytest.raises(SelfCheckFailed, match=f"for {case} this engine differs from fp32"):
        check(Broken(reference, FAULTS[case]), golden)


def test_other_weights_are_refused(golden: Golden, make_model: Callable[..., SAM2Base]) -> None:
    with pytest.raises(SelfCheckFailed):
        check(ReferenceEngine(make_model("small", 1)), golden)


def test_golden_answers_survive_the_disk(golden: Golden, tmp_path: Path) -> None:
    golden.save(tmp_path / "golden.npz")
    loaded = Golden.load(tmp_path / "golden.npz")
    assert (loaded.logits == golden.logits).all()
    assert (loaded.scores == golden.scores).all()
