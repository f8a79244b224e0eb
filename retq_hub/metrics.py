"""Figures of one image's prediction, and their mean, range and interval over images. No files.

AUROC and AUPRC are exact for the float32 scores they are given, ties included.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retq_hub.manifest import Interval

__all__ = ["METRICS", "ImageMetrics", "auprc_auroc", "dice_iou", "score", "summarise"]

METRICS = ("auroc", "auprc", "dice", "iou", "dice_at_0.5", "iou_at_0.5")

_RESAMPLES = 10_000


@dataclass(frozen=True, kw_only=True)
class ImageMetrics:
    """The figures of one image.

    Attributes:
        id: The image.
        n_positive: Marked pixels of its mask.
        values: A figure for each of `METRICS`; nan where it is not defined.
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
    neither mask nor prediction marks anything.

    Args:
        name: The image.
        logits: (H, W).
        mask: (H, W).
        threshold: Probability from which on a pixel is marked, exclusive.
    """
    auprc, auroc = auprc_auroc(logits.ravel(), mask.ravel())
    stored = dice_iou(logits > np.log(threshold / (1 - threshold)), mask)
    half = dice_iou(logits > 0, mask)
    figures = (auroc, auprc, *stored, *half)
    return ImageMetrics(
        id=name, n_positive=int(mask.sum()), values=dict(zip(METRICS, figures, strict=True))
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
    positives = int(labels.sum())
    negatives = labels.size - positives
    if positives == 0 or negatives == 0:
        return float("nan"), float("nan")
    order = np.argsort(scores)[::-1]
    ranked = scores[order]
    last = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), ranked.size - 1)
    true = np.cumsum(labels[order])[last].astype(np.float64)
    false = last + 1 - true
    steps = np.diff(true, prepend=0)
    auprc = float((steps * true / (last + 1)).sum() / positives)
    area = np.trapezoid(np.append(0, true), np.append(0, false))
    return auprc, float(area / positives / negatives)


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
    for metric in METRICS:
        column = np.array([one.values[metric] for one in images])
        values = column[~np.isnan(column)]
        if not values.size:
            continue
        picks = np.random.default_rng(seed).integers(values.size, size=(_RESAMPLES, values.size))
        low, high = np.percentile(values[picks].mean(axis=1), [2.5, 97.5])
        summary[metric] = Interval(
            mean=_round(values.mean()),
            min=_round(values.min()),
            max=_round(values.max()),
            ci95=(_round(low), _round(high)),
        )
    return summary


def _round(value: float) -> float:
    """Six decimals: finer than any comparison, coarser than what libraries' versions change."""
    return round(float(value), 6)
