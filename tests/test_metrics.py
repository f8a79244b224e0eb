from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, jaccard_score, roc_auc_score

from retq_hub.metrics import (
    FIGURES,
    METRICS,
    ImageMetrics,
    auprc_auroc,
    by_group,
    dice_iou,
    score,
    summarise,
)

LABELLED_SCORES = st.lists(
    st.tuples(
        st.sampled_from([-2.5, -0.0, 0.0, 1e-7, 0.5, 1.0]) | st.floats(-50, 50, width=32),
        st.booleans(),
    ),
    min_size=2,
    max_size=60,
).filter(lambda pairs: len({label for _, label in pairs}) == 2)


def figures(name: str, **values: float) -> ImageMetrics:
    return ImageMetrics(id=name, n_positive=1, values=dict.fromkeys(METRICS, 0.5) | values)


@settings(deadline=None)
@given(LABELLED_SCORES)
def test_areas_are_sklearns_ties_included(pairs: list[tuple[float, bool]]):
    scores = np.array([one for one, _ in pairs], dtype=np.float32)
    labels = np.array([label for _, label in pairs])
    auprc, auroc = auprc_auroc(scores, labels)
    assert auprc == pytest.approx(average_precision_score(labels, scores))
    assert auroc == pytest.approx(roc_auc_score(labels, scores))


@pytest.mark.parametrize("label", [True, False])
def test_areas_are_not_defined_for_one_class(label: bool):
    assert np.isnan(auprc_auroc(np.zeros(4, np.float32), np.full(4, label))).all()


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_overlaps_are_sklearns(pairs: list[tuple[bool, bool]]):
    prediction, mask = (np.array(column) for column in zip(*pairs, strict=True))
    dice, iou = dice_iou(prediction, mask)
    assert dice == pytest.approx(f1_score(mask, prediction, zero_division=1))
    assert iou == pytest.approx(jaccard_score(mask, prediction, zero_division=1))


@pytest.mark.parametrize("threshold", [0.005, 0.3, 0.5, 0.995])
def test_a_score_uses_the_stored_threshold_and_one_half(threshold: float):
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=4, size=(8, 9)).astype(np.float32)
    mask = rng.random((8, 9)) < 0.3
    found = score("eye", logits, mask, threshold)
    probability = 1 / (1 + np.exp(-logits.astype(np.float64)))
    assert (found.id, found.n_positive) == ("eye", mask.sum())
    assert tuple(found.values) == FIGURES
    assert (found.values["dice"], found.values["iou"]) == dice_iou(probability > threshold, mask)
    half = dice_iou(probability > 0.5, mask)
    assert (found.values["dice_at_0.5"], found.values["iou_at_0.5"]) == half


def test_an_image_without_the_target_counts_for_overlap_alone():
    silent = score("eye", np.full((3, 3), -9, np.float32), np.zeros((3, 3), np.bool_), 0.5)
    assert silent.values["dice"] == silent.values["iou"] == 1
    assert np.isnan([silent.values["auroc"], silent.values["auprc"]]).all()


def test_a_summary_gives_mean_range_and_an_interval_around_the_mean():
    values = np.random.default_rng(1).random(30)
    summary = summarise([figures(str(n), dice=one) for n, one in enumerate(values)])
    found = summary["dice"]
    assert found.mean == pytest.approx(values.mean(), abs=1e-6)
    assert (found.min, found.max) == pytest.approx((values.min(), values.max()), abs=1e-6)
    spread = 1.96 * values.std() / np.sqrt(len(values))
    assert found.ci95 == pytest.approx((found.mean - spread, found.mean + spread), abs=0.01)
    assert summary["iou"].ci95 == (0.5, 0.5)


def test_a_summary_is_the_same_each_time_and_skips_what_is_not_defined():
    images = [figures("a", auroc=float("nan"), auprc=float("nan")), figures("b", auroc=0.75)]
    summary = summarise(images)
    assert summary == summarise(images)
    assert summary["auroc"].mean == 0.75
    assert "auprc" not in summarise(images[:1])


def test_groups_are_summarised_apart_and_the_unnamed_last():
    images = [figures(name, dice=value) for name, value in (("a", 0.2), ("b", 0.4), ("c", 0.9))]
    assert by_group(images) == {}
    grouped = [
        replace(one, group=group) for one, group in zip(images, ("", "Neo", "Neo"), strict=True)
    ]
    found = by_group(grouped)
    assert list(found) == ["Neo", ""]
    assert found["Neo"]["dice"].mean == pytest.approx(0.65)
    assert found[""] == summarise(images[:1])
