from __future__ import annotations

import numpy as np
import pytest
from sam2_backend.engine.morton import morton_index, raster_index


@pytest.mark.parametrize("side", [1, 2, 16, 256])
def test_the_two_orders_are_inverse(side: int) -> None:
    assert (raster_index(side)[morton_index(side)] == np.arange(side * side)).all()


@pytest.mark.parametrize("window", [2, 4, 8])
def test_every_aligned_window_is_one_run_of_tokens(window: int) -> None:
    y, x = np.divmod(raster_index(16), 16)
    corners = np.stack([y // window, x // window]).reshape(2, -1, window * window)
    assert (corners == corners[:, :, :1]).all()


def test_children_of_a_token_follow_each_other_row_by_row() -> None:
    y, x = np.divmod(raster_index(2), 2)
    assert list(zip(y, x, strict=True)) == [(0, 0), (0, 1), (1, 0), (1, 1)]


@pytest.mark.parametrize("side", [0, 3, 48])
def test_other_sides_are_refused(side: int) -> None:
    with pytest.raises(ValueError, match="power-of-two"):
        raster_index(side)
