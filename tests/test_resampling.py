"""Intervals over all pixels, against drawing images anew and sorting their pixels."""

import numpy as np
import pytest
from numpy.typing import NDArray

from retq_hub.metrics import auprc_auroc
from retq_hub.resampling import area_intervals, coarse_counts

Scored = tuple[NDArray[np.float32], NDArray[np.bool_]]


def image(seed: int) -> Scored:
    rng = np.random.default_rng(seed)
    mask = rng.random((20, 20)) < rng.uniform(0.05, 0.3)
    logits = rng.normal(-3, 2, (20, 20)) + rng.uniform(0.5, 4) * mask
    return logits.astype(np.float32), mask


def areas(images: list[Scored]) -> tuple[float, float]:
    scores, labels = (
        np.concatenate([one.ravel() for one in part]) for part in zip(*images, strict=True)
    )
    return auprc_auroc(scores, labels)


def test_intervals_are_those_of_sorting_the_drawn_images():
    images = [image(seed) for seed in range(12)]
    auprc, auroc = areas(images)
    found = area_intervals([coarse_counts(*one) for one in images], auprc=auprc, auroc=auroc)
    rng = np.random.default_rng(1)
    drawn = [areas([images[n] for n in rng.integers(12, size=12)]) for _ in range(600)]
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    assert found["auprc"] == pytest.approx((low[0], high[0]), abs=0.03)
    assert found["auroc"] == pytest.approx((low[1], high[1]), abs=0.02)
    assert found["auprc"][0] < auprc < found["auprc"][1]


def test_one_image_has_no_spread():
    one = image(0)
    auprc, auroc = areas([one])
    found = area_intervals([coarse_counts(*one)], auprc=auprc, auroc=auroc)
    assert found["auprc"] == pytest.approx((auprc, auprc))
    assert found["auroc"] == pytest.approx((auroc, auroc))


def test_draws_without_the_target_do_not_count():
    blank = (np.full((20, 20), -5, np.float32), np.zeros((20, 20), np.bool_))
    counts = [coarse_counts(*blank), coarse_counts(*image(0))]
    found = area_intervals(counts, auprc=0.5, auroc=0.9)
    assert all(0 <= low <= high <= 1 for low, high in found.values())
