"""All pixels of a split together: ranked, counted and compared with their probabilities.

Images come one at a time and the memory does not grow with their number. A logit is counted in one
of 2^20 bins: 1/16384 wide between -24 and 24, wider and wider beyond. Of the first million pixels
the logits are kept too, so that the areas of a small split are exact.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retq_hub.metrics import auprc_auroc

__all__ = ["CurvePoint", "PixelCounts", "Pooled", "ReliabilityBin"]

_EVEN, _LIMIT = 24, 32
"""Logits up to the first are counted evenly, those beyond are drawn together below the second."""

_PER_UNIT = 2**14
_BINS = 2 * _LIMIT * _PER_UNIT
_KEPT = 2**20


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """One point of a precision-recall curve.

    Attributes:
        threshold: Probability from which on a pixel is marked, inclusive.
        precision: Share of the marked pixels that are positive.
        recall: Share of the positive pixels that are marked.
    """

    threshold: float
    precision: float
    recall: float


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """The pixels whose probability lies in one interval.

    Attributes:
        n_pixels: How many.
        probability: Their mean probability.
        observed: The share of them that is positive.
    """

    n_pixels: int
    probability: float
    observed: float


@dataclass(frozen=True, kw_only=True)
class Pooled:
    """Figures over all pixels of a split, whichever image they are of.

    Attributes:
        n_pixels: All pixels.
        n_positive: Those that the masks mark.
        auroc: Area under the ROC curve.
        auprc: Average precision.
        calibration_error: Expected calibration error.
        precision_recall: The curve by rising recall.
        reliability: Probabilities and how often they came true.
        ci95: Intervals of ``auprc`` and ``auroc``, where images were resampled.
    """

    n_pixels: int
    n_positive: int
    auroc: float
    auprc: float
    calibration_error: float
    precision_recall: tuple[CurvePoint, ...]
    reliability: tuple[ReliabilityBin, ...]
    ci95: dict[str, tuple[float, float]] | None = None


class PixelCounts:
    """Counts of pixels by logit and label, of any number of images.

    Attributes:
        n_pixels: All pixels so far.
        n_positive: Those that the masks mark.
    """

    def __init__(self) -> None:
        self._all = np.zeros(_BINS, dtype=np.int64)
        self._positive = np.zeros(_BINS, dtype=np.int64)
        self._kept: list[tuple[NDArray[np.float32], NDArray[np.bool_]]] | None = []
        self.n_pixels = 0
        self.n_positive = 0

    def add(self, logits: NDArray[np.float32], mask: NDArray[np.bool_]) -> None:
        """Count the pixels of an image.

        Args:
            logits: Any shape, finite.
            mask: The same shape.
        """
        scores, labels = logits.ravel(), mask.ravel()
        bins = ((_drawn_together(scores) + _LIMIT) * _PER_UNIT).astype(np.int32)
        lowest = int(bins.min())
        bins -= lowest
        for counts, found in ((self._all, bins), (self._positive, bins[labels])):
            new = np.bincount(found)
            counts[lowest : lowest + new.size] += new
        self._count(labels.size, int(labels.sum()), [(scores.copy(), labels.copy())])

    def merge(self, other: "PixelCounts") -> None:
        """Take over what another object has counted."""
        self._all += other._all
        self._positive += other._positive
        self._count(other.n_pixels, other.n_positive, other._kept)

    def summary(self) -> Pooled:
        """Give all figures; there must be positive pixels and others."""
        auprc, auroc = self.areas
        return Pooled(
            n_pixels=self.n_pixels,
            n_positive=self.n_positive,
            auroc=auroc,
            auprc=auprc,
            calibration_error=self.calibration_error,
            precision_recall=self.precision_recall(),
            reliability=self.reliability(),
        )

    @property
    def areas(self) -> tuple[float, float]:
        """AUPRC (average precision) and AUROC over all pixels; nan, nan for one class only.

        Up to a million pixels both are exact. Beyond, pixels of one bin count as half before and
        half after each other in AUROC, which is exact for the binned logits. AUPRC is linear in the
        width of the bins as long as that is small, so it is extrapolated from bins of one and two
        widths to none; equal logits stay equal. Both then agree with sorting all pixels to better
        than 1e-6, as ``benchmarks/streaming_metrics.py`` and the tests measure.
        """
        if self._kept is not None and self.n_pixels:
            scores, labels = (np.concatenate(part) for part in zip(*self._kept, strict=True))
            return auprc_auroc(scores, labels)
        if not 0 < self.n_positive < self.n_pixels:
            return float("nan"), float("nan")
        low, high = self._occupied
        counts, positive = self._all[low:high], self._positive[low:high]
        fine = _average_precision(counts, positive)
        coarse = [
            _average_precision(_paired(counts, start), _paired(positive, start)) for start in (0, 1)
        ]
        return min(1.0, 2 * fine - sum(coarse) / 2), _auroc(counts, positive)

    def precision_recall(self, n_points: int = 200) -> tuple[CurvePoint, ...]:
        """Give the precision-recall curve, at thresholds that spread over its recall.

        Args:
            n_points: At most so many points.

        Returns:
            The points by rising recall; none where no pixel is positive.
        """
        filled = np.flatnonzero(self._all)[::-1]
        true, marked = np.cumsum(self._positive[filled]), np.cumsum(self._all[filled])
        if not self.n_positive:
            return ()
        wanted = np.linspace(0, self.n_positive, n_points + 1)[1:]
        return tuple(
            CurvePoint(
                threshold=float(_probability(filled[at], 0)),
                precision=float(true[at] / marked[at]),
                recall=float(true[at] / self.n_positive),
            )
            for at in np.unique(np.searchsorted(true, wanted))
        )

    def reliability(self, n_bins: int = 15) -> tuple[ReliabilityBin, ...]:
        """Compare probabilities with how often they come true, in bins of equal width.

        Args:
            n_bins: Into so many intervals [0, 1] is cut; those without pixels are left out.

        Source: Guo et al., On calibration of modern neural networks, ICML 2017 (15 bins).
        """
        filled = np.flatnonzero(self._all)
        probability = _probability(filled, 0.5)
        bins = np.minimum((probability * n_bins).astype(np.intp), n_bins - 1)
        total, positive, mass = (
            np.bincount(bins, weights=weights, minlength=n_bins)
            for weights in (
                self._all[filled],
                self._positive[filled],
                self._all[filled] * probability,
            )
        )
        return tuple(
            ReliabilityBin(
                n_pixels=int(total[at]),
                probability=float(mass[at] / total[at]),
                observed=float(positive[at] / total[at]),
            )
            for at in np.flatnonzero(total)
        )

    @property
    def calibration_error(self) -> float:
        """Expected calibration error: mean difference of probability and observed share, by pixel.

        Source: Naeini et al., AAAI 2015; over the bins of `reliability`.
        """
        gaps = [one.n_pixels * abs(one.probability - one.observed) for one in self.reliability()]
        return float(sum(gaps) / self.n_pixels)

    @property
    def _occupied(self) -> tuple[int, int]:
        filled = np.flatnonzero(self._all)
        return int(filled[0]), int(filled[-1]) + 1

    def _count(
        self,
        n_pixels: int,
        n_positive: int,
        kept: list[tuple[NDArray[np.float32], NDArray[np.bool_]]] | None,
    ) -> None:
        self.n_pixels += n_pixels
        self.n_positive += n_positive
        if self._kept is None or kept is None or self.n_pixels > _KEPT:
            self._kept = None
        else:
            self._kept.extend(kept)


def _drawn_together(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring all logits below the limit, in order; nearly all of them stay as they are."""
    if np.abs(logits).max() <= _EVEN:
        return logits
    drawn = logits.copy()
    far = np.abs(logits) > _EVEN
    beyond = 1 - _EVEN / np.abs(logits[far]).astype(np.float64)
    # Just below the limit, so that an infinite logit has a bin.
    size = _EVEN + (_LIMIT - _EVEN - 1 / _PER_UNIT) * beyond
    drawn[far] = np.copysign(size, logits[far])
    return drawn


