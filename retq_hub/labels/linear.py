"""Linear classifiers of images: a convex objective on (n, E) features, solved to its optimum.

The objective is the weighted mean of the images' losses plus an L2 term on the vectors; biases are
free. What E features of n images can say lies in at most n directions: fits are done there.

Axis letters: n images, E features, R vectors, B biases.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from retq_hub.fit import Standardisation
from retq_hub.labels.lbfgs import descend
from retq_hub.labels.likelihood import Likelihood

__all__ = ["Features", "Linear", "Solver", "balance"]

_STILL = 1e-5
_NONE = 1e-10


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A linear classifier.

    Attributes:
        vector: (R, E) float64.
        bias: (B,) float64; R is 1 where grades share a vector.
    """

    vector: Tensor
    bias: Tensor

    def scores(self, features: Tensor) -> Tensor:
        """Give the (n, B) scores of (n, E) features."""
        return features @ self.vector.T + self.bias


class Features:
    """Features of some images, standardised channel by channel.

    Args:
        raw: (n, E), any float type.
        standardise: Whether they are; else they are taken as they come.

    Attributes:
        values: (n, E) float64.
        scale: What was taken off and divided by.
    """

    def __init__(self, raw: Tensor, *, standardise: bool = True) -> None:
        raw = raw.double()
        mean, std = raw.mean(0), raw.std(0, correction=0)
        if not standardise:
            mean, std = torch.zeros_like(mean), torch.ones_like(std)
        still = std < _STILL * (mean.abs() + 1e-3)
        self.scale = Standardisation(mean=mean, std=std.masked_fill(still, float("inf")))
        self.values = (raw - mean) / self.scale.std

    def fold(self, fit: Linear) -> tuple[Tensor, Tensor]:
        """Give what a classifier of standardised features is on raw ones.

        Returns:
            Vectors (R, E) float32 and biases (B,) float32.
        """
        vector = fit.vector / self.scale.std
        return vector.float(), (fit.bias - vector @ self.scale.mean).float()


class Solver:
    """Fits classifiers to the same images with several L2 weights.

    Args:
        features: (n, E) float64.
        values: (n,) int64 classes, or (n, C) bool.
        likelihood: What they say of scores.
        weights: (n,) float64 weights of the images.
    """

    def __init__(
        self, features: Tensor, values: Tensor, *, likelihood: Likelihood, weights: Tensor
    ) -> None:
        self._middle = features.mean(0)
        left, sizes, right = torch.linalg.svd(features - self._middle, full_matrices=False)
        kept = sizes > _NONE * max(float(sizes.amax()), _NONE)
        self._left, self._sizes, self._right = left[:, kept], sizes[kept], right[kept]
        self._values, self._likelihood, self._weights = values, likelihood, weights

    def solve(self, l2: float) -> Linear:
        """Give the optimum for an L2 weight.

        Directions are stretched by what is known of their curvature, so that few steps are needed.
        """
        likelihood = self._likelihood
        stretch = (self._sizes.square() / (4 * len(self._left)) + 2 * l2).rsqrt()
        reduced = self._left * (self._sizes * stretch)
        moved = torch.zeros(likelihood.vectors, len(stretch), dtype=torch.float64)
        free = likelihood.free(self._values, self._weights)
        share = self._weights / self._weights.sum()

        def objective() -> Iterator[Tensor]:
            scores = reduced @ moved.T + likelihood.bias(free)
            penalty = l2 * (moved * stretch).square().sum()
            yield share @ likelihood.losses(scores, self._values) + penalty

        descend([moved, free], objective)
        vector = (moved * stretch) @ self._right
        return Linear(vector=vector, bias=likelihood.bias(free) - vector @ self._middle)


def balance(values: Tensor, classes: int) -> Tensor:
    """Give images weights by which all classes count the same, (n,) float64, of mean 1.

    Args:
        values: (n,) int64.
        classes: Number of classes, each of which some image shows.
    """
    counts = torch.bincount(values, minlength=classes).double()
    return (len(values) / (classes * counts))[values]
