"""Cross-validation over images: what a basis is worth, without touching the test images.

Each fold's fit starts from the fit to all images with the curvature of the other folds there, so
that five folds cost little more than one fit; the optimum that it reaches is the fold's own. A loss
that is not convex is fitted from the beginning, lest its minimum know the held-out images.
Standardisation uses the tokens of all images, never their masks.

Axis letters: n images, C targets, G side of the finest grid, S pixels a side of the mask.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from retq_hub.fit import Objective, Standardisation, TokenSource, moments
from retq_hub.losses import CrossEntropy, Loss
from retq_hub.newton import Fit, Step, minimise

__all__ = ["HeldOut", "coarse", "cross_validate", "folds", "solve"]

N_FOLDS = 5
_COARSE_PX = 112
_TOLERANCE = 1e-7


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """What queries say of images that they were not fitted to.

    Attributes:
        grids: (C, G, G) float32 logits of each image.
        loss: Mean held-out loss, without L2 term, on coarse masks.
        theta: (C, D + 1) float64, the fit to all images on coarse masks, on standardised tokens.
        scale: Moments of the tokens.
    """

    grids: tuple[Tensor, ...]
    loss: float
    theta: Tensor
    scale: Standardisation

    def tensors(self) -> dict[str, Tensor]:
        """Give all of it, to be kept."""
        return {
            "grids": torch.stack(self.grids),
            "loss": torch.tensor(self.loss, dtype=torch.float64),
            "theta": self.theta,
            "mean": self.scale.mean,
            "std": self.scale.std,
        }

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> "HeldOut":
        """Make it of what `tensors` gave."""
        return cls(
            grids=tuple(tensors["grids"]),
            loss=float(tensors["loss"]),
            theta=tensors["theta"],
            scale=Standardisation(mean=tensors["mean"], std=tensors["std"]),
        )


def folds(
    digests: Sequence[str],
    *,
    seed: int,
    count: int = N_FOLDS,
    strata: Sequence[Sequence[bool]] | None = None,
) -> list[list[int]]:
    """Deal images into folds by their content, whatever their order and names; twins stay together.

    Args:
        digests: One digest an image.
        seed: Another seed deals them otherwise.
        count: Number of folds; no more than there are different images.
        strata: Which targets each image shows; images of the rarest target are spread evenly over
            the folds, then those of the next.

    Returns:
        For each fold the numbers of its images.
    """
    keys = [hashlib.sha256(f"{seed}/{digest}".encode()).digest() for digest in digests]
    shown = dict(zip(keys, strata or [()] * len(keys), strict=True))
    rarity = [sum(column) for column in zip(*shown.values(), strict=True)]
    rarest = sorted(range(len(rarity)), key=lambda target: rarity[target])
    order = sorted(shown, key=lambda key: ([not shown[key][one] for one in rarest], key))
    rank = {key: number for number, key in enumerate(order)}
    count = min(count, len(rank))
    return [
        [number for number, key in enumerate(keys) if rank[key] % count == fold]
        for fold in range(count)
    ]


def coarse(masks: Tensor, grids: Sequence[int]) -> Tensor:
    """Bring masks to a size at which a fit is close to the full one at a tenth of its cost.

    Args:
        masks: (n, C, S, S) bool, or floats 0-1.
        grids: Grid sides of the blocks of tokens.

    Returns:
        (n, C, s, s) float32 shares, s at least two pixels a cell of the finest grid; or the masks.
    """
    size = max(_COARSE_PX, 2 * max(grids))
    if size >= masks.shape[-1]:
        return masks
    return torch.stack([F.interpolate(one[None].float(), size, mode="area")[0] for one in masks])


def solve(
    objective: Objective, images: Sequence[int], *, watch: Callable[[Step], None] = lambda _: None
) -> Fit:
    """Minimise from the beginning; a loss that is not convex from the cross-entropy's optimum."""
    if objective.loss.convex:
        return minimise(objective, images, tolerance=_TOLERANCE, watch=watch)
    convex = Objective(
        tokens=objective.tokens,
        masks=objective.masks,
        loss=CrossEntropy(),
        l2=objective.l2,
        scale=objective.scale,
    )
    start = minimise(convex, images, tolerance=_TOLERANCE, watch=watch).theta
    return minimise(objective, images, start=start, tolerance=_TOLERANCE, watch=watch)


def cross_validate(
    tokens: TokenSource,
    goals: Tensor,
    *,
    loss: Loss,
    l2: float,
    parts: Sequence[Sequence[int]],
    watch: Callable[[Step], None] = lambda _: None,
) -> HeldOut:
    """Fit to all folds but one, for each of them, and keep what is said of the one.

    Args:
        tokens: The tokens of n images, and after them of further views of each; what is held out
            is held out in all views, and judged in the first.
        goals: (n, C, S, S), bool, or floats 0-1 where labels are soft.
        loss: What is minimised.
        l2: Weight of the L2 term.
        parts: The folds.
        watch: Told of every step.
    """
    scale = moments(tokens)
    objective = Objective(
        tokens=tokens, masks=coarse(goals, tokens.grids), loss=loss, l2=l2, scale=scale
    )
    n = len(goals)

    def views(images: Sequence[int]) -> list[int]:
        return [start + image for start in range(0, len(tokens), n) for image in images]

    full = solve(objective, range(len(tokens)), watch=watch)
    curvatures = objective.curvature(full.theta, [views(part) for part in parts])
    grids: dict[int, Tensor] = {}
    losses = 0.0
    for number, held_out in enumerate(parts):
        rest = views(sorted(image for part in parts if part is not held_out for image in part))
        others = [one for index, one in enumerate(curvatures) if index != number]
        fit = (
            minimise(
                objective,
                rest,
                start=full.theta,
                hessian=objective.hessian(others, len(rest)),
                tolerance=_TOLERANCE,
                watch=watch,
            )
            if loss.convex
            else solve(objective, rest, watch=watch)
        )
        penalty = objective.penalty(fit.theta)
        losses += (objective.slope(fit.theta, held_out)[0] - penalty) * len(held_out)
        grids |= {image: objective.grid_logits(fit.theta, image) for image in held_out}
    return HeldOut(
        grids=tuple(grids[image] for image in range(n)),
        loss=losses / n,
        theta=full.theta,
        scale=scale,
    )