def _probability(bins: NDArray[np.intp], offset: float) -> NDArray[np.float64]:
    """The probability at a place within bins: 0 the lower edge, 1 the upper.

    Beyond the even part it is 0 or 1 to ten digits, wherever exactly the logit was.
    """
    return np.asarray(1 / (1 + np.exp(_LIMIT - (bins + offset) / _PER_UNIT)))


def _paired(counts: NDArray[np.int64], start: int) -> NDArray[np.int64]:
    """Sum neighbours two by two, from the first or the second on."""
    padded = np.pad(counts, (start, (counts.size + start) % 2))
    return np.asarray(padded.reshape(-1, 2).sum(axis=1))


def _average_precision(counts: NDArray[np.int64], positive: NDArray[np.int64]) -> float:
    """Average precision with a step at each bin; (K,) each, by rising logit."""
    true, marked = np.cumsum(positive[::-1]), np.cumsum(counts[::-1])
    precision = true / np.maximum(marked, 1)
    return float((positive[::-1] * precision).sum() / true[-1])


def _auroc(counts: NDArray[np.int64], positive: NDArray[np.int64]) -> float:
    """Share of pairs in the right order, pairs within a bin by half; (K,) each, by rising logit."""
    negative = counts - positive
    below = np.cumsum(negative) - negative / 2
    return float((positive * below).sum() / positive.sum() / negative.sum())
