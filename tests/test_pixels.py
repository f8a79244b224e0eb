"""All pixels together: what is counted in bins agrees with sorting every pixel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from retq_hub import pixels
from retq_hub.metrics import auprc_auroc
from retq_hub.pixels import PixelCounts

Scored = tuple[NDArray[np.float32], NDArray[np.bool_]]

PAIRS = st.lists(
    st.tuples(st.floats(-40, 40, width=32) | st.sampled_from([-1.0, 0.0, 2.5]), st.booleans()),
    min_size=4,
    max_size=80,
).filter(lambda pairs: len({label for _, label in pairs}) == 2)


def counted(*images: Scored) -> PixelCounts:
    counts = PixelCounts()
    for image in images:
        counts.add(*image)
    return counts


def normal(n: int, *, seed: int = 0, spread: float = 2.0, share: float = 0.03) -> Scored:
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < share
    return (rng.normal(size=n) * spread - 5 + 4 * labels).astype(np.float32), labels


def split(pairs: list[tuple[float, bool]]) -> Scored:
    return np.array([one for one, _ in pairs], np.float32), np.array([label for _, label in pairs])


@settings(deadline=None, max_examples=60)
@given(PAIRS, st.integers(1, 3))
def test_areas_of_few_pixels_are_sklearns_however_they_are_dealt(
    pairs: list[tuple[float, bool]], n_images: int
):
    scores, labels = split(pairs)
    dealt = [(scores[n::n_images], labels[n::n_images]) for n in range(n_images)]
    auprc, auroc = counted(*dealt).areas
    assert auprc == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    assert auroc == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(-12, 12), st.booleans()), min_size=4, max_size=80))
def test_binned_areas_are_sklearns_where_logits_are_equal_or_a_bin_apart(
    pairs: list[tuple[int, bool]],
):
    scores, labels = split([(step / 4, label) for step, label in pairs])
    if labels.all() or not labels.any():
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pixels, "_KEPT", 0)
        auprc, auroc = counted((scores, labels)).areas
    assert auprc == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    assert auroc == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


@pytest.mark.parametrize(
    ("spread", "share"), [(2.0, 0.03), (0.2, 0.03), (8.0, 0.3), (90.0, 0.3), (2.0, 0.001)]
)
def test_binned_areas_of_many_pixels_are_within_a_millionth(spread: float, share: float):
    scores, labels = normal(2_000_000, spread=spread, share=share)
    parts = zip(np.array_split(scores, 20), np.array_split(labels, 20), strict=True)
    found = counted(*parts).areas
    assert found == pytest.approx(auprc_auroc(scores, labels), abs=1e-6)


def test_logits_of_any_size_have_a_bin():
    scores = np.array([-np.inf, -40, 40, np.inf], dtype=np.float32)
    counts = counted((scores, np.array([False, False, True, True])))
    low, high = counts.reliability()
    assert (low.n_pixels, low.observed, high.n_pixels, high.observed) == (2, 0, 2, 1)
    assert low.probability == pytest.approx(0, abs=1e-12)
    assert high.probability == pytest.approx(1, abs=1e-12)


def test_merging_is_the_same_as_counting_in_one_go():
    images = [normal(500, seed=seed) for seed in range(4)]
    left, right = counted(*images[:1]), counted(*images[1:])
    left.merge(right)
    assert left.summary() == counted(*images).summary()
    big = counted(normal(pixels._KEPT))
    big.merge(left)
    assert big.n_pixels == pixels._KEPT + 2000
    scores, labels = (
        np.concatenate(part) for part in zip(normal(pixels._KEPT), *images, strict=True)
    )
    assert big.areas == pytest.approx(auprc_auroc(scores, labels), abs=1e-6)


def test_areas_of_one_class_are_not_defined(monkeypatch: pytest.MonkeyPatch):
    for kept in (pixels._KEPT, 0):
        monkeypatch.setattr(pixels, "_KEPT", kept)
        assert np.isnan(counted((np.ones(3, np.float32), np.zeros(3, np.bool_))).areas).all()


def test_the_precision_recall_curve_lies_on_sklearns():
    scores, labels = normal(200_000)
    curve = counted((scores, labels)).precision_recall()
    assert 100 < len(curve) <= 200
    assert curve[-1].recall == 1
    recalls = [one.recall for one in curve]
    assert recalls == sorted(set(recalls))
    for one in curve[::20]:
        logit = np.log(one.threshold / (1 - one.threshold)) - 1e-6
        marked = scores >= logit
        assert one.precision == pytest.approx((marked & labels).sum() / marked.sum(), abs=1e-3)
        assert one.recall == pytest.approx((marked & labels).sum() / labels.sum(), abs=1e-3)
    precision, recall, _ = precision_recall_curve(labels, scores)
    expected = np.interp([one.recall for one in curve], recall[::-1], precision[::-1])
    assert [one.precision for one in curve][5:] == pytest.approx(expected[5:], abs=0.01)


def test_reliability_and_its_error_are_those_of_a_loop_over_bins():
    scores, labels = normal(30_000, spread=3)
    probability = 1 / (1 + np.exp(-scores.astype(np.float64)))
    counts = counted((scores, labels))
    total = 0.0
    for number, one in enumerate(counts.reliability()):
        inside = (probability >= number / 15) & (probability < (number + 1) / 15)
        assert one.n_pixels == pytest.approx(inside.sum(), abs=2)
        assert one.probability == pytest.approx(probability[inside].mean(), abs=1e-4)
        assert one.observed == pytest.approx(labels[inside].mean(), abs=1e-2)
        total += inside.mean() * abs(probability[inside].mean() - labels[inside].mean())
    assert counts.calibration_error == pytest.approx(total, abs=1e-4)


def test_a_calibrated_prediction_has_no_calibration_error():
    rng = np.random.default_rng(0)
    probability = rng.random(200_000)
    logits = np.log(probability / (1 - probability)).astype(np.float32)
    assert counted((logits, rng.random(200_000) < probability)).calibration_error < 0.006
    assert counted((logits + 2, rng.random(200_000) < probability)).calibration_error > 0.2
