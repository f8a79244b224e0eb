"""Distances of outlines against a loop over all pairs of points."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from retq_hub.boundary import TOLERANCE_PX, hd95_nsd

SIDE = 14
MASKS = st.binary(min_size=SIDE * SIDE, max_size=SIDE * SIDE).map(
    lambda raw: np.frombuffer(raw, np.uint8).reshape(SIDE, SIDE) > 200
)


def outline(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Marked pixels with an unmarked one, or nothing, beside them."""
    padded = np.pad(mask, 1)
    return [
        (row, column)
        for row, column in np.argwhere(mask)
        if not all(
            padded[row + 1 + down, column + 1 + right]
            for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1))
        )
    ]


def naive(prediction: NDArray[np.bool_], mask: NDArray[np.bool_]) -> tuple[float, float]:
    ours, theirs = outline(prediction), outline(mask)
    there = [min(np.hypot(a - c, b - d) for c, d in theirs) for a, b in ours]
    back = [min(np.hypot(a - c, b - d) for c, d in ours) for a, b in theirs]
    tolerance = TOLERANCE_PX * SIDE / 392
    near = sum(one <= tolerance for one in there + back)
    return max(np.percentile(there, 95), np.percentile(back, 95)), near / len(there + back)


@settings(deadline=None, max_examples=40)
@given(MASKS, MASKS)
def test_it_is_what_a_loop_over_all_pairs_gives(ours: NDArray[np.bool_], mask: NDArray[np.bool_]):
    if ours.any() and mask.any():
        assert hd95_nsd(ours, mask) == pytest.approx(naive(ours, mask))


def square(shift: int) -> NDArray[np.bool_]:
    mask = np.zeros((392, 392), dtype=np.bool_)
    mask[100:160, 100 + shift : 160 + shift] = True
    return mask


def test_equal_masks_are_at_distance_zero_and_a_shift_is_the_distance():
    assert hd95_nsd(square(0), square(0)) == (0, 1)
    assert hd95_nsd(square(2), square(0)) == (2, 1)
    hd95, nsd = hd95_nsd(square(9), square(0))
    assert hd95 == 9
    assert 0.4 < nsd < 0.7


def test_empty_masks_follow_the_rules():
    empty = np.zeros((392, 392), dtype=np.bool_)
    assert np.isnan(hd95_nsd(empty, empty)).all()
    for pair in ((empty, square(0)), (square(0), empty)):
        hd95, nsd = hd95_nsd(*pair)
        assert np.isnan(hd95)
        assert nsd == 0
