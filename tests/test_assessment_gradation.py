"""`assessment.gradation`: figures equal scikit-learn's, intervals those of a plain loop."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn import metrics as sk

from retq_hub.assessment import gradation
from retq_hub.assessment.gradation import Prediction

N = 60


def graded(*, seed: int = 0, n_classes: int = 4, scale: str = "ordinal") -> Prediction:
    """Predictions that are better than chance, with many equal probabilities."""
    generator = np.random.default_rng(seed)
    truth = np.append(np.arange(n_classes), generator.integers(n_classes, size=N - n_classes))
    logits = generator.normal(size=(N, n_classes)).round(1)
    logits[np.arange(N), truth] += 1
    odds = np.exp(logits)
    probabilities = odds / odds.sum(1, keepdims=True)
    return Prediction(
        scale=scale,
        truth=truth,
        probabilities=probabilities,
        predicted=probabilities.argmax(1),
    )


def findings(*, seed: int = 0) -> Prediction:
    """Three findings; the third is shown by all images."""
    generator = np.random.default_rng(seed)
    truth = generator.random((N, 3)) < np.array([0.2, 0.6, 2.0])
    probabilities = np.clip(generator.random((N, 3)).round(1) + 0.2 * truth, 0, 1)
    return Prediction(
        scale="multilabel",
        truth=truth,
        probabilities=probabilities,
        predicted=probabilities > 0.5,
    )


def by_sklearn(found: Prediction) -> dict[str, float]:
    if found.scale == "multilabel":
        columns = [(found.truth[:, c], found.probabilities[:, c]) for c in (0, 1)]
        halves = [(found.truth[:, c], found.predicted[:, c]) for c in (0, 1)]
        return {
            "auroc": np.mean([sk.roc_auc_score(*one) for one in columns]),
            "auprc": np.mean([sk.average_precision_score(*one) for one in columns]),
            "balanced_accuracy": np.mean([sk.balanced_accuracy_score(*one) for one in halves]),
        }
    scores = found.probabilities
    binary = scores.shape[1] == 2
    area = (
        sk.roc_auc_score(found.truth, scores[:, 1])
        if binary
        else sk.roc_auc_score(found.truth, scores, multi_class="ovr", average="macro")
    )
    return {
        "quadratic_kappa": sk.cohen_kappa_score(found.truth, found.predicted, weights="quadratic"),
        "auroc": area,
        "balanced_accuracy": sk.balanced_accuracy_score(found.truth, found.predicted),
        "accuracy": sk.accuracy_score(found.truth, found.predicted),
    }


@pytest.mark.parametrize(
    "found",
    [
        graded(),
        graded(seed=1),
        graded(n_classes=2),
        graded(n_classes=2, scale="multiclass"),
        graded(n_classes=7, scale="multiclass"),
        findings(),
        findings(seed=1),
    ],
)
def test_figures_are_those_of_scikit_learn(found: Prediction) -> None:
    expected = by_sklearn(found)
    for name, one in gradation.figures(found).items():
        assert one.value == pytest.approx(expected.pop(name), abs=1e-6), name
    assert not expected or (found.scale, set(expected)) == ("multiclass", {"quadratic_kappa"})


FIGURES = (
    gradation.quadratic_kappa,
    gradation.auroc,
    gradation.auprc,
    gradation.balanced_accuracy,
    gradation.accuracy,
)


@pytest.mark.parametrize("figure", FIGURES)
def test_a_weight_is_an_image_given_so_often(figure: Callable[..., np.ndarray]) -> None:
    """What weights give is what the images give when they are written out."""
    found = graded()
    weights = np.random.default_rng(1).multinomial(N, np.full(N, 1 / N), size=20).astype(float)
    for row, value in zip(weights, figure(found, weights), strict=True):
        picks = np.repeat(np.arange(N), row.astype(int))
        written = Prediction(
            scale=found.scale,
            truth=found.truth[picks],
            probabilities=found.probabilities[picks],
            predicted=found.predicted[picks],
        )
        assert value == pytest.approx(figure(written)[0], abs=1e-12)


def test_resamples_that_lack_a_class_do_not_count_and_are_told() -> None:
    found = graded(n_classes=2)
    truth = np.zeros(N, dtype=np.int64)
    truth[7] = 1
    rare = Prediction(
        scale="ordinal",
        truth=truth,
        probabilities=found.probabilities,
        predicted=found.predicted,
    )
    figures = gradation.figures(rare)
    # Missed by chance in (1 - 1/60)^60 of the resamples.
    assert figures["auroc"].n_resamples == pytest.approx(5000 * (1 - (1 - 1 / N) ** N), rel=0.03)
    assert figures["accuracy"].n_resamples == 5000


def test_what_is_not_defined_is_left_out() -> None:
    found = graded()
    same = Prediction(
        scale="ordinal",
        truth=np.ones(N, dtype=np.int64),
        probabilities=found.probabilities,
        predicted=found.predicted,
    )
    assert gradation.figures(same) == {}


def test_intervals_cover_and_are_the_same_again() -> None:
    """Of 20 fresh samples about 95 % must hold what a large sample says."""
    large = [graded(seed=seed) for seed in range(1000, 1040)]
    truth = np.mean([gradation.accuracy(one)[0] for one in large])
    found = [gradation.figures(graded(seed=seed))["accuracy"] for seed in range(20)]
    inside = sum(one.ci95[0] <= truth <= one.ci95[1] for one in found)
    assert inside >= 16
    assert gradation.figures(graded()) == gradation.figures(graded())


def test_differences_are_paired() -> None:
    ours = graded()
    assert gradation.differences(ours, ours)["auroc"] == gradation.Figure(
        value=0.0, ci95=(0.0, 0.0), n_resamples=gradation.figures(ours)["auroc"].n_resamples
    )
    worse = Prediction(
        scale="ordinal",
        truth=ours.truth,
        probabilities=ours.probabilities[::-1],
        predicted=ours.predicted[::-1],
    )
    found, own = gradation.differences(ours, worse), gradation.figures(ours)
    other = gradation.figures(worse)
    for name, one in found.items():
        assert one.value == pytest.approx(own[name].value - other[name].value, abs=2e-6)
    assert found["accuracy"].ci95[0] > 0
