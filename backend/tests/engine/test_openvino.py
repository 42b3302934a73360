"""The CPU engine as it is loaded: converted in its own process, cached, checked, and equal to the reference."""

from __future__ import annotations

import functools
import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from demo_training.drawings import draw, targets
from sam2.modeling.sam2_base import SAM2Base
from sam2_backend.engine import load_engine
from sam2_backend.engine.build import build_model
from sam2_backend.engine.converted import MANIFEST
from sam2_backend.engine.errors import (
    CheckpointError,
    DeviceUnavailable,
    EngineError,
    SelfCheckFailed,
    UnsupportedModel,
)
from sam2_backend.engine.fingerprints import file_sha256, fingerprint
from sam2_backend.engine.interface import Engine, HostEmbedding, Prompt
from sam2_backend.engine.openvino import OpenVinoEngine
from sam2_backend.engine.reference import ReferenceEngine
from sam2_backend.engine.select import cpu_multiplies_bf16
from sam2_backend.engine.selfcheck import cases, confident_iou
from sam2_backend.label_studio.results import rle
from sam2_backend.model.checkpoints import resolve_model

SIZES = ["small", *(pytest.param(size, marks=pytest.mark.models) for size in ("t", "s", "b+", "l"))]
needs_bf16 = pytest.mark.skipif(not cpu_multiplies_bf16(), reason="this CPU does not multiply bfloat16")
PRECISIONS = ["f32", pytest.param("bf16", marks=needs_bf16)]
CLICK = Prompt(np.array([[0.3, 0.4]], np.float32), np.array([1], np.int32))


def iou(ours: np.ndarray, theirs: np.ndarray) -> float:
    union = np.count_nonzero((ours > 0) | (theirs > 0))
    return np.count_nonzero((ours > 0) & (theirs > 0)) / union if union else 1.0


def cosine(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.vdot(ours, theirs) / np.sqrt(np.vdot(ours, ours) * np.vdot(theirs, theirs)))


@pytest.fixture(scope="module")
def load(
    config_of: dict[str, Path], make_checkpoint: Callable[[str], Path], cache: Path
) -> Callable[..., OpenVinoEngine]:
    @functools.cache
    def loaded(size: str = "small", precision: str = "bf16" if cpu_multiplies_bf16() else "f32") -> OpenVinoEngine:
        engine = load_engine(
            config_of[size], make_checkpoint(size), device="cpu", precision=precision, threads=2, cache_dir=cache
        )
        assert isinstance(engine, OpenVinoEngine)
        return engine

    return loaded


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("size", SIZES)
def test_masks_are_those_of_the_reference(
    size: str,
    precision: str,
    load: Callable[..., OpenVinoEngine],
    make_model: Callable[[str], SAM2Base],
    photo: np.ndarray,
) -> None:
    """Random weights give masks that are noise around zero: there a rounded embedding turns some of the pixels."""
    reference = ReferenceEngine(make_model(size))
    expected = reference.encode(photo)
    prior = reference.candidates(expected, CLICK).logits[1] * 30
    engine, least = load(size, precision), 0.97 if precision == "bf16" else 0.995
    prepared = engine.encode(photo)
    for _, prompt in cases(prior):
        answer, right = engine.candidates(prepared, prompt), reference.candidates(expected, prompt)
        for ours, theirs in zip(answer.logits, right.logits, strict=True):
            assert iou(ours, theirs) >= least
            assert confident_iou(ours, theirs) >= 0.995
            assert cosine(ours, theirs) >= 0.9995
        np.testing.assert_allclose(answer.scores, right.scores, atol=5e-3)


