"""Two queries on the same images: is the difference larger than chance between images?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from retq_hub.metrics import FIGURES, ImageMetrics, mean_interval

__all__ = ["Comparison", "Difference", "compare"]

_LESS_IS_BETTER = frozenset({"hd95"})


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One query's figure minus the other's, image by image.

    Attributes:
        n_images: Images on which it is defined for both.
        mean: Mean of the difference.
        ci95: 2.5 % to 97.5 % of that mean over resamples of the images, both queries on the same.
        wins: Images on which the first query is better.
        ties: Images on which they are equal.
        losses: Images on which the first query is worse.
    """

    n_images: int
    mean: float
    ci95: tuple[float, float]
    wins: int
    ties: int
    losses: int


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The differences of a query from another.

    Attributes:
        query: The other query, ``name@version``.
        threshold: Its stored threshold.
        differences: For each figure that is defined on some image for both.
    """

    query: str
    threshold: float
    differences: dict[str, Difference]


def compare(
    ours: Sequence[ImageMetrics], theirs: Sequence[ImageMetrics], *, seed: int = 0
) -> dict[str, Difference]:
    """Give the paired difference of each figure with its bootstrap interval.

    Args:
        ours: The first query's figures.
        theirs: The second query's figures of the same images, in the same order.
        seed: Of the resampling.

    Raises:
        ValueError: They are not of the same images.

    Source: Efron and Tibshirani, An introduction to the bootstrap, 1993, chapter 13 (percentile
    interval); resampling pairs keeps what is easy or hard for both.
    """
    if [one.id for one in ours] != [one.id for one in theirs]:
        raise ValueError("the figures are of other images")
    found = {}
    for name in FIGURES:
        column = np.array(
            [
                one.values.get(name, np.nan) - other.values.get(name, np.nan)
                for one, other in zip(ours, theirs, strict=True)
            ]
        )
        values = column[~np.isnan(column)]
        if values.size:
            found[name] = _difference(values, seed, sign=-1 if name in _LESS_IS_BETTER else 1)
    return found


def _difference(values: np.ndarray, seed: int, *, sign: int) -> Difference:
    return Difference(
        n_images=values.size,
        mean=round(float(values.mean()), 6),
        ci95=mean_interval(values, seed=seed),
        wins=int((sign * values > 0).sum()),
        ties=int((values == 0).sum()),
        losses=int((sign * values < 0).sum()),
    )
