"""Masks as Label Studio's brush RLE, from low-res logits or from a full mask.

The streams are byte for byte those of `label_studio_sdk.converter.brush.mask2rle` for the same mask.
"""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import NDArray

from sam2_backend.native import library

_MOST_PIXELS = 2**30 - 1  # the format counts four bytes a pixel in 32 bits
_MOST_RUNS = 2**20  # of a stream that is read: seconds of work


def logits_to_rle(logits: NDArray[np.float32], height: int, width: int) -> bytes:
    """Brush RLE of the mask that `logits_to_mask` returns, without making that mask.

    Raises ValueError if `logits` is not a matrix or the size is not 1 to 2**30 - 1 pixels.
    """
    source = _matrix(logits, height, width)
    length = ctypes.c_int64()
    return _taken(
        library.sam2_logits_to_rle(source.ctypes.data, *source.shape, height, width, ctypes.byref(length)), length
    )


def logits_to_mask(logits: NDArray[np.float32], height: int, width: int) -> NDArray[np.uint8]:
    """Mask (height, width) uint8, 255 where the upsampled logits are > 0 and 0 elsewhere.

    logits: (h, w) low-res mask logits, upsampled as `torch.nn.functional.interpolate(mode="bilinear",
    align_corners=False)` does. Raises ValueError as `logits_to_rle`.
    """
    source = _matrix(logits, height, width)
    mask = np.empty((height, width), np.uint8)
    if not library.sam2_logits_to_mask(source.ctypes.data, *source.shape, height, width, mask.ctypes.data):
        raise MemoryError
    return mask


def mask_to_rle(mask: NDArray[np.uint8] | NDArray[np.bool_]) -> bytes:
    """Brush RLE of a mask (height, width): uint8 values as they are (Label Studio draws 255), True as 255."""
    if mask.ndim != 2 or mask.dtype not in (np.uint8, np.bool_):
        raise ValueError(f"a mask is a uint8 or bool matrix, not {mask.dtype} of shape {mask.shape}")
    _check_size(*mask.shape)
    source = np.ascontiguousarray(mask if mask.dtype == np.uint8 else mask * np.uint8(255))
    length = ctypes.c_int64()
    return _taken(library.sam2_mask_to_rle(source.ctypes.data, source.size, ctypes.byref(length)), length)


def rle_to_json(rle: bytes) -> bytes:
    """The stream as the text of a JSON array of integers, as Label Studio wants it in `value.rle`."""
    text = np.empty(4 * len(rle) + 2, np.uint8)
    length = library.sam2_rle_to_json(rle, len(rle), text.ctypes.data)
    return text[:length].tobytes()


def rle_to_mask(rle: bytes, height: int, width: int) -> NDArray[np.uint8]:
    """The alpha channel (height, width) of brush RLE, whatever program made it.

    A run is one bit "repeated", two bits that choose the width of its length, the length - 1, and one value of 8 bits,
    or as many as the length if they are not repeated (`@thi.ng/rle-pack`). Raises ValueError if it is no such mask.
    """
    _check_size(height, width)
    at = 0

    def take(bits: int) -> int:
        nonlocal at
        first, at = at, at + bits
        window = int.from_bytes(rle[first // 8 : (at + 7) // 8], "big")
        return window >> (-at % 8) & ((1 << bits) - 1)

    values, word = take(32), take(5) + 1
    widths = [take(4) + 1 for _ in range(4)]
    if values != 4 * height * width or word != 8:
        raise ValueError(f"the brush RLE is not of {width} x {height} pixels with four bytes each")
    pixels = np.empty(values, np.uint8)
    done = runs = 0
    while done < values:
        repeated = take(1)
        length = take(widths[take(2)]) + 1
        end, runs = done + length, runs + 1
        count = 1 if repeated else length
        if end > values or at + 8 * count > 8 * len(rle) or runs > _MOST_RUNS:
            raise ValueError("the brush RLE is cut off, or not one")
        pixels[done:end] = np.frombuffer(take(8 * count).to_bytes(count, "big"), np.uint8)
        done = end
    return pixels.reshape(height, width, 4)[:, :, 3]


def _matrix(logits: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    if logits.ndim != 2 or logits.size == 0:
        raise ValueError(f"low-res logits are a matrix, not of shape {logits.shape}")
    _check_size(height, width)
    return np.ascontiguousarray(logits, np.float32)


def _check_size(height: int, width: int) -> None:
    if height < 1 or width < 1 or height * width > _MOST_PIXELS:
        raise ValueError(f"brush RLE holds 1 to {_MOST_PIXELS} pixels, not {height} x {width}")


def _taken(buffer: int | None, length: ctypes.c_int64) -> bytes:
    """The bytes of a C buffer, which is freed."""
    if not buffer:
        raise MemoryError
    try:
        return ctypes.string_at(buffer, length.value)
    finally:
        library.sam2_free(buffer)
