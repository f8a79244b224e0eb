"""How far figures over all pixels would move with other images of the same kind.

Each image keeps coarse counts of its logits, so that a split drawn anew is a sum of them. Coarse
bins shift an area a little, but hardly how it moves: only the movement is used.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["area_intervals", "coarse_counts"]

_LIMIT = 16
_PER_UNIT = 64
_RESAMPLES = 1000


def coarse_counts(logits: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count an image's pixels by logit.

    Args:
        logits: Any shape.
        mask: The same shape.

    Returns:
        (2, K): all pixels and those that the mask marks, by rising logit.
    """
    bins = np.clip(logits.ravel(), -_LIMIT, _LIMIT - 1 / _PER_UNIT)
    bins = ((bins + _LIMIT) * _PER_UNIT).astype(np.int32)
    size = 2 * _LIMIT * _PER_UNIT
    return np.stack([np.bincount(one, minlength=size) for one in (bins, bins[mask.ravel()])])


def area_intervals(
    images: Sequence[NDArray[np.int64]], *, auprc: float, auroc: float, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Give bootstrap intervals of the areas over all pixels, resampling images.

    Args:
        images: What `coarse_counts` gives for each.
        auprc: The area itself, about which the interval lies.
        auroc: Likewise.
        seed: Of the resampling.

    Returns:
        2.5 % and 97.5 % for ``auprc`` and ``auroc``, within [0, 1].
    """
    n = len(images)
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=_RESAMPLES)
    every = np.stack(images).astype(np.float64)
    drawn = np.einsum("rn,nck->crk", np.vstack([np.ones(n), weights]), every)
    total, positive = drawn[:, :, ::-1]
    return {
        name: _about(area, areas)
        for name, area, areas in (
            ("auprc", auprc, _average_precision(total, positive)),
            ("auroc", auroc, _auroc(total, positive)),
        )
    }


def _about(area: float, areas: NDArray[np.float64]) -> tuple[float, float]:
    """The first of the areas is that of the images as they are."""
    moved = areas[1:] - areas[0]
    low, high = np.clip(area + np.percentile(moved[np.isfinite(moved)], [2.5, 97.5]), 0, 1)
    return float(low), float(high)


def _average_precision(
    total: NDArray[np.float64], positive: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(R,) from (R, K) each, by falling logit; nan without positives."""
    true = np.cumsum(positive, axis=1)
    precision = true / np.maximum(np.cumsum(total, axis=1), 1)
    return _share((positive * precision).sum(axis=1), true[:, -1])


def _auroc(total: NDArray[np.float64], positive: NDArray[np.float64]) -> NDArray[np.float64]:
    """(R,) from (R, K) each, by falling logit; nan without positives or without others."""
    negative = total - positive
    above = np.cumsum(negative, axis=1)
    below = above[:, -1:] - above + negative / 2
    pairs = positive.sum(axis=1) * above[:, -1]
    return _share((positive * below).sum(axis=1), pairs)


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
