"""Morton (z-) order of a square grid: the token order inside the engines and of stored embeddings.

Interleaving the bits of y and x makes every aligned power-of-two window a contiguous run of tokens, recursively.
SAM 2's windows, its 2x2 query pooling, the nearest upsampling in its neck and the 2x2 transposed convolutions of its
mask decoder all become reshapes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def raster_index(side: int) -> NDArray[np.int64]:
    """(side**2,) raster index (y * side + x) of the token at each Morton position; side is a power of two."""
    if side < 1 or side & (side - 1):
        raise ValueError(f"Morton order needs a power-of-two side, not {side}")
    position = np.arange(side * side, dtype=np.int64)
    x, y = np.zeros_like(position), np.zeros_like(position)
    for bit in range(side.bit_length() - 1):
        x |= (position >> (2 * bit) & 1) << bit
        y |= (position >> (2 * bit + 1) & 1) << bit
    return y * side + x


def morton_index(side: int) -> NDArray[np.int64]:
    """(side**2,) Morton position of the token at each raster index; the inverse of `raster_index`."""
    return inverse(raster_index(side))


def inverse(permutation: NDArray[np.int64]) -> NDArray[np.int64]:
    result = np.empty_like(permutation)
    result[permutation] = np.arange(len(permutation))
    return result
