"""Figures of image-level predictions over the images of a split, with bootstrap intervals.

Pure arrays. Each figure takes weights of the images, a row for each resample, and gives a number
for each row, so that thousands of resamples cost a few matrix products.

Axis letters: n images, R resamples, K classes, C findings.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Figure",
    "Prediction",
    "accuracy",
    "auprc",
    "auroc",
    "balanced_accuracy",
    "differences",
    "figures",
    "quadratic_kappa",
]

Floats = NDArray[np.float64]

_RESAMPLES = 5000
_AT_ONCE = 2**21


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure over all images, or how two queries differ in it.

    Attributes:
        value: Of the images as they are.
        ci95: 2.5 % to 97.5 % percentile over resamples of the images.
        n_resamples: How many of the resamples count: those that lack a class do not.
    """

    value: float
    ci95: tuple[float, float]
    n_resamples: int


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What was predicted for the images of a split, beside what is true.

    Attributes:
        scale: One of `retq_hub.labels.labelset.SCALES`.
        truth: (n,) int64 classes, or (n, C) bool findings.
        probabilities: (n, K) or (n, C) float.
        predicted: As ``truth``.
    """

    scale: str
    truth: NDArray[np.int64] | NDArray[np.bool_]
    probabilities: NDArray[np.floating]
    predicted: NDArray[np.int64] | NDArray[np.bool_]


def figures(found: Prediction, *, seed: int = 0) -> dict[str, Figure]:
    """Give all figures that are defined for a scale and these images, by name.

    ``ordinal``: quadratic_kappa, auroc, balanced_accuracy, accuracy; ``multiclass``: the same
    without the first; ``multilabel``: auroc, auprc and balanced_accuracy, means over findings.

    Args:
        found: The predictions.
        seed: Of the resampling.
    """
    return _estimates(
        {name: partial(one, found) for name, one in _of(found).items()},
        len(found.truth),
        seed,
    )


def differences(ours: Prediction, theirs: Prediction, *, seed: int = 0) -> dict[str, Figure]:
    """Give each figure of the first query minus the second's, resampling both on the same images.

    Args:
        ours: The first query's predictions.
        theirs: The second's, of the same images in the same order.
        seed: Of the resampling.
    """
    return _estimates(
        {name: partial(_difference, one, ours, theirs) for name, one in _of(ours).items()},
        len(ours.truth),
        seed,
    )


def quadratic_kappa(found: Prediction, weights: Floats | None = None) -> Floats:
    """Give Cohen's kappa with quadratic weights: agreement on grades beyond chance.

    It is 1 - E[(t - p)^2] / (E[t^2] + E[p^2] - 2 E[t] E[p]).

    Source: Cohen, Weighted kappa, Psychological Bulletin 70(4), 1968.

    Args:
        found: The predictions.
        weights: (R, n), how often each image counts; None: once, R = 1.

    Returns:
        (R,); nan where grades and predictions are all the same.
    """
    weights = _or_once(found, weights)
    total = weights.sum(1)
    true, said = found.truth.astype(np.float64), found.predicted.astype(np.float64)
    observed = weights @ (true - said) ** 2 / total
    chance = weights @ (true**2 + said**2) / total
    chance -= 2 * (weights @ true / total) * (weights @ said / total)
    return 1 - _share(observed, chance)


def accuracy(found: Prediction, weights: Floats | None = None) -> Floats:
    """Give the share of images whose class is predicted: (R,) for (R, n) weights."""
    weights = _or_once(found, weights)
    return np.asarray(weights @ (found.truth == found.predicted) / weights.sum(1))


def balanced_accuracy(found: Prediction, weights: Floats | None = None) -> Floats:
    """Give the mean share of each class's images that are predicted as such.

    Of findings: of those that are there and those that are not, then the mean over findings.

    Args:
        found: The predictions.
        weights: (R, n), how often each image counts; None: once, R = 1.

    Returns:
        (R,); nan where a class is missing that is there without weights.
    """
    weights = _or_once(found, weights)
    hits = (found.truth == found.predicted).reshape(len(found.truth), -1)
    shares = []
    for column in _mixed(found):
        if found.scale == "multilabel":
            shown, hit = found.truth[:, column], hits[:, column]
            sides = [_share(weights @ (hit & one), weights @ one) for one in (shown, ~shown)]
            shares.append(np.mean(sides, axis=0))
        else:
            shown = found.truth == column
            shares.append(_share(weights @ (hits[:, 0] & shown), weights @ shown))
    return np.asarray(np.mean(shares, axis=0))


def auroc(found: Prediction, weights: Floats | None = None) -> Floats:
    """Give the area under the ROC curve; of several classes or findings the mean, one against all.

    Of two classes it is that of the second. Classes that no image has do not count. Equal
    probabilities count half.

    Args:
        found: The predictions.
        weights: (R, n), how often each image counts; None: once, R = 1.

    Returns:
        (R,); nan where a class is missing that is there without weights.
    """
    return _mean_area(found, weights, _roc_area)


def auprc(found: Prediction, weights: Floats | None = None) -> Floats:
    """Give average precision, a step at each distinct probability; otherwise as `auroc`."""
    return _mean_area(found, weights, _precision_area)


Measure = Callable[[Prediction, Floats], Floats]

_FIGURES: Mapping[str, Mapping[str, Measure]] = {
    "ordinal": {
        "quadratic_kappa": quadratic_kappa,
        "auroc": auroc,
        "balanced_accuracy": balanced_accuracy,
        "accuracy": accuracy,
    },
    "multiclass": {"auroc": auroc, "balanced_accuracy": balanced_accuracy, "accuracy": accuracy},
    "multilabel": {"auroc": auroc, "auprc": auprc, "balanced_accuracy": balanced_accuracy},
}


def _of(found: Prediction) -> Mapping[str, Measure]:
    return _FIGURES[found.scale] if _mixed(found) else {}


def _difference(figure: Measure, ours: Prediction, theirs: Prediction, weights: Floats) -> Floats:
    return figure(ours, weights) - figure(theirs, weights)


def _estimates(
    measures: Mapping[str, Callable[[Floats], Floats]], n: int, seed: int
) -> dict[str, Figure]:
    drawn: dict[str, list[Floats]] = {name: [] for name in measures}
    for weights in _resamples(n, seed):
        for name, measure in measures.items():
            drawn[name].append(measure(weights))
    once = np.ones((1, n))
    found = {}
    for name, measure in measures.items():
        value, every = float(measure(once)[0]), np.concatenate(drawn[name])
        every = every[np.isfinite(every)]
        if np.isfinite(value) and every.size:
            low, high = np.percentile(every, [2.5, 97.5])
            found[name] = Figure(
                value=_round(value),
                ci95=(_round(low), _round(high)),
                n_resamples=every.size,
            )
    return found


def _round(value: float) -> float:
    """Six decimals, as all figures have; nothing is written as minus zero."""
    return round(float(value), 6) + 0.0


def _resamples(n: int, seed: int) -> Iterator[Floats]:
    """Draw the images anew many times, some at a time: (R, n) counts."""
    generator, share = np.random.default_rng(seed), np.full(n, 1 / n)
    left, step = _RESAMPLES, max(1, _AT_ONCE // n)
    while left > 0:
        yield generator.multinomial(n, share, size=min(step, left)).astype(np.float64)
        left -= step


def _or_once(found: Prediction, weights: Floats | None) -> Floats:
    return np.ones((1, len(found.truth))) if weights is None else weights


def _mixed(found: Prediction) -> list[int]:
    """Give the classes that some, but not all images have, or such findings."""
    if found.scale == "multilabel":
        counts = found.truth.sum(0)
    else:
        counts = np.bincount(found.truth, minlength=found.probabilities.shape[1])
    return [number for number, count in enumerate(counts) if 0 < count < len(found.truth)]


def _mean_area(
    found: Prediction,
    weights: Floats | None,
    area: Callable[[NDArray[np.floating], NDArray[np.bool_], Floats], Floats],
) -> Floats:
    weights = _or_once(found, weights)
    columns = _mixed(found)
    if found.scale == "multilabel":
        labels = [found.truth[:, column] > 0 for column in columns]
    else:
        columns = [1] if found.probabilities.shape[1] == 2 else columns
        labels = [found.truth == column for column in columns]
    areas = [
        area(found.probabilities[:, column], label, weights)
        for column, label in zip(columns, labels, strict=True)
    ]
    return np.asarray(np.mean(areas, axis=0))


def _roc_area(scores: NDArray[np.floating], labels: NDArray[np.bool_], weights: Floats) -> Floats:
    positive, negative = _by_score(scores, labels, weights)
    below = np.cumsum(negative, axis=1) - negative / 2
    return _share((positive * below).sum(1), positive.sum(1) * negative.sum(1))


def _precision_area(
    scores: NDArray[np.floating], labels: NDArray[np.bool_], weights: Floats
) -> Floats:
    positive, negative = _by_score(-scores, labels, weights)
    true = np.cumsum(positive, axis=1)
    precision = true / np.maximum(true + np.cumsum(negative, axis=1), 1)
    return _share((positive * precision).sum(1), true[:, -1])


def _by_score(
    scores: NDArray[np.floating], labels: NDArray[np.bool_], weights: Floats
) -> tuple[Floats, Floats]:
    """Sum weights by distinct score, rising: (R, G) of positive images, and of the others."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(scores[order]) > 0))
    weighted = weights[:, order]
    sums = [
        np.add.reduceat(weighted * side, starts, axis=1) for side in (labels[order], ~labels[order])
    ]
    return sums[0], sums[1]


def _share(part: Floats, whole: Floats) -> Floats:
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)