def test_demo_model_as_it_is_served(tmp_path: Path) -> None:
    """Trained weights, masks of things: the whole mask that a click returns counts, at the size of the drawing."""
    cache = tmp_path
    files = resolve_model("demo", "", cache)
    reference = ReferenceEngine(build_model(Path(files.config), files.checkpoint))
    engine = load_engine(files.config, files.checkpoint, device="cpu", threads=2, cache_dir=cache)
    rng = np.random.default_rng(5)
    for _ in range(6):
        drawing = draw(rng, 256)
        expected, prepared = reference.encode(drawing.image), engine.encode(drawing.image)
        for prompt in targets(rng, drawing.labels, 2):
            corners = [prompt.click] if prompt.box is None else np.reshape(prompt.box, (2, 2))
            labels = np.array([1] if prompt.box is None else [2, 3], np.int32)
            for multimask in (True, False):
                asked = Prompt(np.array(corners, np.float32) / 256, labels, None, multimask)
                answer, right = engine.decode(prepared, asked), reference.decode(expected, asked)
                best = int(right.scores.argmax())
                assert int(answer.scores.argmax()) == best
                ours, theirs = (rle.logits_to_mask(said.logits[best], 256, 256) > 0 for said in (answer, right))
                # Of a mask under 400 pixels, two that half precision in the embedding turned are more than 0.5 %.
                assert (ours != theirs).sum() <= max(2, 0.005 * (ours | theirs).sum())
                np.testing.assert_allclose(answer.scores, right.scores, atol=5e-3)


def test_one_mask_and_three(load: Callable[..., OpenVinoEngine], photo: np.ndarray) -> None:
    engine = load()
    prepared = engine.encode(photo)
    four = engine.candidates(prepared, CLICK)
    three = engine.decode(prepared, CLICK)
    one = engine.decode(prepared, Prompt(CLICK.points, CLICK.labels, multimask=False))
    assert (three.logits == four.logits[1:]).all()
    assert one.logits.shape == (1, 64, 64)
    assert any((one.logits[0] == candidate).all() for candidate in four.logits)


def test_stored_embedding_decodes_exactly_alike(load: Callable[..., OpenVinoEngine], photo: np.ndarray) -> None:
    engine: Engine = load()
    prepared = engine.encode(photo)
    stored = engine.export(prepared)
    copies = HostEmbedding(
        *(
            np.frombuffer(value.tobytes(), np.float16).reshape(value.shape)
            for value in (stored.high_res_0, stored.high_res_1, stored.image)
        )
    )
    restored = engine.restore(copies)
    assert restored.nbytes == prepared.nbytes
    assert (engine.decode(restored, CLICK).logits == engine.decode(prepared, CLICK).logits).all()


def test_decoding_while_another_thread_encodes(load: Callable[..., OpenVinoEngine], photo: np.ndarray) -> None:
    engine = load()
    assert engine.overlaps
    prepared = engine.encode(photo)
    refined = Prompt(CLICK.points, CLICK.labels, engine.decode(prepared, CLICK).logits[0])
    expected = engine.decode(prepared, refined).logits
    with ThreadPoolExecutor(1) as other:
        encoding = other.submit(lambda: [engine.encode(photo) for _ in range(5)])
        for _ in range(5):
            assert (engine.decode(prepared, refined).logits == expected).all()
        for state in encoding.result():
            assert (state.maps.image == prepared.maps.image).all()
            assert (state.keys == prepared.keys).all()


def test_images_do_not_mix(load: Callable[..., OpenVinoEngine], photo: np.ndarray) -> None:
    engine = load()
    first, second = engine.encode(photo), engine.encode(255 - photo)
    answer = engine.decode(first, CLICK)
    kept = answer.logits.copy()
    assert not (engine.decode(second, CLICK).logits == kept).all()
    engine.encode(photo[:, ::-1])
    assert (answer.logits == kept).all()
    assert (engine.decode(first, CLICK).logits == kept).all()


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (Prompt(np.zeros((0, 2), np.float32), np.zeros(0, np.int32)), "a prompt has points"),
        (Prompt(np.zeros((1, 2), np.float32), np.zeros(2, np.int32)), "a prompt has points"),
        (Prompt(np.zeros((1, 2), np.float32), np.array([4], np.int32)), "labels are 0, 1, 2 or 3"),
        (Prompt(np.full((1, 2), np.nan, np.float32), np.array([1], np.int32)), "finite"),
        (Prompt(CLICK.points, CLICK.labels, np.zeros((32, 32), np.float32)), "refines logits of 64 x 64"),
    ],
)
def test_malformed_prompts(
    prompt: Prompt, message: str, load: Callable[..., OpenVinoEngine], photo: np.ndarray
) -> None:
    engine = load()
    prepared = engine.encode(photo)
    with pytest.raises(ValueError, match=message):
        engine.decode(prepared, prompt)


