"""How many of the separate places of a mask are found, and at how many false marks an image.

A lesion is a connected component of the mask (8 neighbours). A candidate is a place where the
logits are highest within a small square; it has one score. A candidate finds the lesion nearest to
it if that is within the square's half side, otherwise it is a false positive; a lesion may be found
several times and counts once. A region that runs over many lesions has one peak and so finds one:
lowering the threshold until all merges does not look like finding everything, as it would if
touching were enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, label, maximum_filter

__all__ = ["RATES", "Froc", "FrocPoint", "ImageLesions", "detect", "froc"]

RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False positives per image at which sensitivity is read.

Source: Niemeijer et al., Retinopathy online challenge, IEEE Trans Med Imaging 2010.
"""

_RESAMPLES = 1000
_RADIUS_PX = 3
_REFERENCE_PX = 392
_EIGHT = np.ones((3, 3), dtype=np.bool_)


@dataclass(frozen=True, kw_only=True)
class ImageLesions:
    """What became of the lesions of one image.

    Attributes:
        found: (L,) float32, for each lesion the highest logit of a candidate that finds it; -inf
            where none does.
        false: (K,) float32, the logits of the candidates that find no lesion.
        n_touched: Lesions with at least one pixel marked at the stored threshold.
        n_false_regions: Components marked at the stored threshold that touch no lesion.
    """

    found: NDArray[np.float32]
    false: NDArray[np.float32]
    n_touched: int
    n_false_regions: int


@dataclass(frozen=True, kw_only=True)
class FrocPoint:
    """One point of a FROC curve.

    Attributes:
        threshold: Probability from which on candidates count, inclusive.
        false_per_image: False positives, on average over all images.
        sensitivity: Share of all lesions that are found.
    """

    threshold: float
    false_per_image: float
    sensitivity: float


@dataclass(frozen=True, kw_only=True)
class Froc:
    """Free-response ROC: sensitivity for lesions against false positives per image.

    Attributes:
        n_images: Images, those without lesions included.
        n_lesions: Lesions of all images.
        points: The curve by falling threshold.
        sensitivities: Sensitivity at each of `RATES`, the highest at no more false positives.
        mean_sensitivity: Their mean.
        ci95: 2.5 % to 97.5 % of that mean over resamples of the images.
        touched: Share of lesions with a pixel marked at the stored threshold.
        false_regions: Marked components per image that touch no lesion, at the stored threshold.
    """

    n_images: int
    n_lesions: int
    points: tuple[FrocPoint, ...]
    sensitivities: tuple[float, ...]
    mean_sensitivity: float
    ci95: tuple[float, float]
    touched: float
    false_regions: float


def detect(logits: NDArray[np.float32], mask: NDArray[np.bool_], threshold: float) -> ImageLesions:
    """Compare the peaks of one image's logits, and what they mark, with its lesions.

    Args:
        logits: (S, S).
        mask: (S, S).
        threshold: The stored one, a probability.
    """
    lesions, n_lesions = label(mask, _EIGHT)
    marked = logits > np.log(threshold / (1 - threshold))
    touched = np.unique(lesions[marked & mask])
    regions, n_regions = label(marked, _EIGHT)
    rows, columns = _peaks(logits)
    hit = _nearest(lesions, rows, columns)
    scores = logits[rows, columns]
    found = np.full(n_lesions + 1, -np.inf, dtype=np.float32)
    np.maximum.at(found, hit, scores)
    return ImageLesions(
        found=found[1:],
        false=scores[hit == 0],
        n_touched=touched.size,
        n_false_regions=n_regions - np.unique(regions[marked & mask]).size,
    )


