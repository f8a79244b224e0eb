"""Cross-validation over images: choose layers and threshold without touching the test images.

Each fold's fit starts from the fit to all images with the curvature of the other folds there, so
that five folds cost little more than one fit; the optimum that it reaches is the fold's own.
Standardisation uses the tokens of all images, never their masks.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from retq_hub.fit import Fit, Objective, minimise, standardise
from retq_hub.heads import upsample

__all__ = ["Choice", "Trial", "assess", "choose_layers", "coarse_fit", "folds"]

N_FOLDS = 5
_CELL_PX = 4
_COARSE_TOLERANCE = 1e-7
_LEVELS = 200


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What cross-validation said of one basis.

    Attributes:
        layers: The layers tried, in the order of concatenation.
        dice: Mean over images of the held-out Dice at ``threshold``.
        threshold: The probability threshold that maximises it, the worst tenth left out.
        l2: The weight of the L2 term that was tried.
        loss: Mean held-out loss, without L2 term, at four pixels a cell.
    """

    layers: tuple[int, ...]
    dice: float
    threshold: float
    l2: float
    loss: float


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The basis that won, and all that was tried on the way."""

    best: Trial
    trials: tuple[Trial, ...]


def folds(digests: Sequence[str], *, seed: int, count: int = N_FOLDS) -> list[list[int]]:
    """Deal images into folds by their content, whatever their order and names; twins stay together.

    Args:
        digests: One digest an image.
        seed: Another seed deals them otherwise.
        count: Number of folds; no more than there are different images.

    Returns:
        For each fold the numbers of its images.
    """
    keys = [hashlib.sha256(f"{seed}/{digest}".encode()).digest() for digest in digests]
    rank = {key: number for number, key in enumerate(sorted(set(keys)))}
    count = min(count, len(rank))
    return [
        [number for number, key in enumerate(keys) if rank[key] % count == fold]
        for fold in range(count)
    ]


def coarse_fit(tokens: Tensor, masks: Tensor, l2: float) -> tuple[Objective, Fit]:
    """Fit at four pixels a cell: close to the full fit, at a tenth of its cost.

    Args:
        tokens: (n, N, D) float32, standardised.
        masks: (n, S, S) bool.
        l2: Weight of the L2 term.
    """
    size = _CELL_PX * round(tokens.shape[1] ** 0.5)
    soft = torch.cat(
        [F.interpolate(mask[None, None].float(), size, mode="area")[0] for mask in masks]
    )
    objective = Objective(tokens=tokens, masks=soft, l2=l2)
    return objective, minimise(objective, range(len(tokens)), tolerance=_COARSE_TOLERANCE)


def assess(
    tokens: Tensor,
    masks: Tensor,
    *,
    l2: float,
    parts: Sequence[Sequence[int]],
    layers: tuple[int, ...],
) -> Trial:
    """Cross-validate one basis.

    Args:
        tokens: (n, N, D) float16 or float32, raw.
        masks: (n, S, S) bool.
        l2: Weight of the L2 term.
        parts: The folds.
        layers: What the tokens are, for the record.
    """
    standard, _ = standardise(tokens)
    objective, full = coarse_fit(standard, masks, l2)
    curvatures = objective.curvature(full.theta, parts)
    curves, losses = [], []
    for number, held_out in enumerate(parts):
        rest = sorted(image for part in parts if part is not held_out for image in part)
        others = [one for index, one in enumerate(curvatures) if index != number]
        fit = minimise(
            objective,
            rest,
            start=full.theta,
            hessian=objective.hessian(others, len(rest)),
            tolerance=_COARSE_TOLERANCE,
        )
        penalty = l2 * float(fit.theta[:-1] @ fit.theta[:-1])
        losses.append((objective.gradient(fit.theta, held_out)[0] - penalty) * len(held_out))
        curves += [_dice_curve(standard[image], fit.theta, masks[image]) for image in held_out]
    best = _best_level(torch.stack(curves))
    return Trial(
        layers=layers,
        dice=float(torch.stack(curves).mean(0)[best]),
        threshold=(best + 1) / _LEVELS,
        l2=l2,
        loss=sum(losses) / len(tokens),
    )


def choose_layers(
    candidates: Sequence[int], max_layers: int, trial: Callable[[tuple[int, ...]], Trial]
) -> Choice:
    """Search layers greedily forward: the best single one, then what adds most to it, and so on.

    Args:
        candidates: The layers to look at.
        max_layers: At most so many are combined.
        trial: Cross-validates a combination.

    Returns:
        The combination with the highest held-out Dice, and all that were tried.
    """
    trials: list[Trial] = []
    path: tuple[int, ...] = ()
    for _ in range(min(max_layers, len(candidates))):
        left = [layer for layer in candidates if layer not in path]
        found = [trial(tuple(sorted((*path, layer)))) for layer in left]
        trials += found
        path = max(found, key=lambda one: one.dice).layers
    return Choice(best=max(trials, key=lambda one: one.dice), trials=tuple(trials))


def _best_level(curves: Tensor) -> int:
    """Give the threshold with the highest mean Dice, the worst tenth of the images left out.

    A few images on which the query fails altogether would else pull the threshold to where they
    gain a little.

    Args:
        curves: (n, 199) Dice by image and threshold.
    """
    kept = curves.sort(dim=0).values[len(curves) // 10 :]
    return int(kept.mean(0).argmax())


def _dice_curve(tokens: Tensor, theta: Tensor, mask: Tensor) -> Tensor:
    """Give one image's Dice at the thresholds 1/200, 2/200, ..., 199/200.

    An image without the target counts 1 where nothing is marked, 0 elsewhere.
    """
    g = round(len(tokens) ** 0.5)
    grid = (tokens @ theta[:-1].float() + theta[-1].float()).view(g, g)
    probability = upsample(grid, *mask.shape).sigmoid_()
    level = (probability * _LEVELS).long().clamp_(max=_LEVELS - 1).ravel()
    marked = torch.bincount(level, minlength=_LEVELS).flip(0).cumsum(0).flip(0)[1:]
    hits = torch.bincount(level[mask.ravel()], minlength=_LEVELS).flip(0).cumsum(0).flip(0)[1:]
    total = marked + int(mask.sum())
    return torch.where(total == 0, 1.0, 2 * hits / total.clamp(min=1)).double()