def test_precision_that_the_cpu_does_not_have(
    config_of: dict[str, Path], make_checkpoint: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sam2_backend.engine.select.cpu_multiplies_bf16", lambda: False)
    with pytest.raises(DeviceUnavailable, match="PRECISION=bf16, but this CPU does not multiply bfloat16"):
        load_engine(config_of["small"], make_checkpoint("small"), device="cpu", precision="bf16", cache_dir=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("refused", "served", "why"),
    [
        (0, "bf16", ""),
        (1, "bf16", "OpenVINO in bf16, its decoder in bf16, is refused: it differs"),
        (2, "f32", "OpenVINO in bf16, its decoder in f32, is refused: it differs"),
    ],
)
def test_why_a_faster_precision_is_not_served(
    refused: int,
    served: str,
    why: str,
    config_of: dict[str, Path],
    make_checkpoint: Callable[[str], Path],
    load: Callable[..., OpenVinoEngine],
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load()
    tried: list[str] = []

    def check(engine: OpenVinoEngine, _: object) -> None:
        tried.append(engine.info.precision)
        if engine.info.precision == "bf16" and len(tried) <= refused:
            raise SelfCheckFailed("it differs")

    monkeypatch.setattr("sam2_backend.engine.select.cpu_multiplies_bf16", lambda: True)
    monkeypatch.setattr("sam2_backend.engine.select.OFFICIAL_SIZE", 0)
    monkeypatch.setattr("sam2_backend.engine.select.check", check)
    engine = load_engine(config_of["small"], make_checkpoint("small"), device="cpu", cache_dir=cache)
    assert isinstance(engine, OpenVinoEngine)
    assert (engine.info.precision, engine.refused) == (served, why)
    asked = load_engine(config_of["small"], make_checkpoint("small"), device="cpu", precision="f32", cache_dir=cache)
    assert isinstance(asked, OpenVinoEngine)
    assert asked.refused == ""


def test_embedding_of_another_model(load: Callable[..., OpenVinoEngine]) -> None:
    wrong = np.zeros((16, 256), np.float16)
    with pytest.raises(ValueError, match="a stored map is float16"):
        load().restore(HostEmbedding(wrong, wrong, wrong))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_info(
    precision: str,
    load: Callable[..., OpenVinoEngine],
    config_of: dict[str, Path],
    make_checkpoint: Callable[[str], Path],
) -> None:
    info = load("small", precision).info
    assert (info.name, info.device, info.precision, info.model, info.image_size) == (
        "openvino",
        "cpu",
        precision,
        "random_small",
        256,
    )
    weights = file_sha256(make_checkpoint("small"))
    of_each = {name: fingerprint(weights, config_of["small"], name) for name in ("f32", "bf16")}
    assert info.fingerprint == of_each[precision]
    assert of_each["bf16"] != of_each["f32"]


def test_server_process_never_imports_torch(
    config_of: dict[str, Path], load: Callable[..., OpenVinoEngine], cache: Path, make_checkpoint: Callable[[str], Path]
) -> None:
    load()
    program = (
        "import sys; from pathlib import Path; from sam2_backend.engine import load_engine;"
        "load_engine(sys.argv[1], Path(sys.argv[2]), device='cpu', cache_dir=Path(sys.argv[3]));"
        "sys.exit('torch' in sys.modules or sys.modules['openvino_telemetry'] is not None)"
    )
    arguments = [str(config_of["small"]), str(make_checkpoint("small")), str(cache)]
    subprocess.run([sys.executable, "-c", program, *arguments], check=True, timeout=300)


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "manifest"])
def test_damaged_cache_is_made_again(
    damage: str,
    config_of: dict[str, Path],
    make_checkpoint: Callable[[str], Path],
    load: Callable[..., OpenVinoEngine],
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    load()
    digests = {path: path.read_bytes() for path in cache.glob("openvino/*/*.bin")}
    shutil.copytree(cache, tmp_path / "cache")
    # Other tests keep larger models there.
    weights = min((tmp_path / "cache").glob("openvino/*/encoder.bin"), key=lambda path: path.stat().st_size)
    folder = weights.parent
    content = bytearray(weights.read_bytes())
    if damage == "truncate":
        weights.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        content[len(content) // 2] ^= 0x40
        weights.write_bytes(content)
    elif damage == "remove":
        weights.unlink()
    else:
        (folder / MANIFEST).write_text("{")
    converted = []

    def copy_instead(config: Path, checkpoint: Path, made: Path, int8: bool) -> None:
        converted.append(checkpoint)
        for path in (cache / "openvino" / folder.name).iterdir():
            if path.name != MANIFEST:
                shutil.copy(path, made)

    monkeypatch.setattr(
        "sam2_backend.engine.converted._run_conversion", copy_instead
    )  # the real one takes half a minute
    with caplog.at_level(logging.WARNING):
        load_engine(config_of["small"], make_checkpoint("small"), device="cpu", cache_dir=tmp_path / "cache")
    assert converted == [make_checkpoint("small")]
    assert "damaged; converting again" in caplog.text
    assert weights.read_bytes() in digests.values()
    assert json.loads((folder / MANIFEST).read_text()).keys() >= {"encoder.bin", "golden.npz", "prompts.npz"}


def test_unusable_checkpoint_is_named_by_the_conversion(config_of: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "cut.pt").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(CheckpointError, match=r"cut.pt \(.* bytes\) is truncated"):
        load_engine(config_of["small"], tmp_path / "cut.pt", device="cpu", cache_dir=tmp_path / "cache")
    assert not list((tmp_path / "cache").glob(f"openvino/*/{MANIFEST}"))


def test_conversion_that_dies(
    config_of: dict[str, Path], make_checkpoint: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "killed"))
    (tmp_path / "killed").write_text("#!/bin/sh\nkill -9 $$\n")
    (tmp_path / "killed").chmod(0o755)
    with pytest.raises(EngineError, match="killed by signal 9, most likely for memory"):
        load_engine(config_of["small"], make_checkpoint("small"), device="cpu", cache_dir=tmp_path / "cache")


def test_cache_that_cannot_be_written(
    config_of: dict[str, Path], make_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EngineError, match="cannot keep the converted model"):
        load_engine(config_of["small"], make_checkpoint("small"), device="cpu", cache_dir=tmp_path / "file")


def test_missing_checkpoint(config_of: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        load_engine(config_of["small"], tmp_path / "absent.pt", cache_dir=tmp_path)


def test_unknown_config(make_checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"MODEL_CONFIG=sam3\.yaml"):
        load_engine("sam3.yaml", make_checkpoint("small"), cache_dir=tmp_path)


@pytest.mark.parametrize(
    ("device", "precision", "message"),
    [
        ("cuda", "auto", r"DEVICE=cuda, but PyTorch .* \(built .*\) finds no GPU"),
        ("cuda:3", "auto", "DEVICE=cuda:3, but PyTorch"),
        ("tpu", "auto", "DEVICE=tpu is not known"),
        ("cpu", "f16", "PRECISION=f16 is not served on a CPU"),
    ],
)
def test_devices_that_are_not_there(
    device: str,
    precision: str,
    message: str,
    config_of: dict[str, Path],
    make_checkpoint: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    import torch

    if device.startswith("cuda") and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(DeviceUnavailable, match=message):
        load_engine(
            config_of["small"], make_checkpoint("small"), device=device, precision=precision, cache_dir=tmp_path
        )
