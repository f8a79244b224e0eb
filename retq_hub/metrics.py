"""Figures of one image's prediction, and their mean, range and interval over images. No files.

AUROC and AUPRC are exact for the float32 scores they are given, ties included.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retq_hub.boundary import hd95_nsd
from retq_hub.manifest import Interval

__all__ = [
    "FIGURES",
    "METRICS",
    "ImageMetrics",
    "auprc_auroc",
    "by_group",
    "dice_iou",
    "mean_interval",
    "score",
    "summarise",
]

METRICS = ("auroc", "auprc", "dice", "iou", "dice_at_0.5", "iou_at_0.5")
"""What a manifest records of an evaluation."""

FIGURES = (*METRICS, "hd95", "nsd")
"""All figures of an image; of ``hd95`` less is better."""

_RESAMPLES = 10_000
"""So often images are drawn anew for a bootstrap interval."""


@dataclass(frozen=True, kw_only=True)
class ImageMetrics:
    """The figures of one image.

    Attributes:
        id: The image.
        n_positive: Marked pixels of its mask.
        values: A figure for each of `FIGURES`; nan where it is not defined.
        group: The image's camera or site, where known.
    """

    id: str
    n_positive: int
    values: dict[str, float]
    group: str = ""


def score(
    name: str, logits: NDArray[np.float32], mask: NDArray[np.bool_], threshold: float
) -> ImageMetrics:
    """Compare one image's logits with its mask.

    AUROC and AUPRC are not defined where the mask is empty or full; Dice and IoU are 1 where
    neither mask nor prediction marks anything. HD95 (pixels) and NSD are of the prediction at the
    stored threshold; `retq_hub.boundary` says when they are not defined.

    Args:
        name: The image.
        logits: (H, W).
        mask: (H, W).
        threshold: Probability from which on a pixel is marked, exclusive.
    """
    auprc, auroc = auprc_auroc(logits.ravel(), mask.ravel())
    marked = logits > np.log(threshold / (1 - threshold))
    half = dice_iou(logits > 0, mask)
    figures = (auroc, auprc, *dice_iou(marked, mask), *half, *hd95_nsd(marked, mask))
    return ImageMetrics(
        id=name, n_positive=int(mask.sum()), values=dict(zip(FIGURES, figures, strict=True))
    )


def auprc_auroc(scores: NDArray[np.float32], labels: NDArray[np.bool_]) -> tuple[float, float]:
    """Give average precision and the area under the ROC curve.

    Args:
        scores: (K,), higher means more likely positive.
        labels: (K,).

    Returns:
        AUPRC as average precision (a step at each distinct score) and AUROC; nan, nan where there
        are no positives or no negatives.
    """
    positives, negatives = np.sort(scores[labels]), np.sort(scores[~labels])
    P, N = positives.size, negatives.size
    if P == 0 or N == 0:
        return float("nan"), float("nan")
    below = np.searchsorted(negatives, positives, side="left")
    not_above = np.searchsorted(negatives, positives, side="right")
    auroc = (int(below.sum()) + int(not_above.sum())) / (2 * P * N)
    # Precision is read at each distinct score of a positive; other scores do not change recall.
    first = np.flatnonzero(np.append(True, positives[1:] != positives[:-1]))
    true = P - first
    false = N - below[first]
    steps = true - np.append(true[1:], 0)
    return float((steps * (true / (true + false))).sum() / P), auroc


def dice_iou(prediction: NDArray[np.bool_], mask: NDArray[np.bool_]) -> tuple[float, float]:
    """Give Dice coefficient and intersection over union; 1, 1 where both are empty."""
    both = int((prediction & mask).sum())
    total = int(prediction.sum()) + int(mask.sum())
    if total == 0:
        return 1.0, 1.0
    return 2 * both / total, both / (total - both)


def summarise(images: Sequence[ImageMetrics], *, seed: int = 0) -> dict[str, Interval]:
    """Give mean, minimum, maximum and a bootstrap interval over images for each metric.

    The interval is the 2.5 % to 97.5 % percentile of the mean over resamples of the images; images
    for which a metric is not defined do not count for it.

    Args:
        images: The images' figures.
        seed: Of the resampling.
    """
    summary = {}
    for metric in FIGURES:
        column = np.array([one.values.get(metric, np.nan) for one in images])
        values = column[~np.isnan(column)]
        if not values.size:
            continue
        summary[metric] = Interval(
            mean=_round(values.mean()),
            min=_round(values.min()),
            max=_round(values.max()),
            ci95=mean_interval(values, seed=seed),
        )
    return summary


def mean_interval(values: NDArray[np.float64], *, seed: int) -> tuple[float, float]:
    """Give the bootstrap interval of a mean: its 2.5 % and 97.5 % percentile over resamples.

    Args:
        values: (K,), at least one.
        seed: Of the resampling.
    """
    picks = np.random.default_rng(seed).integers(values.size, size=(_RESAMPLES, values.size))
    low, high = np.percentile(values[picks].mean(axis=1), [2.5, 97.5])
    return _round(low), _round(high)


def by_group(images: Sequence[ImageMetrics]) -> dict[str, dict[str, Interval]]:
    """Summarise the images of each camera or site; empty where no image names its own.

    Images that name none come under ``""``, last.
    """
    names = sorted({one.group for one in images}, key=lambda name: (not name, name))
    if names == [""]:
        return {}
    return {name: summarise([one for one in images if one.group == name]) for name in names}


def _round(value: float) -> float:
    """Six decimals: finer than any comparison, coarser than what libraries' versions change."""
    return round(float(value), 6)
