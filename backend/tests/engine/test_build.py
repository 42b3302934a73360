"""The model is the one that sam2 itself builds, and every unusable file is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sam2.build_sam import build_sam2
from sam2.modeling.sam2_base import SAM2Base
from sam2_backend.engine.build import build_model, guess_config
from sam2_backend.engine.errors import CheckpointError, UnsupportedModel
from sam2_backend.engine.select import config_path

OFFICIAL = [
    pytest.param(
        f"configs/{generation}/{generation}_hiera_{size}.yaml", marks=[pytest.mark.slow] * (size in ("b+", "l"))
    )
    for generation in ("sam2", "sam2.1")
    for size in ("t", "s", "b+", "l")
]


def test_same_model_as_build_sam2(make_checkpoint: Callable[[str], Path], config_of: dict[str, Path]) -> None:
    checkpoint = make_checkpoint("t")
    theirs = build_sam2("configs/sam2.1/sam2.1_hiera_t.yaml", str(checkpoint), device="cpu")
    ours = build_model(config_of["t"], checkpoint)
    weights = theirs.state_dict()
    assert ours.state_dict().keys() == weights.keys()
    assert all(torch.equal(value, weights[key]) for key, value in ours.state_dict().items())
    for name in ("via_stability", "stability_delta", "stability_thresh"):
        attribute = f"dynamic_multimask_{name}"
        assert getattr(ours.sam_mask_decoder, attribute) == getattr(theirs.sam_mask_decoder, attribute)
    assert not ours.training


@pytest.mark.parametrize("name", OFFICIAL)
def test_config_of_official_weights_is_recognised(name: str) -> None:
    assert guess_config(build_model(config_path(name), None).state_dict()) == name


def test_missing_checkpoint(tmp_path: Path, config_of: dict[str, Path]) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint at .*absent.pt.*sam2_backend.model fetch"):
        build_model(config_of["small"], tmp_path / "absent.pt")


def test_truncated_checkpoint(
    tmp_path: Path, config_of: dict[str, Path], make_checkpoint: Callable[[str], Path]
) -> None:
    whole = make_checkpoint("small").read_bytes()
    for length in (0, 1000, len(whole) // 2, len(whole) - 100):
        (tmp_path / "cut.pt").write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="truncated or not a PyTorch checkpoint"):
            build_model(config_of["small"], tmp_path / "cut.pt")


@pytest.mark.parametrize(
    "content", [b"<!DOCTYPE html><html>Sign in</html>", b"version https://git-lfs.github.com/spec/v1"]
)
def test_a_page_instead_of_a_checkpoint(content: bytes, tmp_path: Path, config_of: dict[str, Path]) -> None:
    (tmp_path / "page.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match="not a PyTorch checkpoint"):
        build_model(config_of["small"], tmp_path / "page.pt")


def test_another_pytorch_file(tmp_path: Path, config_of: dict[str, Path]) -> None:
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="no 'model' entry"):
        build_model(config_of["small"], tmp_path / "other.pt")


class Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("/tmp/executed"),))  # type: ignore[return-value]


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, config_of: dict[str, Path]) -> None:
    torch.save({"model": Malicious()}, tmp_path / "bad.pt")
    with pytest.raises(CheckpointError):
        build_model(config_of["small"], tmp_path / "bad.pt")
    assert not Path("/tmp/executed").exists()


def test_checkpoint_of_another_size_names_its_config(
    config_of: dict[str, Path], make_checkpoint: Callable[[str], Path]
) -> None:
    with pytest.raises(CheckpointError) as caught:
        build_model(config_of["s"], make_checkpoint("t"))
    assert "72 keys missing" in str(caught.value) or "keys missing" in str(caught.value)
    assert "fit configs/sam2.1/sam2.1_hiera_t.yaml: set MODEL_CONFIG" in str(caught.value)


def test_checkpoint_of_no_official_model(config_of: dict[str, Path], make_checkpoint: Callable[[str], Path]) -> None:
    with pytest.raises(CheckpointError, match=r"of another shape .*fits none of the official"):
        build_model(config_of["t"], make_checkpoint("small"))


@pytest.mark.parametrize("text", ["", "model: {_target_: builtins.dict}", "model: [", "other: 1"])
def test_a_config_that_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text(text)
    with pytest.raises(UnsupportedModel):
        build_model(tmp_path / "odd.yaml", None)


def test_unknown_config_name() -> None:
    with pytest.raises(UnsupportedModel, match="neither a file nor a config of the sam2 package"):
        config_path("sam3.yaml")


def test_small_model_is_a_sam2(make_model: Callable[[str], SAM2Base]) -> None:
    assert make_model("small").image_size == 256
