import numpy as np
import pytest
import torch
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from retq_hub import heads
from retq_hub.calibration import (
    LEVELS,
    Counts,
    best_level,
    calibrate,
    isotonic,
    overlap_curve,
    platt,
)
from retq_hub.manifest import Head
from retq_hub.metrics import dice_iou


def drawn(
    n: int = 4, *, scale: float = 2.0, shift: float = -1.0, size: int = 60, seed: int = 0
) -> tuple[list[Tensor], list[Tensor]]:
    """Logits that are ``scale`` times too large and ``shift`` off, and the masks drawn by them."""
    generator = torch.Generator().manual_seed(seed)
    true = [1.5 * torch.randn(size, size, generator=generator) - 1.5 for _ in range(n)]
    masks = [torch.rand(size, size, generator=generator) < one.sigmoid() for one in true]
    return [scale * one + shift for one in true], masks


def head(*thresholds: float) -> Head:
    return Head(activation="sigmoid", thresholds=thresholds, threshold_choice="given")


@pytest.mark.parametrize("measure", ["dice", "iou"])
def test_the_curve_is_the_overlap_at_each_threshold(measure: str):
    logits, masks = drawn(1)
    curve = overlap_curve(logits[0], masks[0], measure)
    p, mask = logits[0].sigmoid().numpy(), masks[0].numpy()
    for at in (0, 20, 98, 150, 198):
        marked = p >= (at + 1) / LEVELS
        assert float(curve[at]) == pytest.approx(dice_iou(marked, mask)[measure == "iou"], abs=1e-4)


@pytest.mark.parametrize("measure", ["dice", "iou"])
def test_an_image_without_the_target_counts_only_where_nothing_is_marked(measure: str):
    logits = torch.full((6, 6), -3.0)
    logits[0, 0] = 0.0
    curve = overlap_curve(logits, torch.zeros(6, 6, dtype=torch.bool), measure)
    assert set(curve.tolist()) == {0.0, 1.0}
    assert curve[:99].max() == 0
    assert curve[100:].min() == 1


def test_the_best_threshold_leaves_the_worst_tenth_of_the_images_out():
    curves = torch.full((10, 199), 0.5, dtype=torch.float64)
    curves[:, 120] = 0.6
    curves[3] = 0.0
    curves[3, 7] = 0.4
    curves[4:, 7] = 0.59
    assert int(curves.mean(0).argmax()) == 7
    assert best_level(curves) == 120
    assert best_level(curves[:9]) == 7
    one = torch.zeros(1, 199)
    one[0, 42] = 1
    assert best_level(one) == 42


def test_counts_are_those_of_the_pixels():
    logits, masks = drawn(2)
    counts = Counts.of(logits, masks)
    assert counts.all.sum() == 2 * 60 * 60
    assert counts.marked.sum() == sum(int(mask.sum()) for mask in masks)
    mean = torch.stack(logits).mean().item()
    assert (counts.all * counts.logits).sum() / counts.all.sum() == pytest.approx(mean, abs=5e-3)


def test_logits_beyond_the_span_are_counted_at_its_ends():
    logits = [torch.tensor([[-1000.0, 1000.0]])]
    counts = Counts.of(logits, [torch.tensor([[False, True]])])
    assert (counts.all[0], counts.all[-1], counts.marked[-1]) == (1, 1, 1)


