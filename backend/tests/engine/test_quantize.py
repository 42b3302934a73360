"""int8 on the CPU: near enough to float32, its own folder and fingerprint, refused where it is not near enough."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from demo_training.drawings import draw, targets
from sam2_backend.engine import load_engine, quantize
from sam2_backend.engine.errors import SelfCheckFailed
from sam2_backend.engine.interface import Engine, Prompt
from sam2_backend.label_studio.results import rle
from sam2_backend.model.checkpoints import resolve_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def engines(folder: Path) -> tuple[Engine, Engine]:
    """The demo model in int8 and in float32, from one cache."""
    files = resolve_model("demo", "", folder)
    in_int8, in_f32 = (
        load_engine(files.config, files.checkpoint, device="cpu", precision=precision, threads=2, cache_dir=folder)
        for precision in ("int8", "f32")
    )
    return in_int8, in_f32


def test_masks_are_nearly_those_of_float32(engines: tuple[Engine, Engine]) -> None:
    in_int8, in_f32 = engines
    rng, found = np.random.default_rng(5), []
    for _ in range(10):
        drawing = draw(rng, 256)
        rounded, exact = in_int8.encode(drawing.image), in_f32.encode(drawing.image)
        assert not np.array_equal(in_int8.export(rounded).image, in_f32.export(exact).image)
        for prompt in targets(rng, drawing.labels, 3):
            corners = [prompt.click] if prompt.box is None else np.reshape(prompt.box, (2, 2))
            labels = np.array([1] if prompt.box is None else [2, 3], np.int32)
            asked = Prompt(np.array(corners, np.float32) / 256, labels)
            answer, right = in_int8.decode(rounded, asked), in_f32.decode(exact, asked)
            best = int(right.scores.argmax())
            ours, theirs = (rle.logits_to_mask(said.logits[best], 256, 256) > 0 for said in (answer, right))
            found.append((ours & theirs).sum() / (ours | theirs).sum())
    assert np.mean(found) >= 0.995
    assert min(found) >= 0.95


def test_embeddings_do_not_mix(engines: tuple[Engine, Engine]) -> None:
    in_int8, in_f32 = engines
    assert (in_int8.info.precision, in_f32.info.precision) == ("int8", "f32")
    assert in_int8.info.fingerprint != in_f32.info.fingerprint


def test_refused_where_it_is_too_coarse(
    engines: tuple[Engine, Engine], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantize, "STEPS", 7)
    plain = [path for path in folder.glob("openvino/*/encoder.xml") if "FakeQuantize" not in path.read_text()]
    assert len(plain) == 1
    with pytest.raises(SelfCheckFailed, match=r"int8 changes this model's embeddings by \d+\.\d%, expected 5% at most"):
        quantize.quantize(ov.Core().read_model(plain[0]))


def test_a_cpu_without_vnni_is_told(
    engines: tuple[Engine, Engine], folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sam2_backend.engine.select._cpu_has", lambda *_: False)
    files = resolve_model("demo", "", folder)
    with caplog.at_level(logging.WARNING):
        load_engine(files.config, files.checkpoint, device="cpu", precision="int8", threads=2, cache_dir=folder)
    assert "this CPU has no VNNI" in caplog.text
