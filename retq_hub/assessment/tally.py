"""From predictions to what is told of them: each image, each target, each group, calibration.

Pure arrays. Axis letters: n images, K targets.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from retq_hub.assessment import gradation
from retq_hub.assessment.gradation import Prediction
from retq_hub.assessment.gradebook import Bin, ClassFigures, GradedGroup, GradedImage
from retq_hub.labels.labelset import LabelledSample

__all__ = [
    "calibration_error",
    "classes",
    "confusion",
    "groups",
    "images",
    "reliability",
    "typical",
]

_BINS = 10
_LEAST = 1e-12


def images(
    found: Prediction, samples: Sequence[LabelledSample], names: Sequence[str]
) -> tuple[GradedImage, ...]:
    """Say of each image what is true and what was predicted, by the targets' names."""
    words = np.array(names)
    truth, said = _table(found, found.truth), _table(found, found.predicted)
    merits = _merits(found)
    return tuple(
        GradedImage(
            id=sample.id,
            label=tuple(words[truth[number]].tolist()),
            predicted=tuple(words[said[number]].tolist()),
            probabilities=tuple(found.probabilities[number].tolist()),
            merit=float(merits[number]),
            group=sample.group,
        )
        for number, sample in enumerate(samples)
    )


def classes(found: Prediction, names: Sequence[str]) -> tuple[ClassFigures, ...]:
    """Give each target's figures against all others."""
    truth, said = _table(found, found.truth), _table(found, found.predicted)
    figures = []
    for column, name in enumerate(names):
        shown, marked = truth[:, column], said[:, column]
        alone = Prediction(
            scale="multilabel",
            truth=shown[:, None],
            probabilities=found.probabilities[:, column : column + 1],
            predicted=marked[:, None],
        )
        figures.append(
            ClassFigures(
                name=name,
                n_images=int(shown.sum()),
                n_predicted=int(marked.sum()),
                sensitivity=float(marked[shown].mean()) if shown.any() else None,
                specificity=float((~marked[~shown]).mean()) if not shown.all() else None,
                auroc=gradation.figures(alone).get("auroc"),
            )
        )
    return tuple(figures)


def confusion(found: Prediction) -> tuple[tuple[int, ...], ...] | None:
    """Count images by true (row) and predicted class; None for findings."""
    if found.scale == "multilabel":
        return None
    K = found.probabilities.shape[1]
    counts = np.bincount(found.truth * K + found.predicted, minlength=K * K).reshape(K, K)
    return tuple(tuple(row) for row in counts.tolist())


def reliability(found: Prediction) -> tuple[Bin, ...]:
    """Bins of equal width; of the class that is predicted, or of every finding.

    Source: Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML 2017.
    """
    if found.scale == "multilabel":
        chances, right = found.probabilities.ravel(), found.truth.ravel()
    else:
        chances = found.probabilities[np.arange(len(found.truth)), found.predicted]
        right = found.truth == found.predicted
    places = np.minimum((chances * _BINS).astype(int), _BINS - 1)
    return tuple(
        Bin(
            n=int(inside.sum()),
            probability=float(chances[inside].mean(dtype=np.float64)),
            observed=float(right[inside].mean()),
        )
        for inside in (places == one for one in range(_BINS))
        if inside.any()
    )


def calibration_error(bins: Sequence[Bin]) -> float:
    """Give the mean gap between probability and how often it came true, over all predictions."""
    gaps = sum(one.n * abs(one.probability - one.observed) for one in bins)
    return gaps / sum(one.n for one in bins)


def groups(found: Prediction, graded: Sequence[GradedImage]) -> dict[str, GradedGroup]:
    """Give the figures of each camera or site; of images that name none last, under ``""``."""
    counts = Counter(one.group for one in graded)
    if set(counts) == {""}:
        return {}
    groups = {}
    for name in sorted(counts, key=lambda one: (not one, one)):
        inside = np.array([one.group == name for one in graded])
        part = replace(
            found,
            truth=found.truth[inside],
            probabilities=found.probabilities[inside],
            predicted=found.predicted[inside],
        )
        groups[name] = GradedGroup(n_images=counts[name], figures=gradation.figures(part))
    return groups


def typical(graded: Sequence[GradedImage]) -> dict[str, int]:
    """Give the numbers of the best, median and worst image, each image once."""
    order = sorted(range(len(graded)), key=lambda n: (-graded[n].merit, graded[n].id))
    places = {"best": order[0], "worst": order[-1], "median": order[(len(order) - 1) // 2]}
    first = {number: kind for kind, number in reversed(places.items())}
    return {kind: places[kind] for kind in ("best", "median", "worst") if kind in first.values()}


def _table(found: Prediction, classes: NDArray[np.generic]) -> NDArray[np.bool_]:
    """(n, K): which targets."""
    if found.scale == "multilabel":
        return classes.astype(np.bool_)
    return np.asarray(classes[:, None] == np.arange(found.probabilities.shape[1]))


def _merits(found: Prediction) -> NDArray[np.float64]:
    chances, truth = found.probabilities.astype(np.float64), _table(found, found.truth)
    if found.scale != "multilabel":
        return np.asarray(np.log(np.maximum(chances[truth], _LEAST)))
    right = np.where(truth, chances, 1 - chances)
    return np.asarray(np.log(np.maximum(right, _LEAST)).mean(axis=1))
