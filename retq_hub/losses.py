"""What a fit minimises: losses of one image's pixel logits, with slope and curvature. Tensors only.

Each gives the mean over pixels, summed over targets. Axis letters: C targets, S pixels a side.

==================  ======================================================  ==========
loss                formula, z logit, y mask, p probability                 convex
==================  ======================================================  ==========
`CrossEntropy`      softplus(z) - y z; positives times ``positive_weight``  yes
`SoftmaxEntropy`    log(1 + sum over targets of exp z) - z of the target    yes
`SoftDice`          1 - (2 sum(p y) + 1) / (sum p + sum y + 1), per image,  no
                    plus a share of the cross-entropy
==================  ======================================================  ==========
"""

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["CrossEntropy", "Loss", "SoftDice", "SoftmaxEntropy", "softmax"]


class Loss(Protocol):
    """A loss of pixel logits."""

    @property
    def convex(self) -> bool:
        """Whether it has one minimum only."""
        ...

    @property
    def text(self) -> str:
        """What the manifest says of it."""
        ...

    def slope(self, logits: Tensor, masks: Tensor) -> tuple[float, Tensor]:
        """Give the loss of one image and its derivative.

        Args:
            logits: (C, S, S) float32.
            masks: (C, S, S) float32, 0-1; fractions are soft labels.

        Returns:
            The loss, and its derivative by each logit, (C, S, S) float32.
        """
        ...

    def weight(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Give the second derivative by each logit alone, never negative, (C, S, S) float32."""
        ...


@dataclass(frozen=True, kw_only=True)
class CrossEntropy:
    """Binary cross-entropy of each target. Convex.

    Attributes:
        positive_weight: How much more than others pixels of the target count; above 1 trades false
            negatives for false positives, and probabilities are too high by that factor of odds.

    Source: RETQuerySeg, section 2.3, for a weight of 1.
    """

    positive_weight: float = 1.0

    @property
    def convex(self) -> bool:
        """Whether it has one minimum only."""
        return True

    @property
    def text(self) -> str:
        """What the manifest says of it."""
        return f"binary cross-entropy{_weighted(self.positive_weight)}"

    def slope(self, logits: Tensor, masks: Tensor) -> tuple[float, Tensor]:
        """Give the loss of one image and its derivative, see `Loss`."""
        extra = self.positive_weight - 1
        share = 1 / logits[0].numel()
        value = F.softplus(logits).sub_(masks * logits)
        residual = logits.sigmoid().sub_(masks)
        if extra:
            value += extra * masks * F.softplus(-logits)
            residual -= extra * masks * (-logits).sigmoid()
        return float(value.sum(dtype=torch.float64)) * share, residual.mul_(share)

    def weight(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Give the second derivative by each logit, see `Loss`."""
        plain = logits.sigmoid() * (-logits).sigmoid() / logits[0].numel()
        return (
            plain if self.positive_weight == 1 else plain * (1 + (self.positive_weight - 1) * masks)
        )


@dataclass(frozen=True, kw_only=True)
class SoftmaxEntropy:
    """Cross-entropy of targets that exclude each other, with the background at logit 0. Convex.

    A pixel that several targets share counts in equal parts for them.

    Attributes:
        positive_weight: How much more than background pixels of a target count.
    """

    positive_weight: float = 1.0

    @property
    def convex(self) -> bool:
        """Whether it has one minimum only."""
        return True

    @property
    def text(self) -> str:
        """What the manifest says of it."""
        return f"softmax cross-entropy{_weighted(self.positive_weight)}"

    def slope(self, logits: Tensor, masks: Tensor) -> tuple[float, Tensor]:
        """Give the loss of one image and its derivative, see `Loss`."""
        masks = masks / masks.sum(0).clamp(min=1)
        share = 1 / logits[0].numel()
        counts = (1 + (self.positive_weight - 1) * masks.sum(0)) * share
        wanted = self.positive_weight * share * masks
        value = _log_total(logits) * counts - (wanted * logits).sum(0)
        return float(value.sum(dtype=torch.float64)), softmax(logits) * counts - wanted

    def weight(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Give the second derivative by each logit, see `Loss`."""
        p = softmax(logits)
        share = 1 / logits[0].numel()
        counts = (1 + (self.positive_weight - 1) * masks.sum(0).clamp(max=1)) * share
        return p * (1 - p) * counts


@dataclass(frozen=True, kw_only=True)
class SoftDice:
    """One minus the soft Dice coefficient of the image, plus a share of cross-entropy. Not convex.

    A fit begins at the optimum of the cross-entropy and ends in a local minimum near it.

    Attributes:
        entropy: Weight of the mean cross-entropy that keeps the probabilities' scale.

    Source: Milletari, Navab, Ahmadi, V-Net, 2016 (soft Dice, here without squares).
    """

    entropy: float = 1.0

    @property
    def convex(self) -> bool:
        """Whether it has one minimum only."""
        return False

    @property
    def text(self) -> str:
        """What the manifest says of it."""
        return f"soft Dice plus {self.entropy:g} x binary cross-entropy (not convex)"

    def slope(self, logits: Tensor, masks: Tensor) -> tuple[float, Tensor]:
        """Give the loss of one image and its derivative, see `Loss`."""
        p = logits.sigmoid()
        both = (p * masks).sum((1, 2), keepdim=True)
        total = p.sum((1, 2), keepdim=True) + masks.sum((1, 2), keepdim=True) + 1
        dice = (2 * both + 1) / total
        residual = (dice - 2 * masks) / total * p * (1 - p)
        value, rest = CrossEntropy().slope(logits, masks)
        return float((1 - dice).sum()) + self.entropy * value, residual + self.entropy * rest

    def weight(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Give a stand-in for the second derivative that is never negative, see `Loss`."""
        p = logits.sigmoid()
        total = p.sum((1, 2), keepdim=True) + masks.sum((1, 2), keepdim=True) + 1
        return p * (1 - p) * (1 / total + self.entropy / logits[0].numel())


def _weighted(positive_weight: float) -> str:
    return "" if positive_weight == 1 else f", positives x {positive_weight:g}"


def _log_total(logits: Tensor) -> Tensor:
    return F.pad(logits, (0, 0, 0, 0, 1, 0)).logsumexp(0)


def softmax(logits: Tensor) -> Tensor:
    """Give probabilities of targets that exclude each other, the background at logit 0.

    Args:
        logits: (C, H, W) float32.
    """
    return F.pad(logits, (0, 0, 0, 0, 1, 0)).softmax(0)[1:]