def test_the_calibration_error_is_the_naive_one():
    logits, masks = drawn(2)
    counts = Counts.of(logits, masks)
    p = torch.stack(logits).sigmoid().numpy().ravel()
    y = torch.stack(masks).numpy().ravel()
    expected = 0.0
    for group in range(15):
        inside = (p >= group / 15) & (p < (group + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(p[inside].mean() - y[inside].mean())
    assert counts.error(counts.logits) == pytest.approx(expected, abs=3e-3)


def test_platt_is_logistic_regression():
    logits, masks = drawn(4, scale=2.0, shift=-1.0)
    counts = Counts.of(logits, masks)
    x = torch.stack(logits).numpy().reshape(-1, 1)
    reference = LogisticRegression(C=1e9, tol=1e-10).fit(x, torch.stack(masks).numpy().ravel())
    scale, offset = platt(counts)
    assert scale == pytest.approx(reference.coef_[0, 0], abs=2e-3)
    assert offset == pytest.approx(reference.intercept_[0], abs=5e-3)
    assert (scale, offset) == (pytest.approx(0.5, abs=0.05), pytest.approx(0.5, abs=0.1))
    assert counts.error(scale * counts.logits + offset) < 0.01 < counts.error(counts.logits)


@pytest.mark.parametrize("kind", ["none", "all", "faultless"])
def test_platt_bears_masks_of_one_class_and_logits_without_fault(kind: str):
    logits, _ = drawn(1)
    mask = logits[0] > (-1 if kind == "faultless" else 1e9 if kind == "none" else -1e9)
    counts = Counts.of(logits, [mask])
    scale, offset = platt(counts)
    assert -1e-6 < scale < 20
    assert abs(offset) < 20
    assert counts.error(scale * counts.logits + offset) < 0.02


def test_isotonic_is_sklearns_on_the_counts():
    logits, masks = drawn(1, size=20)
    counts = Counts.of(logits, masks)
    seen = counts.all > 0
    reference = IsotonicRegression().fit(
        counts.logits[seen],
        (counts.marked[seen] + 5e-4) / (counts.all[seen] + 1e-3),
        sample_weight=counts.all[seen],
    )
    knots = np.array(isotonic(counts))
    assert 2 < len(knots) <= 32
    expected = reference.predict(counts.logits[seen])
    distance = np.abs(np.subtract.outer(knots[:, 0], counts.logits[seen]))
    level = 1 / (1 + np.exp(-knots[:, 1]))
    for row, found in zip(distance, level, strict=True):
        near = expected[np.argsort(row)[:2]]
        assert near.min() - 2e-3 <= found <= near.max() + 2e-3


def test_isotonic_knots_rise_and_make_probabilities_frequencies():
    logits, masks = drawn(4, scale=3.0)
    counts = Counts.of(logits, masks)
    knots = isotonic(counts)
    assert len(knots) <= 32
    assert (np.diff(np.array(knots), axis=0) > 0).all()
    curve = np.interp(counts.logits, *np.array(knots).T)
    assert counts.error(curve) < 0.02 < counts.error(counts.logits)


@pytest.mark.parametrize("marked", [False, True])
def test_isotonic_bears_masks_of_one_class(marked: bool):
    logits, _ = drawn(1)
    knots = np.array(isotonic(Counts.of(logits, [torch.full((60, 60), marked)])))
    assert len(knots) >= 2
    assert np.isfinite(knots).all()
    assert (np.diff(knots, axis=0) > 0).all()


@pytest.mark.parametrize("method", ["platt", "isotonic", "prior"])
def test_calibration_never_changes_what_is_marked(method: str):
    """Two targets with thresholds of their own; only pixels at the very threshold may differ."""
    first, second = drawn(3), drawn(3, scale=0.5, shift=1.0, seed=1)
    before = head(0.12, 0.63)
    after = calibrate(before, [Counts.of(*first), Counts.of(*second)], method)
    assert after.calibration is not None
    for image in range(3):
        logits = torch.stack([first[0][image], second[0][image]])
        plain = heads.margins(before, logits)
        moved = heads.margins(after, heads.calibrate(after.calibration, logits))
        sure = plain.abs() > 1e-4
        assert torch.equal((plain > 0)[sure], (moved > 0)[sure])
        assert sure.float().mean() > 0.999


def test_the_prior_puts_the_threshold_at_a_half_and_says_by_how_much():
    logits, masks = drawn(3)
    counts = [Counts.of(logits, masks)]
    plain = calibrate(head(0.1), counts, "platt")
    moved = calibrate(head(0.1), counts, "prior")
    assert moved.thresholds == (0.5,)
    assert moved.calibration is not None and plain.calibration is not None
    assert plain.calibration.shift is None
    assert moved.calibration.scale == plain.calibration.scale
    (shift,), (offset,) = moved.calibration.shift, moved.calibration.offset
    assert offset - shift == pytest.approx(plain.calibration.offset[0], abs=2e-6)
    assert np.log(plain.thresholds[0] / (1 - plain.thresholds[0])) == pytest.approx(
        -shift, abs=1e-4
    )


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_frequencies_are_better_calibrated_than_before_and_errors_are_stated(method: str):
    logits, masks = drawn(3, scale=3.0)
    counts = Counts.of(logits, masks)
    found = calibrate(head(0.3), [counts], method).calibration
    assert found is not None
    assert found.method == method
    assert found.ece_before[0] == pytest.approx(counts.error(counts.logits), abs=1e-6)
    z = heads.calibrate(found, torch.from_numpy(counts.logits).float()[None, None])
    assert found.ece[0] == pytest.approx(counts.error(z[0, 0].double().numpy()), abs=1e-3)
    assert found.ece[0] < 0.2 * found.ece_before[0]
