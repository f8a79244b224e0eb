"""What the labels of images say of scores: classes, several labels at once, grades in order.

Each likelihood is convex in vectors and biases. Tensors only.

Axis letters: n images, K classes, C targets, B biases.

Source: McCullagh, Regression models for ordinal data, 1980, section 2 (proportional odds).
"""

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Independent", "Likelihood", "Multinomial", "Proportional", "likelihood_of"]

_EDGE = 1e-9


class Likelihood(Protocol):
    """How likely labels are, given the scores of their images."""

    @property
    def vectors(self) -> int:
        """Number of vectors that are learned."""
        ...

    @property
    def text(self) -> str:
        """What is minimised, in words."""
        ...

    def free(self, values: Tensor, weights: Tensor) -> Tensor:
        """Give the free parameters of the biases that fit best where all vectors are zero.

        Args:
            values: (n,) int64 classes, or (n, C) bool.
            weights: (n,) float64 weights of the images.

        Returns:
            (B,) float64.
        """
        ...

    def bias(self, free: Tensor) -> Tensor:
        """Make biases of their free parameters, (B,) both."""
        ...

    def free_of(self, bias: Tensor) -> Tensor:
        """Give the free parameters of biases, (B,) both."""
        ...

    def losses(self, scores: Tensor, values: Tensor) -> Tensor:
        """Give each image's negative log likelihood.

        Args:
            scores: (n, B), bias included.
            values: (n,) int64 classes, or (n, C) bool.

        Returns:
            (n,).
        """
        ...


@dataclass(frozen=True)
class Multinomial:
    """One of K classes: softmax.

    Attributes:
        classes: K.
    """

    classes: int

    @property
    def vectors(self) -> int:
        """One a class."""
        return self.classes

    @property
    def text(self) -> str:
        """What is minimised, in words."""
        return "multinomial log loss"

    def free(self, values: Tensor, weights: Tensor) -> Tensor:
        """Give the logarithms of the classes' shares, their mean taken off."""
        logarithms = _shares(values, weights, self.classes).log()
        return logarithms - logarithms.mean()

    def bias(self, free: Tensor) -> Tensor:
        """Give them as they are."""
        return free

    def free_of(self, bias: Tensor) -> Tensor:
        """Give them as they are."""
        return bias

    def losses(self, scores: Tensor, values: Tensor) -> Tensor:
        """Give each image's cross-entropy, (n,)."""
        return F.cross_entropy(scores, values, reduction="none")


@dataclass(frozen=True)
class Independent:
    """C labels that do not exclude each other: a sigmoid each.

    Attributes:
        targets: C.
    """

    targets: int

    @property
    def vectors(self) -> int:
        """One a target."""
        return self.targets

    @property
    def text(self) -> str:
        """What is minimised, in words."""
        return "binary log loss, summed over targets"

    def free(self, values: Tensor, weights: Tensor) -> Tensor:
        """Give the log odds of each target."""
        share = (weights @ values.to(weights.dtype)) / weights.sum()
        return torch.logit(share.clamp(_EDGE, 1 - _EDGE))

    def bias(self, free: Tensor) -> Tensor:
        """Give them as they are."""
        return free

    def free_of(self, bias: Tensor) -> Tensor:
        """Give them as they are."""
        return bias

    def losses(self, scores: Tensor, values: Tensor) -> Tensor:
        """Give each image's binary cross-entropy, summed over targets, (n,)."""
        found = F.binary_cross_entropy_with_logits(
            scores, values.to(scores.dtype), reduction="none"
        )
        return found.sum(1)


@dataclass(frozen=True)
class Proportional:
    """K grades in order: one vector, and K - 1 cuts, scores of being above each of them.

    The free parameters are the highest bias and the logarithms of the steps down from it, so that
    biases cannot change places.

    Attributes:
        classes: K.
    """

    classes: int

    @property
    def vectors(self) -> int:
        """One for all grades."""
        return 1

    @property
    def text(self) -> str:
        """What is minimised, in words."""
        return "proportional-odds log loss"

    def free(self, values: Tensor, weights: Tensor) -> Tensor:
        """Give what makes the cuts' log odds those of the labels."""
        below = _shares(values, weights, self.classes).cumsum(0)[:-1]
        return self.free_of(torch.logit(1 - below.clamp(_EDGE, 1 - _EDGE)))

    def bias(self, free: Tensor) -> Tensor:
        """Go down from the highest bias, step by step."""
        return free[0] - torch.cat([torch.zeros_like(free[:1]), free[1:].exp().cumsum(0)])

    def free_of(self, bias: Tensor) -> Tensor:
        """Give the highest bias and the logarithms of the steps down from it."""
        return torch.cat([bias[:1], (bias[:-1] - bias[1:]).clamp(min=_EDGE).log()])

    def losses(self, scores: Tensor, values: Tensor) -> Tensor:
        """Give each image's negative logarithm of the probability between its grade's two cuts.

        Between a higher and a lower score, ``sigmoid(s) - sigmoid(t)`` is ``sigmoid(s) sigmoid(-t)
        (1 - exp(t - s))``, which loses no digits.
        """
        above = F.softplus(-scores)
        below = F.softplus(scores)
        nothing = torch.zeros_like(scores[:, :1])
        gaps = -torch.log(-torch.expm1(scores[:, 1:] - scores[:, :-1]))
        between = torch.cat([nothing, gaps, nothing], dim=1)
        all_grades = (
            torch.cat([nothing, above], dim=1) + torch.cat([below, nothing], dim=1) + between
        )
        return all_grades.gather(1, values[:, None])[:, 0]


def likelihood_of(scale: str, targets: int) -> Likelihood:
    """Give the likelihood that goes with a scale of labels.

    Args:
        scale: ``multiclass``, ``multilabel`` or ``ordinal``.
        targets: Number of classes, labels or grades.
    """
    if scale == "multiclass":
        return Multinomial(targets)
    return Independent(targets) if scale == "multilabel" else Proportional(targets)


def _shares(values: Tensor, weights: Tensor, classes: int) -> Tensor:
    """Give each class's share of the weights, (K,)."""
    total = torch.zeros(classes, dtype=weights.dtype).index_add_(0, values, weights)
    return (total / weights.sum()).clamp(min=_EDGE)
