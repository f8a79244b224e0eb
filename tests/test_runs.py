import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from retq_hub import runs

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12))


def blobs(seed: int, height: int, width: int) -> np.ndarray:
    """A mask of round shapes, as queries mark them."""
    noise = np.random.default_rng(seed).normal(size=(height, width))
    return ndimage.gaussian_filter(noise, 2) > 0.05


@given(MASKS)
def test_runs_alternate_and_give_the_mask_back(mask: np.ndarray) -> None:
    found = runs.encode(mask)
    assert found.dtype == np.uint32
    assert found.sum() == mask.size
    assert (found[1:] > 0).all()
    assert (found[0] == 0) == mask[0, 0]
    assert np.array_equal(runs.decode(found, *mask.shape), mask)
    assert runs.area(found) == mask.sum()


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ([[0, 0], [0, 0]], [4]),
        ([[1, 1], [1, 1]], [0, 4]),
        ([[0, 1], [1, 0]], [1, 2, 1]),
        ([[1, 0], [0, 1]], [0, 1, 2, 1]),
    ],
)
def test_runs_go_on_from_row_to_row(mask: list[list[int]], expected: list[int]) -> None:
    assert runs.encode(np.array(mask, dtype=bool)).tolist() == expected


@given(MASKS)
def test_strips_are_the_marked_parts_of_rows(mask: np.ndarray) -> None:
    found = runs.strips(runs.encode(mask), mask.shape[1])
    drawn = np.zeros_like(mask)
    for row, start, end in zip(*found, strict=True):
        assert not drawn[row, max(start - 1, 0) : end + 1].any(), "strips of a row do not touch"
        drawn[row, start:end] = True
    assert np.array_equal(drawn, mask)
    places = found.rows * mask.shape[1] + found.starts
    assert (np.diff(places) > 0).all()


def plain_centroid(mask: np.ndarray) -> tuple[float, float] | None:
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    if not count:
        return None
    largest = int(np.bincount(labels.ravel())[1:].argmax()) + 1
    y, x = ndimage.center_of_mass(labels == largest)
    return float(x), float(y)


@settings(max_examples=150)
@given(MASKS)
def test_the_centroid_is_that_of_the_largest_component(mask: np.ndarray) -> None:
    assert runs.centroid(runs.encode(mask), mask.shape[1]) == plain_centroid(mask)


@pytest.mark.parametrize("seed", range(5))
def test_the_centroid_of_many_round_shapes(seed: int) -> None:
    mask = blobs(seed, 90, 120)
    assert runs.centroid(runs.encode(mask), 120) == plain_centroid(mask)


def test_a_spiral_is_one_component() -> None:
    """Its strips are joined through many others: labels have far to go."""
    mask = np.zeros((41, 41), dtype=bool)
    row, column, step = 20, 20, (0, 1)
    for length in range(2, 38, 2):
        for _ in range(2):
            for _ in range(length):
                mask[row, column] = True
                row, column = row + step[0], column + step[1]
            step = (step[1], -step[0])
    mask[0, :3] = True
    assert ndimage.label(mask)[1] == 2
    assert runs.centroid(runs.encode(mask), 41) == plain_centroid(mask)


@given(st.lists(st.integers(0, 30), max_size=12).map(sorted))
def test_toggles_at_one_place_undo_each_other(toggles: list[int]) -> None:
    total, state, flat = 20, False, []
    for place in range(total):
        state ^= toggles.count(place) % 2 == 1
        flat.append(state)
    found = runs.from_toggles(np.array(toggles, dtype=np.int64), total)
    assert np.array_equal(found, runs.encode(np.array(flat)[None]))
