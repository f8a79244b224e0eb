"""What a recipe arrives at: all that training adds to the images, ready for the manifest."""

from dataclasses import dataclass

from torch import Tensor

from retq_hub.basis import Basis
from retq_hub.curve import Curve
from retq_hub.manifest import Head, Trial

__all__ = ["Solution"]


@dataclass(frozen=True, kw_only=True)
class Solution:
    """A query as a recipe found it.

    Attributes:
        basis: What it reads.
        head: How it answers.
        vector: (C, D) float32, on raw tokens.
        bias: (C,) float32.
        curve: How the loss came down.
        loss: What was minimised, for the manifest.
        l2: Weight of the L2 term.
        selection: What was chosen, and how, for the manifest.
        trials: All that cross-validation tried.
        backbone_passes: How often the backbone runs over the training images for this basis.
    """

    basis: Basis
    head: Head
    vector: Tensor
    bias: Tensor
    curve: Curve
    loss: str
    l2: float
    selection: str
    trials: tuple[Trial, ...]
    backbone_passes: int
