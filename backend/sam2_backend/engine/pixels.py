"""An image as SAM 2 sees it: squashed to a square with antialiasing, ImageNet-normalised (SAM2Transforms)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sam2_backend.native import library

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
SPREAD = np.array([0.229, 0.224, 0.225], np.float32)

GAIN = 1 / (255 * SPREAD)
OFFSET = -MEAN / SPREAD


def model_input(image: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    """RGB image (H, W, 3) uint8 to (1, 3, size, size) float32. Raises ValueError if it is no such image."""
    check_image(image)
    if image.strides[1:] != (3, 1):
        image = np.ascontiguousarray(image)
    height, width, _ = image.shape
    result = np.empty((1, 3, size, size), np.float32)
    if not library.sam2_resize(
        image.ctypes.data,
        height,
        width,
        image.strides[0],
        size,
        GAIN.ctypes.data,
        OFFSET.ctypes.data,
        result.ctypes.data,
    ):
        raise MemoryError(f"no memory to resize an image of {width} x {height}")
    return result


def check_image(image: NDArray[np.uint8]) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"an image is uint8 RGB of shape (H, W, 3), not {image.dtype} of shape {image.shape}")