def froc(images: Sequence[ImageLesions], n_points: int = 200, *, seed: int = 0) -> Froc:
    """Put the lesions of all images together.

    Args:
        images: At least one, with a lesion on one of them.
        n_points: At most so many points are kept of the curve.
        seed: Of the resampling.

    Source: Niemeijer et al., Retinopathy online challenge, IEEE Trans Med Imaging 2010 (the rates
    and their mean); Ehteshami Bejnordi et al., JAMA 2017 (candidates with one score each).
    """
    n_lesions = sum(one.found.size for one in images)
    scores, rates, shares = _curve(images)
    at_rates = _at_rates(rates, shares)
    low, high = np.percentile(_resampled(images, seed), [2.5, 97.5])
    return Froc(
        n_images=len(images),
        n_lesions=n_lesions,
        points=_thinned(scores, rates, shares, n_points),
        sensitivities=tuple(at_rates),
        mean_sensitivity=float(np.mean(at_rates)),
        ci95=(float(low), float(high)),
        touched=sum(one.n_touched for one in images) / n_lesions,
        false_regions=sum(one.n_false_regions for one in images) / len(images),
    )


def _curve(
    images: Sequence[ImageLesions],
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Scores by falling value, with false positives per image and sensitivity from each on."""
    found = np.concatenate([one.found for one in images])
    false = np.sort(np.concatenate([one.false for one in images]))[::-1]
    reached = np.sort(found[np.isfinite(found)])[::-1]
    scores = np.unique(np.concatenate([reached, false]))[::-1]
    rates = np.searchsorted(-false, -scores, side="right") / len(images)
    shares = np.searchsorted(-reached, -scores, side="right") / found.size
    return scores, rates, shares


def _at_rates(rates: NDArray[np.float64], shares: NDArray[np.float64]) -> list[float]:
    return [float(shares[rates <= rate].max(initial=0)) for rate in RATES]


def _resampled(images: Sequence[ImageLesions], seed: int) -> list[float]:
    """Mean sensitivities of images drawn anew; draws without any lesion do not count."""
    picks = np.random.default_rng(seed).integers(len(images), size=(_RESAMPLES, len(images)))
    drawn = [[images[number] for number in row] for row in picks]
    return [
        float(np.mean(_at_rates(*_curve(one)[1:])))
        for one in drawn
        if any(image.found.size for image in one)
    ]


def _peaks(logits: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the candidates; of a flat top that holds together, its first pixel."""
    side = 2 * _radius(logits.shape[-1]) + 1
    tops, count = label(logits == maximum_filter(logits, size=side), _EIGHT)
    flat = tops.ravel()
    places = np.flatnonzero(flat)
    _, first = np.unique(flat[places], return_index=True)
    assert first.size == count, "every top has a first pixel"
    rows, columns = np.divmod(places[first], logits.shape[-1])
    return rows, columns


def _nearest(
    lesions: NDArray[np.signedinteger[Any]], rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> NDArray[np.intp]:
    """(K,) the number of the lesion that each candidate finds; 0 where there is none near."""
    if not lesions.any():
        return np.zeros(rows.size, dtype=np.intp)
    distance, (row, column) = distance_transform_edt(lesions == 0, return_indices=True)
    nearest = lesions[row, column][rows, columns]
    near = distance[rows, columns] <= _radius(lesions.shape[-1])
    return np.where(near, nearest, 0).astype(np.intp)


def _radius(size_px: int) -> int:
    """Three pixels of the 392 px square, 0.1 mm on a photograph of 50 degrees."""
    return max(1, round(_RADIUS_PX * size_px / _REFERENCE_PX))


def _thinned(
    scores: NDArray[np.float32],
    rates: NDArray[np.float64],
    shares: NDArray[np.float64],
    n_points: int,
) -> tuple[FrocPoint, ...]:
    """Keep points up to the largest rate, half of them spread over rates and half over shares."""
    last = int(np.searchsorted(rates, RATES[-1], side="right"))
    half = n_points // 2
    kept = np.unique(
        np.concatenate(
            [
                np.searchsorted(rates[:last], np.geomspace(RATES[0] / 2, RATES[-1], half)),
                np.searchsorted(shares[:last], np.linspace(0, shares[:last].max(initial=0), half)),
            ]
        )
    )
    return tuple(
        FrocPoint(
            threshold=float(1 / (1 + np.exp(-np.float64(scores[at])))),
            false_per_image=float(rates[at]),
            sensitivity=float(shares[at]),
        )
        for at in kept[kept < last]
    )
