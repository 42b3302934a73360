"""Which points are asked for every object of an image, and which of the masks that come back are proposed."""

from __future__ import annotations

import numpy as np
import pytest
from sam2_backend.engine.interface import Decoded
from sam2_backend.serving.proposals import Proposal, distinct, grid, stability, worth_showing

Mask = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
SIDE = 256


def square(left: int, top: int, right: int, bottom: int) -> Mask:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[top:bottom, left:right] = True
    return mask


def proposal(mask: Mask, quality: float) -> Proposal:
    return Proposal(np.where(mask, 5, -5).astype(np.float16), quality, quality)


def decoded(mask: Mask, score: float = 0.9, height: float = 5) -> Decoded:
    return Decoded(np.where(mask, height, -height).astype(np.float32)[None], np.array([score], np.float32))


def test_the_points_are_the_centres_of_equal_cells_each_once() -> None:
    cells = {(x, y) for x in (0.125, 0.375, 0.625, 0.875) for y in (0.125, 0.375, 0.625, 0.875)}
    points = grid(4)
    assert points.dtype == np.float32
    assert points.shape == (16, 2)
    assert {(float(x), float(y)) for x, y in points} == cells


@pytest.mark.parametrize("count", [4, 16, 64])
def test_a_search_that_is_ended_has_looked_everywhere(count: int) -> None:
    """The first points lie on a grid of their own: one in each cell."""
    side = int(count**0.5)
    cells = {(int(x * side), int(y * side)) for x, y in grid(16)[:count]}
    assert len(cells) == count


@pytest.mark.parametrize("per_side", [0, 3, 12])
def test_a_grid_has_a_power_of_two_on_each_side(per_side: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        grid(per_side)


def test_stability_is_the_share_that_stays_when_the_threshold_moves() -> None:
    logits = np.full((3, 4, 4), -5, np.float32)
    logits[0, 0] = 5  # 4 pixels, sure
    logits[1, 0], logits[1, 1] = 5, 0.5  # 4 above one, 8 above minus one
    assert stability(logits).tolist() == [1.0, 0.5, 0.0]


def test_only_masks_that_the_model_is_sure_of_count() -> None:
    mask = square(50, 50, 100, 100)
    assert [each.score for each in worth_showing(decoded(mask, score=0.81))] == [pytest.approx(0.81)]
    assert worth_showing(decoded(mask, score=0.79)) == []


def test_a_mask_that_changes_with_the_threshold_does_not_count() -> None:
    """In as many pixels as an outline of a fiftieth of the area or of a tenth has."""
    for pixels, found in ((2, 1), (10, 0)):
        shaky = decoded(square(50, 50, 150, 150))
        shaky.logits[0, 50 : 50 + pixels, 50:150] = 0.5
        assert len(worth_showing(shaky)) == found


def test_a_small_models_outline_is_a_larger_share_of_its_masks() -> None:
    """Four times as large, since its logits are 64 pixels wide."""
    shaky = Decoded(np.full((1, 64, 64), -5, np.float32), np.array([0.9], np.float32))
    shaky.logits[0, 10:30, 10:30] = 5
    shaky.logits[0, 10:12, 10:30] = 0.5
    assert len(worth_showing(shaky)) == 1
    shaky.logits[0, 12:16, 10:30] = 0.5
    assert worth_showing(shaky) == []


def test_specks_and_the_background_are_left_out() -> None:
    assert worth_showing(decoded(square(10, 10, 15, 15))) == []  # 25 pixels of 65,536
    assert len(worth_showing(decoded(square(10, 10, 16, 16)))) == 1
    assert worth_showing(decoded(~square(100, 100, 200, 200))) == []
    assert len(worth_showing(decoded(square(5, 5, 251, 251)))) == 1  # most of the image, but nothing of its edge
    assert len(worth_showing(decoded(square(0, 0, 256, 100)))) == 1  # sky


def test_the_best_mask_of_each_object_stays_and_the_best_comes_first() -> None:
    one, same, other = square(10, 10, 110, 110), square(10, 10, 110, 90), square(150, 150, 200, 200)
    chosen = distinct([proposal(same, 0.8), proposal(other, 0.7), proposal(one, 0.9)])
    assert [each.quality for each in chosen] == [0.9, 0.7]


def test_two_fifths_of_an_object_are_the_same_object_and_less_is_another() -> None:
    whole = proposal(square(0, 0, 100, 100), 0.9)
    assert len(distinct([whole, proposal(square(0, 0, 100, 40), 0.8)])) == 1
    assert len(distinct([whole, proposal(square(0, 0, 100, 39), 0.8)])) == 2
    assert len(distinct([whole, proposal(square(60, 60, 160, 160), 0.8)])) == 2


def test_an_object_that_the_annotation_has_is_not_proposed_again() -> None:
    one, other = proposal(square(10, 10, 110, 110), 0.9), proposal(square(150, 150, 200, 200), 0.8)
    assert [each.quality for each in distinct([one, other], [square(10, 20, 110, 110)])] == [0.8]


def test_masks_of_any_width_are_compared() -> None:
    odd = [Proposal(np.full((5, 7), 5, np.float16), 0.9, quality) for quality in (0.9, 0.8)]
    assert [each.quality for each in distinct(odd)] == [0.9]
