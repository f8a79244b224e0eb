"""Thresholds and calibration from held-out predictions: what a probability of 0.5 shall mean.

Pixels are counted in bins of their logits, so that any number of images takes the same memory.

* Platt scaling makes probabilities frequencies: of all pixels at 0.3, three in ten are marked.
* Isotonic regression does so with any monotone curve.
* Prior correction does the first, then moves the odds by the factor that puts the best threshold at
  0.5, as if the target were so much less rare: what is above 0.5 is marked, but probabilities are
  no frequencies any more.

A frequency does not make 0.5 the best threshold: for Dice that is half of the Dice that can be
reached (Lipton, Elkan, Naryanaswamy, Thresholding Classifiers to Maximize F1, 2014).

Axis letters: n images, K bins, S pixels a side.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from retq_hub import heads
from retq_hub.manifest import Calibration, Head

__all__ = ["LEVELS", "Counts", "best_level", "calibrate", "isotonic", "overlap_curve", "platt"]

LEVELS = 200
"""Thresholds are chosen among 1/200, 2/200, ..., 199/200."""

_BINS = 4000
_SPAN = 20.0
_KNOTS = 32
_LEAST_SCALE = 0.01


def overlap_curve(logits: Tensor, mask: Tensor, measure: str) -> Tensor:
    """Give one image's Dice or IoU by threshold.

    An image without the target counts 1 where nothing is marked, 0 elsewhere.

    Args:
        logits: (S, S) float32.
        mask: (S, S) bool.
        measure: ``dice`` or ``iou``.

    Returns:
        (199,) float64, at the thresholds 1/200, 2/200, ..., 199/200.
    """
    level = (logits.sigmoid() * LEVELS).long().clamp_(max=LEVELS - 1).ravel()
    marked = torch.bincount(level, minlength=LEVELS).flip(0).cumsum(0).flip(0)[1:]
    hits = torch.bincount(level[mask.ravel()], minlength=LEVELS).flip(0).cumsum(0).flip(0)[1:]
    total = marked + int(mask.sum())
    dice = torch.where(total == 0, 1.0, 2 * hits / total.clamp(min=1)).double()
    return dice if measure == "dice" else dice / (2 - dice)


def best_level(curves: Tensor) -> int:
    """Give the threshold with the highest mean, the worst tenth of the images left out.

    A few images on which the query fails altogether would else pull the threshold to where they
    gain a little.

    Args:
        curves: (n, 199) by image and threshold.

    Returns:
        Its position, from 0.
    """
    kept = curves.sort(dim=0).values[len(curves) // 10 :]
    return int(kept.mean(0).argmax())


@dataclass(frozen=True)
class Counts:
    """How many pixels have which logit, and how many of them are marked or should be.

    Attributes:
        all: (K,) float64.
        marked: (K,) float64.
    """

    all: NDArray[np.float64]
    marked: NDArray[np.float64]

    @classmethod
    def none(cls) -> "Counts":
        """Begin with no pixel."""
        return cls(np.zeros(_BINS), np.zeros(_BINS))

    def add(self, logits: Tensor, mask: Tensor) -> None:
        """Count the pixels of an image.

        Args:
            logits: (S, S) float32.
            mask: (S, S) bool, or floats 0-1: how likely each pixel is marked.
        """
        place = ((logits + _SPAN) * (_BINS / (2 * _SPAN))).long().clamp_(0, _BINS - 1).ravel()
        self.all[:] += torch.bincount(place, minlength=_BINS).numpy()
        weights = mask.ravel().double()
        self.marked[:] += torch.bincount(place, weights, minlength=_BINS).numpy()

    @classmethod
    def of(cls, logits: Sequence[Tensor], masks: Sequence[Tensor]) -> "Counts":
        """Count the pixels of some images, see `add`."""
        counts = cls.none()
        for one, mask in zip(logits, masks, strict=True):
            counts.add(one, mask)
        return counts

    @property
    def logits(self) -> NDArray[np.float64]:
        """The middle of each bin."""
        places = np.arange(_BINS, dtype=np.float64) + 0.5
        return places * (2 * _SPAN / _BINS) - _SPAN

    def error(self, calibrated: NDArray[np.float64], *, bins: int = 15) -> float:
        """Give the expected calibration error of calibrated logits, (K,), one a bin.

        The mean distance of probability and frequency over equally wide bins of probability,
        weighted by their pixels.

        Source: Naeini, Cooper, Hauskrecht, Obtaining Well Calibrated Probabilities, 2015.
        """
        p = _sigmoid(calibrated)
        group = np.minimum((p * bins).astype(int), bins - 1)
        total = np.bincount(group, self.all, bins)
        distance = np.bincount(group, self.all * p, bins) - np.bincount(group, self.marked, bins)
        return float(np.abs(distance).sum() / total.sum())


def platt(counts: Counts) -> tuple[float, float]:
    """Fit scale and offset of the logits by logistic regression, Newton's method.

    Labels are drawn in by what one more pixel of each kind would change, so that the scale stays
    finite where the logits tell marked from unmarked without a fault. It stays positive where they
    tell nothing, or the contrary: calibration never changes the order of pixels.

    Source: Platt, Probabilistic Outputs for Support Vector Machines, 1999.
    """
    z, total, n_marked = counts.logits, counts.all.sum(), counts.marked.sum()
    high, low = (n_marked + 1) / (n_marked + 2), 1 / (total - n_marked + 2)
    labels = counts.marked * high + (counts.all - counts.marked) * low
    features = np.stack([z, np.ones_like(z)])
    theta = np.array([1.0, 0.0])
    for _ in range(50):
        p = _sigmoid(theta @ features)
        slope = features @ (counts.all * p - labels) / total
        weights = counts.all * p * (1 - p) / total
        step = np.linalg.solve((features * weights) @ features.T + 1e-9 * np.eye(2), slope)
        theta -= step * min(1.0, 1 / max(1e-9, float(np.abs(step).max())))
        if np.abs(step).max() < 1e-9:
            break
    if theta[0] < _LEAST_SCALE:
        return _LEAST_SCALE, float(np.log((n_marked + 1) / (total - n_marked + 1)))
    return float(theta[0]), float(theta[1])


def isotonic(counts: Counts) -> tuple[tuple[float, float], ...]:
    """Fit a curve that never falls from logits to calibrated logits.

    Returns:
        At most 32 pairs of logit and calibrated logit, both rising strictly.

    Source: Zadrozny, Elkan, Transforming Classifier Scores, 2002.
    """
    from scipy.optimize import isotonic_regression

    seen = counts.all > 0
    z, weights = counts.logits[seen], counts.all[seen]
    share = (counts.marked[seen] + 0.5 * 1e-3) / (weights + 1e-3)
    fitted = np.asarray(isotonic_regression(share, weights=weights).x)
    steps = np.flatnonzero(np.diff(fitted) > 0)
    starts, ends = np.append(0, steps + 1), np.append(steps, len(z) - 1)
    middle = (z[starts] + z[ends]) / 2
    level = np.clip(fitted[starts], 1e-6, 1 - 1e-6)
    calibrated = np.log(level / (1 - level))
    kept = np.unique(np.linspace(0, len(middle) - 1, min(_KNOTS, len(middle))).round().astype(int))
    pairs = [(float(middle[one]), float(calibrated[one])) for one in kept]
    rising = [pairs[0]]
    for pair in pairs[1:]:
        if pair[1] > rising[-1][1]:
            rising.append(pair)
    if len(rising) == 1:
        rising.append((rising[0][0] + 1, rising[0][1] + 1e-6))
    return tuple(rising)


def calibrate(head: Head, counts: Sequence[Counts], method: str) -> Head:
    """Calibrate a head on the held-out pixels of each target; the thresholds move along.

    The calibration error is that on the very predictions that it was fitted to.

    Args:
        head: The head without calibration.
        counts: Held-out logits of each target.
        method: ``platt``, ``isotonic`` or ``prior``.
    """
    cuts = [float(np.log(one / (1 - one))) for one in head.thresholds]
    before = _rounded(one.error(one.logits) for one in counts)
    if method == "isotonic":
        found = Calibration(
            method=method,
            ece=(),
            ece_before=before,
            knots=tuple(isotonic(one) for one in counts),
        )
        curves = _applied(found, [one.logits for one in counts])
        errors = [one.error(curve) for one, curve in zip(counts, curves, strict=True)]
        moved = [float(one[0]) for one in _applied(found, [np.array([cut]) for cut in cuts])]
        return _moved(head, replace(found, ece=_rounded(errors)), moved)
    lines = [platt(one) for one in counts]
    moved = [scale * cut + offset for (scale, offset), cut in zip(lines, cuts, strict=True)]
    shifts = [-cut if method == "prior" else 0.0 for cut in moved]
    offsets = [offset + shift for (_, offset), shift in zip(lines, shifts, strict=True)]
    found = Calibration(
        method=method,
        ece=_rounded(
            one.error(scale * one.logits + offset)
            for one, (scale, _), offset in zip(counts, lines, offsets, strict=True)
        ),
        ece_before=before,
        scale=_rounded(scale for scale, _ in lines),
        offset=_rounded(offsets),
        shift=_rounded(shifts) if method == "prior" else None,
    )
    return _moved(head, found, [cut + shift for cut, shift in zip(moved, shifts, strict=True)])


def _applied(
    calibration: Calibration, logits: Sequence[NDArray[np.float64]]
) -> list[NDArray[np.float64]]:
    """Calibrate each target's logits, (K,)."""
    maps = torch.from_numpy(np.stack(logits)).float()[:, None]
    return list(heads.calibrate(calibration, maps)[:, 0].double().numpy())


def _moved(head: Head, calibration: Calibration, cuts: Sequence[float]) -> Head:
    thresholds = _sigmoid(np.clip(cuts, -13, 13)).tolist()
    return replace(head, calibration=calibration, thresholds=_rounded(thresholds))


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((1 + np.tanh(logits / 2)) / 2)


def _rounded(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(round(float(value), 6) for value in values)
