"""Two queries on the same images: paired, and the same each time."""

import numpy as np
import pytest

from retq_hub.comparison import compare
from retq_hub.metrics import FIGURES, ImageMetrics


def images(**columns: list[float]) -> list[ImageMetrics]:
    n = len(next(iter(columns.values())))
    return [
        ImageMetrics(
            id=f"eye{at}",
            n_positive=1,
            values=dict.fromkeys(FIGURES, 0.5) | {name: one[at] for name, one in columns.items()},
        )
        for at in range(n)
    ]


def test_the_mean_its_interval_and_who_wins():
    rng = np.random.default_rng(0)
    ours = rng.random(40)
    theirs = ours - 0.05 - rng.normal(0, 0.01, 40)
    found = compare(images(dice=list(ours)), images(dice=list(theirs)))["dice"]
    gaps = ours - theirs
    assert found.mean == pytest.approx(gaps.mean(), abs=1e-6)
    spread = 1.96 * gaps.std() / np.sqrt(40)
    assert found.ci95 == pytest.approx((gaps.mean() - spread, gaps.mean() + spread), abs=5e-4)
    assert (found.wins, found.ties, found.losses) == (40, 0, 0)


def test_pairing_is_tighter_than_two_intervals():
    hard = np.linspace(0, 1, 30)
    found = compare(images(dice=list(hard)), images(dice=list(hard + 0.001)))["dice"]
    assert found.ci95 == pytest.approx((-0.001, -0.001))
    assert found.losses == 30


def test_of_a_distance_less_is_better():
    found = compare(images(hd95=[1.0, 2.0, 3.0]), images(hd95=[2.0, 2.0, 1.0]))["hd95"]
    assert (found.mean, found.wins, found.ties, found.losses) == (pytest.approx(1 / 3), 1, 1, 1)


def test_images_where_one_is_not_defined_do_not_count():
    nan = float("nan")
    found = compare(images(auroc=[0.5, nan, 0.5]), images(auroc=[0.5, 0.5, nan]))
    assert found["auroc"].n_images == 1
    assert "auroc" not in compare(images(auroc=[nan]), images(auroc=[0.5]))


def test_other_images_are_refused():
    with pytest.raises(ValueError, match="of other images"):
        compare(images(dice=[0.5]), images(dice=[0.5, 0.5]))
