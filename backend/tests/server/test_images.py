"""Image files as hospitals and phones make them, against Pillow's own reading."""

from __future__ import annotations

import io
import tracemalloc
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from sam2_backend.images.decode import read_image
from sam2_backend.problems import Problem

LIMIT = 64_000_000


def gradient(width: int = 60, height: int = 40) -> np.ndarray[Any, np.dtype[np.uint8]]:
    ys, xs = np.mgrid[0:height, 0:width]
    return np.stack([xs * 4, ys * 6, (xs + ys) * 2], -1).astype(np.uint8)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("JPEG", {"quality": 95}),
        ("JPEG", {"quality": 90, "progressive": True, "subsampling": 2}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_deflate"}),
        ("BMP", {}),
        ("GIF", {}),
        ("PPM", {}),
    ],
)
def test_formats(kind: str, options: dict[str, Any]) -> None:
    data = saved(Image.fromarray(gradient()), kind, **options)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.array_equal(read_image(data, LIMIT).pixels, expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation_as_the_editor_shows_it(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(gradient()), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    assert np.array_equal(read_image(data, LIMIT).pixels, expected)


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr", "LAB"])
def test_colour_modes(mode: str) -> None:
    source = Image.fromarray(gradient()).convert(mode)
    kind = "PNG" if mode in ("L", "1", "P") else "TIFF"
    decoded = read_image(saved(source, kind), LIMIT).pixels
    assert decoded.shape == (40, 60, 3)
    assert np.abs(decoded.astype(int) - np.asarray(source.convert("RGB"), int)).mean() < 3


def test_cmyk_jpeg() -> None:
    source = Image.fromarray(gradient()).convert("CMYK")
    decoded = read_image(saved(source, "JPEG", quality=95), LIMIT).pixels
    assert np.abs(decoded.astype(int) - gradient().astype(int)).mean() < 6


def test_grey_jpeg_is_three_equal_channels() -> None:
    decoded = read_image(saved(Image.fromarray(gradient()).convert("L"), "JPEG"), LIMIT).pixels
    assert (decoded[..., 0] == decoded[..., 1]).all()
    assert (decoded[..., 0] == decoded[..., 2]).all()


def test_16_bit_is_stretched_over_its_own_range() -> None:
    values = np.linspace(1000, 3000, 2400).reshape(40, 60).astype(np.uint16)
    for data in (saved(Image.fromarray(values), "PNG"), saved(Image.fromarray(values), "TIFF")):
        pixels = read_image(data, LIMIT).pixels
        assert (pixels.min(), pixels.max()) == (0, 255)
        assert (np.diff(pixels[..., 0].ravel().astype(int)) >= 0).all()


def test_float_tiff_with_nan() -> None:
    values = np.linspace(-1, 1, 2400, dtype=np.float32).reshape(40, 60)
    values[0, 0] = np.nan
    assert read_image(saved(Image.fromarray(values), "TIFF"), LIMIT).pixels.max() == 255


def test_transparency_lies_on_white() -> None:
    layered = np.dstack([gradient(), np.zeros((40, 60), np.uint8)])
    assert (read_image(saved(Image.fromarray(layered), "PNG"), LIMIT).pixels == 255).all()
    palette = Image.fromarray(gradient()).convert("P")
    data = saved(palette, "PNG", transparency=palette.getpixel((0, 0)))
    assert tuple(read_image(data, LIMIT).pixels[0, 0]) == (255, 255, 255)


def test_the_largest_image_in_bounded_memory() -> None:
    """8000 x 6000: 144 MB of pixels, and no second copy of them."""
    data = saved(Image.new("RGB", (8000, 6000), (9, 90, 200)), "JPEG", quality=60)
    tracemalloc.start()
    decoded = read_image(data, LIMIT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (decoded.width, decoded.height) == (8000, 6000)
    assert peak < 160e6


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0" + b"\0" * 50,
        saved(Image.fromarray(gradient()), "PNG")[:-40],
        saved(Image.fromarray(gradient(900, 700)), "JPEG")[:4000],
        saved(Image.fromarray(gradient()), "TIFF")[:200],
        b"%PDF-1.7 not an image",
    ],
)
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(Problem) as caught:
        read_image(data, LIMIT)
    assert caught.value.status == 422
    assert "0x" not in caught.value.message
    assert any(word in caught.value.message.lower() for word in ("identify", "truncated", "broken", "not enough"))


def test_a_bomb_is_refused_by_its_header() -> None:
    bomb = saved(Image.new("1", (30_000, 30_000)), "PNG")
    tracemalloc.start()
    with pytest.raises(Problem, match="MAX_IMAGE_PIXELS"):
        read_image(bomb, LIMIT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5e6
