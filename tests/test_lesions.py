"""Lesions found and missed, against a loop over candidates and thresholds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, label

from retq_hub.lesions import RATES, ImageLesions, detect, froc

SIDE = 40


def scene(seed: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Smooth noise, and lesions that it half agrees with."""
    rng = np.random.default_rng(seed)
    truth = gaussian_filter(rng.normal(size=(SIDE, SIDE)), 2)
    logits = truth + gaussian_filter(rng.normal(size=(SIDE, SIDE)), 2)
    return (20 * logits).astype(np.float32), truth > 0.22


def naive(
    logits: NDArray[np.float32], mask: NDArray[np.bool_]
) -> tuple[dict[int, float], list[float]]:
    """Scores of found lesions, and of candidates that find none; radius one pixel at this size."""
    lesions, _ = label(mask, np.ones((3, 3)))
    found: dict[int, float] = {}
    false = []
    for row, column in np.ndindex(logits.shape):
        near = (slice(max(0, row - 1), row + 2), slice(max(0, column - 1), column + 2))
        if logits[row, column] < logits[near].max():
            continue
        places = [(np.hypot(row - y, column - x), lesions[y, x]) for y, x in np.argwhere(lesions)]
        distance, number = min(places, default=(np.inf, 0))
        if distance <= 1:
            found[number] = max(found.get(number, -np.inf), logits[row, column])
        else:
            false.append(float(logits[row, column]))
    return found, false


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000))
def test_candidates_are_those_of_a_loop(seed: int):
    logits, mask = scene(seed)
    made = detect(logits, mask, 0.5)
    found, false = naive(logits, mask)
    _, n_lesions = label(mask, np.ones((3, 3)))
    assert made.found.tolist() == [found.get(n + 1, -np.inf) for n in range(n_lesions)]
    assert sorted(made.false.tolist()) == sorted(false)


def test_what_the_threshold_marks_is_counted_by_component():
    mask = np.zeros((SIDE, SIDE), dtype=np.bool_)
    mask[5:8, 5:8] = mask[20:23, 20:23] = mask[30, 30] = True
    logits = np.full((SIDE, SIDE), -4, dtype=np.float32)
    logits[7:9, 7:9] = logits[20:23, 20:24] = logits[35, 5] = logits[36, 6] = 1
    made = detect(logits, mask, 0.5)
    assert (made.n_touched, made.n_false_regions) == (2, 1)


def test_a_blob_over_everything_finds_one_lesion_at_most():
    mask = np.zeros((SIDE, SIDE), dtype=np.bool_)
    mask[::8, ::8] = True
    y, x = np.mgrid[:SIDE, :SIDE]
    made = detect((9 - 0.01 * np.hypot(y - 16, x - 16)).astype(np.float32), mask, 0.5)
    assert np.isfinite(made.found).sum() == 1
    assert made.n_touched == mask.sum()


def test_a_flat_map_has_one_candidate():
    made = detect(np.zeros((SIDE, SIDE), np.float32), np.zeros((SIDE, SIDE), np.bool_), 0.5)
    assert (made.found.size, made.false.tolist()) == (0, [0.0])


def image(found: list[float], false: list[float]) -> ImageLesions:
    return ImageLesions(
        found=np.array(found, np.float32),
        false=np.array(false, np.float32),
        n_touched=1,
        n_false_regions=len(false),
    )


SCORES = st.lists(st.integers(-5, 5).map(float) | st.just(-np.inf), max_size=6)


@settings(deadline=None)
@given(st.lists(st.tuples(SCORES, st.lists(st.integers(-5, 5).map(float))), min_size=1, max_size=5))
def test_the_curve_is_that_of_a_loop_over_thresholds(drawn: list[tuple[list[float], list[float]]]):
    images = [image(found, false) for found, false in drawn]
    n_lesions = sum(len(found) for found, _ in drawn)
    if not n_lesions:
        return
    made = froc(images)
    best = dict.fromkeys(RATES, 0.0)
    for threshold in range(-5, 6):
        rate = sum(one >= threshold for _, false in drawn for one in false) / len(drawn)
        share = sum(one >= threshold for found, _ in drawn for one in found) / n_lesions
        for limit in RATES:
            if rate <= limit:
                best[limit] = max(best[limit], share)
    assert made.sensitivities == pytest.approx(tuple(best.values()))
    assert made.mean_sensitivity == pytest.approx(np.mean(list(best.values())))


def test_a_curve_is_thinned_and_rises():
    images = [detect(*scene(seed), 0.5) for seed in range(30)]
    made = froc(images)
    assert 20 < len(made.points) <= 200
    rates = [one.false_per_image for one in made.points]
    shares = [one.sensitivity for one in made.points]
    assert (rates, shares) == (sorted(rates), sorted(shares))
    assert rates[-1] <= RATES[-1]
    assert made.n_images == 30
    assert made.ci95[0] < made.mean_sensitivity < made.ci95[1]
    assert made == froc(images)
    assert made.touched == sum(one.n_touched for one in images) / made.n_lesions
