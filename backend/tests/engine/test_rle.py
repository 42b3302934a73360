"""The C encoder against label_studio_sdk's, and thresholding against torch's upsampling."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from label_studio_sdk.converter.brush import decode_rle, mask2rle
from sam2_backend.label_studio.results import rle

sides = st.integers(1, 90)
kinds = st.sampled_from(["smooth", "noise", "zeros", "inside", "outside", "steps", "nan"])


def make_logits(kind: str, seed: int, h: int, w: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if kind == "smooth":
        coarse = torch.from_numpy(rng.standard_normal((1, 1, 5, 5)).astype(np.float32))
        return F.interpolate(coarse, size=(h, w), mode="bicubic")[0, 0].numpy()
    if kind == "steps":
        return rng.integers(-1, 2, (h, w)).astype(np.float32)
    if kind == "nan":
        return np.where(rng.random((h, w)) < 0.1, np.nan, rng.standard_normal((h, w))).astype(np.float32)
    constant = {"zeros": 0.0, "inside": 1.0, "outside": -1.0}
    return np.full((h, w), constant[kind], np.float32) if kind in constant else rng.standard_normal((h, w), np.float32)


def torch_mask(logits: np.ndarray, height: int, width: int) -> np.ndarray:
    upsampled = F.interpolate(torch.from_numpy(logits)[None, None], (height, width), mode="bilinear")
    return (upsampled[0, 0] > 0).numpy()


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40)))
def test_any_mask_encodes_as_the_sdk_does(mask: np.ndarray) -> None:
    assert list(rle.mask_to_rle(mask)) == mask2rle(mask)


@given(kinds, st.integers(0, 10_000), sides, sides, st.integers(1, 300), st.integers(1, 300))
@settings(max_examples=150, deadline=None)
def test_logits_encode_as_their_mask_does(kind: str, seed: int, h: int, w: int, height: int, width: int) -> None:
    logits = make_logits(kind, seed, h, w)
    mask = rle.logits_to_mask(logits, height, width)
    stream = rle.logits_to_rle(logits, height, width)
    assert list(stream) == mask2rle(mask)
    assert stream == rle.mask_to_rle(mask) == rle.mask_to_rle(mask > 0)


@given(kinds.filter(lambda kind: kind != "nan"), st.integers(0, 10_000), sides, sides, sides, sides)
@settings(max_examples=150, deadline=None)
def test_mask_is_that_of_torch(kind: str, seed: int, h: int, w: int, height: int, width: int) -> None:
    """Both round in float32, in another order: a pixel whose value is zero but for rounding may fall either way."""
    logits = make_logits(kind, seed, h, w)
    ours = rle.logits_to_mask(logits, height, width) > 0
    exact = F.interpolate(torch.from_numpy(logits)[None, None].double(), (height, width), mode="bilinear")[0, 0].numpy()
    differs = ours != torch_mask(logits, height, width)
    assert not (differs & (np.abs(exact) > 1e-5 * np.abs(logits).max())).any()


@pytest.mark.parametrize(("height", "width"), [(768, 1024), (3000, 4000)])
def test_large_masks_hardly_ever_differ_from_torch(height: int, width: int) -> None:
    pixels = wrong = 0
    for kind, seed in [("smooth", 1), ("smooth", 2), ("noise", 3)]:
        logits = make_logits(kind, seed, 256, 256)
        wrong += int(((rle.logits_to_mask(logits, height, width) > 0) != torch_mask(logits, height, width)).sum())
        pixels += height * width
    assert wrong <= pixels * 1e-6


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40)))
def test_any_mask_is_read_as_it_was(mask: np.ndarray) -> None:
    assert (rle.rle_to_mask(bytes(mask2rle(mask)), *mask.shape) == mask).all()


def test_values_that_are_not_repeated_and_other_widths_are_read() -> None:
    """Two pixels: a run of five values that differ, then three that are equal; lengths have 3, 1, 1 and 1 bits."""
    bits = f"{8:032b}{7:05b}" + "0010" + "0000" * 3
    bits += "000" + "100" + "".join(f"{value:08b}" for value in (1, 2, 3, 250, 9)) + "100" + "010" + f"{7:08b}"
    stream = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    assert rle.rle_to_mask(stream, 1, 2).tolist() == [[250, 7]]


@given(st.binary(max_size=60), st.integers(1, 20), st.integers(1, 20))
def test_bytes_that_are_no_mask_are_refused(stream: bytes, height: int, width: int) -> None:
    start = (4 * height * width).to_bytes(4, "big") + bytes([0b00111001, 0b00011011, 0b11111000])
    for given_bytes in (stream, start + stream):
        try:
            assert rle.rle_to_mask(given_bytes, height, width).shape == (height, width)
        except ValueError:
            continue


def test_sdk_decodes_what_we_encode() -> None:
    logits = make_logits("smooth", 5, 64, 64)
    mask = rle.logits_to_mask(logits, 120, 161)
    decoded = decode_rle(list(rle.logits_to_rle(logits, 120, 161))).reshape(120, 161, 4)
    assert 0 < (mask > 0).mean() < 1
    assert (decoded == mask[..., None]).all()


def test_runs_longer_than_the_format_allows_are_split() -> None:
    mask = np.zeros((300, 300), np.uint8)
    assert list(rle.mask_to_rle(mask)) == mask2rle(mask)


@given(st.binary(max_size=600))
def test_json_text_parses_back(stream: bytes) -> None:
    assert json.loads(rle.rle_to_json(stream)) == list(stream)


def test_non_contiguous_logits() -> None:
    logits = make_logits("noise", 1, 32, 64)
    assert rle.logits_to_rle(logits[:, ::2], 50, 50) == rle.logits_to_rle(logits[:, ::2].copy(), 50, 50)


@pytest.mark.parametrize(("height", "width"), [(0, 5), (5, -1), (2**20, 2**20)])
def test_impossible_sizes_are_refused(height: int, width: int) -> None:
    with pytest.raises(ValueError, match="holds 1 to"):
        rle.logits_to_rle(np.zeros((4, 4), np.float32), height, width)


@pytest.mark.parametrize(
    "mask", [np.zeros((2, 2, 2), np.uint8), np.zeros((2, 2), np.float32), np.zeros((0, 3), np.uint8)]
)
def test_things_that_are_no_mask_are_refused(mask: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"a mask is|holds 1 to"):
        rle.mask_to_rle(mask)
