"""The runs of what is above a cut are exactly those of all pixels, computed one by one."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from retq_hub.crossings import Outline, bilinear, samples
from retq_hub.grids import upsample
from retq_hub.runs import decode, encode

SIDES = st.integers(1, 9)
SIZES = st.integers(1, 40)
VALUES = st.one_of(st.integers(-2, 2).map(float), st.floats(-4, 4, width=32, allow_subnormal=False))


def plain(grid: np.ndarray, cut: float, width: int, height: int) -> np.ndarray:
    """All pixels in float64."""
    down, across = samples(height, len(grid)), samples(width, grid.shape[1])
    values, share = grid.astype(np.float64) - cut, down.share[:, None]
    lower = np.minimum(down.left + 1, len(grid) - 1)
    rows = (1 - share) * values[down.left] + share * values[lower]
    right = np.minimum(across.left + 1, grid.shape[1] - 1)
    return (1 - across.share) * rows[:, across.left] + across.share * rows[:, right] > 0


def smooth(seed: int, side: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(side, side))
    return ndimage.gaussian_filter(noise, 2).astype(np.float32)


@settings(max_examples=150)
@given(st.data(), SIDES, SIZES, SIZES, VALUES)
def test_runs_are_those_of_all_pixels(
    data: st.DataObject, side: int, width: int, height: int, cut: float
) -> None:
    grid = data.draw(arrays(np.float32, (side, side), elements=VALUES))
    found = Outline(grid, cut).runs(width, height)
    assert np.array_equal(found, encode(plain(grid, cut, width, height)))


@pytest.mark.parametrize("size", [(640, 427), (56, 56), (31, 90), (1, 1)])
@pytest.mark.parametrize("seed", range(4))
def test_masks_are_those_of_float32_upsampling(seed: int, size: tuple[int, int]) -> None:
    """But for pixels so near the cut that float32 cannot tell their side."""
    grid = smooth(seed, 56)
    found = decode(Outline(grid, 0.05).runs(*size), size[1], size[0])
    logits = upsample(torch.from_numpy(grid), size[1], size[0]).numpy()
    differ = found != (logits > np.float32(0.05))
    assert found.any() or size == (1, 1)
    assert (np.abs(logits[differ] - 0.05) < 1e-6).all()


def test_one_outline_serves_all_sizes() -> None:
    outline = Outline(smooth(1, 28), 0.0)
    for size in ((300, 200), (28, 28), (300, 200)):
        again = Outline(smooth(1, 28), 0.0).runs(*size)
        assert np.array_equal(outline.runs(*size), again)


@pytest.mark.parametrize(("cut", "expected"), [(-2.0, [0, 60]), (2.0, [60])])
def test_what_is_all_on_one_side_is_one_run(cut: float, expected: list[int]) -> None:
    grid = np.random.default_rng(0).uniform(-1, 1, (5, 5)).astype(np.float32)
    assert Outline(grid, cut).runs(10, 6).tolist() == expected


def test_what_is_equal_to_the_cut_is_not_marked() -> None:
    assert Outline(np.full((4, 4), 0.3, np.float32), float(np.float32(0.3))).runs(
        7, 7
    ).tolist() == [49]


@pytest.mark.parametrize("odd", [np.nan, -np.inf, np.inf])
def test_what_is_no_number_marks_nothing_and_leaves_the_rest(odd: float) -> None:
    grid = smooth(3, 9)
    broken = grid.copy()
    broken[4, 4] = odd
    ours = decode(Outline(broken, 0.0).runs(90, 90), 90, 90)
    theirs = decode(Outline(grid, 0.0).runs(90, 90), 90, 90)
    assert bool(ours[45, 45]) is (odd == np.inf)
    assert (ours == theirs)[:35].all()
    assert (ours == theirs)[55:].all()


@given(SIDES, SIZES)
def test_samples_are_those_of_upsampling(grid: int, size: int) -> None:
    left, share, first = samples(size, grid)
    values = torch.arange(grid, dtype=torch.float32)[None].expand(grid, -1).contiguous()
    expected = upsample(values, size, size)[0].numpy()
    np.testing.assert_allclose(np.minimum(left + share, grid - 1), expected, atol=1e-5)
    assert [int((left < one).sum()) for one in range(grid + 1)] == first.tolist()


@pytest.mark.parametrize("size", [(50, 30), (8, 8), (5, 3)])
def test_bilinear_is_upsampling(size: tuple[int, int]) -> None:
    grid = smooth(2, 8)
    expected = upsample(torch.from_numpy(grid), size[1], size[0]).numpy()
    np.testing.assert_allclose(bilinear(grid, *size), expected, atol=1e-6)
    assert grid is not bilinear(grid, *size)
