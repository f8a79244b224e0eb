"""Newton's method with line search, upon Hessians that are estimated and kept; deterministic.

Source: Nocedal and Wright, Numerical Optimization, algorithm 7.4 (two-loop recursion).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from retq_hub.errors import UsageError
from retq_hub.fit import Objective

__all__ = ["Fit", "Step", "minimise"]

_TOLERANCE = 1e-9
_MAX_STEPS = 200
_MAX_PAIRS = 5


@dataclass(frozen=True, kw_only=True)
class Step:
    """Where a fit was after some steps.

    Attributes:
        step: Their number.
        loss: The objective there, L2 term included.
        decrement: How much it could still fall, by the curvature at hand.
    """

    step: int
    loss: float
    decrement: float


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A minimum of an `Objective`.

    Attributes:
        theta: (C, D + 1) float64: the vectors on standardised tokens, then the biases.
        steps: The way there; the last one tells how good the minimum is.
    """

    theta: Tensor
    steps: tuple[Step, ...]

    @property
    def loss(self) -> float:
        """The objective at the minimum, L2 term included."""
        return self.steps[-1].loss

    @property
    def decrement(self) -> float:
        """How much it could still fall."""
        return self.steps[-1].decrement


def minimise(
    objective: Objective,
    images: Sequence[int],
    *,
    start: Tensor | None = None,
    hessian: Tensor | None = None,
    tolerance: float = _TOLERANCE,
    watch: Callable[[Step], None] = lambda _: None,
) -> Fit:
    """Minimise an objective; for a convex one the minimum is the only one.

    A Hessian costs many slopes, so one is kept for several steps and corrected by what the slopes
    since then say of the curvature (L-BFGS upon a Hessian).

    Args:
        objective: The objective.
        images: Numbers of the images that count.
        start: Where to begin, (C, D + 1) float64; the best constant if not given.
        hessian: A Hessian from nearby, (C, D + 1, D + 1), to begin with.
        tolerance: Stop when the objective can fall by less than this.
        watch: Told of every step.

    Raises:
        UsageError: The objective leaves what a float can hold.
    """
    theta = objective.start(images) if start is None else start
    loss, slope = objective.slope(theta, images)
    metric = None if hessian is None else _Metric(hessian)
    steps: list[Step] = []
    while True:
        if metric is None or len(metric.pairs) == _MAX_PAIRS:
            parts = objective.curvature(theta, [images])
            metric = _Metric(objective.hessian(parts, len(images)))
        step = -metric.solve(slope)
        promised = float((slope * step).sum())
        steps.append(Step(step=len(steps), loss=loss, decrement=-promised / 2))
        if not math.isfinite(loss):
            raise UsageError(
                "the objective is no number any more", hint="choose a milder L2 or positive weight"
            )
        watch(steps[-1])
        if -promised / 2 < tolerance or len(steps) > _MAX_STEPS:
            return Fit(theta=theta, steps=tuple(steps))
        before, slope_before = theta, slope
        theta, loss, slope = _line_search(objective, images, theta, loss, step, promised)
        metric.learn(theta - before, slope - slope_before)


class _Metric:
    """The inverse of a Hessian, corrected by pairs of steps and differences of slopes."""

    def __init__(self, hessian: Tensor) -> None:
        self._factor = _cholesky(hessian)
        self.pairs: list[tuple[Tensor, Tensor]] = []

    def learn(self, step: Tensor, difference: Tensor) -> None:
        if float((step * difference).sum()) > 0:
            self.pairs.append((step, difference))

    def solve(self, slope: Tensor) -> Tensor:
        rest = slope.clone()
        weights = []
        for step, difference in reversed(self.pairs):
            weight = (step * rest).sum() / (step * difference).sum()
            rest -= weight * difference
            weights.append(weight)
        found = torch.cholesky_solve(rest.unsqueeze(-1), self._factor).squeeze(-1)
        for (step, difference), weight in zip(self.pairs, reversed(weights), strict=True):
            found += step * (weight - (difference * found).sum() / (step * difference).sum())
        return found


def _cholesky(hessian: Tensor) -> Tensor:
    """Factor an estimate; where channels depend on each other, raise its diagonal until it works.

    That makes steps shorter and leaves the minimum where it is.
    """
    factor: Tensor
    scale = hessian.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
    raised, ridge = hessian, 1e-9
    while True:
        factor, failed = torch.linalg.cholesky_ex(raised)
        if not failed.any():
            return factor
        raised = hessian + ridge * scale * torch.eye(hessian.shape[-1], dtype=hessian.dtype)
        ridge *= 10


def _line_search(
    objective: Objective,
    images: Sequence[int],
    theta: Tensor,
    loss: float,
    step: Tensor,
    promised: float,
) -> tuple[Tensor, float, Tensor]:
    """Go along ``step``, halving it until the loss falls as it should (Armijo)."""
    length = 1.0
    while True:
        candidate = theta + length * step
        found, slope = objective.slope(candidate, images)
        if found <= loss + 0.25 * length * promised + 1e-12 or length < 1e-4:
            return candidate, found, slope
        length /= 2
