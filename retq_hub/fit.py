"""Fit a query exactly: the paper's objective on cached tokens, solved by Newton's method.

The objective is convex in the vector and the bias: the mean over images and pixels of the binary
cross-entropy of the bilinearly upsampled dot product, plus an L2 term. The mask enters linearly, so
all a step needs of the pixels is two sums per grid cell (gradient) and nine (curvature). Tensors
only: no files, no names.

Axis letters: n images, N tokens, D width, g grid side, S pixels a side of the mask.

Source: RETQuerySeg, section 2.1 (objective) and 2.3 (loss after bilinear upsampling).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from retq_hub.heads import interpolation_matrix

__all__ = ["Fit", "Objective", "Standardisation", "minimise", "standardise"]

_TOLERANCE = 1e-9
_MAX_STEPS = 200
_MAX_PAIRS = 8


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A minimum of an `Objective`.

    Attributes:
        theta: (D + 1,) float64: the vector on standardised tokens, then the bias.
        loss: The objective there, L2 term included.
        steps: Number of Newton steps taken.
        decrement: Half of the squared Newton decrement: how much the objective could still fall.
    """

    theta: Tensor
    loss: float
    steps: int
    decrement: float


@dataclass(frozen=True, kw_only=True)
class Standardisation:
    """Mean and standard deviation of the tokens, which fold back into vector and bias.

    Attributes:
        mean: (D,) float64.
        std: (D,) float64, positive.
    """

    mean: Tensor
    std: Tensor

    def fold(self, theta: Tensor) -> tuple[Tensor, float]:
        """Give vector (D,) float32 and bias on raw tokens for a solution on standardised ones."""
        vector = theta[:-1] / self.std
        return vector.float(), float(theta[-1] - vector @ self.mean)


def standardise(tokens: Tensor) -> tuple[Tensor, Standardisation]:
    """Bring each of the D channels to mean 0 and standard deviation 1 over all images and tokens.

    Args:
        tokens: (n, N, D), any float type.

    Returns:
        (n, N, D) float32, and what undoes it.
    """
    n, N, D = tokens.shape
    total = torch.zeros(D, dtype=torch.float64)
    squares = torch.zeros(D, dtype=torch.float64)
    for image in tokens:
        values = image.double()
        total += values.sum(0)
        squares += values.square().sum(0)
    mean = total / (n * N)
    std = (squares / (n * N) - mean.square()).clamp(min=1e-12).sqrt()
    offset, scale = mean.float(), std.float()
    standard = torch.empty(n, N, D)
    for number, image in enumerate(tokens):
        standard[number] = (image.float() - offset) / scale
    return standard, Standardisation(mean=mean, std=std)


class Objective:
    """The paper's loss over some images, its gradient and its curvature.

    Args:
        tokens: (n, N, D) float32, standardised; N = g * g.
        masks: (n, S, S), 0-1; fractions are soft labels.
        l2: Weight of the squared norm of the vector; the bias is free.
    """

    def __init__(self, *, tokens: Tensor, masks: Tensor, l2: float) -> None:
        self.n, self.N, self.D = tokens.shape
        self.g = round(self.N**0.5)
        self.tokens = tokens
        self.l2 = l2
        size = masks.shape[-1]
        self._up = interpolation_matrix(size, self.g)
        following = torch.cat([self._up[:, 1:], torch.zeros(size, 1)], dim=1)
        self._pairs = (self._up * self._up, self._up * following)
        self._share = 1 / size**2
        self._wanted = torch.stack([self._up.T @ mask.float() @ self._up for mask in masks])
        self._marked = torch.stack([mask.float().mean() for mask in masks])

    def start(self, images: Sequence[int]) -> Tensor:
        """Give the best constant: the zero vector with the log odds of the marked share."""
        theta = torch.zeros(self.D + 1, dtype=torch.float64)
        share = float(self._marked[list(images)].double().mean().clamp(1e-9, 1 - 1e-9))
        theta[-1] = torch.logit(torch.tensor(share, dtype=torch.float64))
        return theta

    def gradient(self, theta: Tensor, images: Sequence[int]) -> tuple[float, Tensor]:
        """Evaluate the objective over some of the images.

        Args:
            theta: (D + 1,) float64.
            images: Their numbers.

        Returns:
            The loss, L2 term included, and its (D + 1,) float64 gradient.
        """
        loss = 0.0
        slope = torch.zeros(self.D + 1, dtype=torch.float64)
        for image in images:
            grid, pixels = self._logits(theta, image)
            loss += F.softplus(pixels).sum(dtype=torch.float64).item()
            loss -= (self._wanted[image] * grid).sum(dtype=torch.float64).item()
            residual = self._up.T @ pixels.sigmoid_() @ self._up - self._wanted[image]
            slope[:-1] += residual.reshape(-1) @ self.tokens[image]
            slope[-1] += residual.sum()
        slope *= self._share / len(images)
        slope[:-1] += 2 * self.l2 * theta[:-1]
        return loss * self._share / len(images) + self.l2 * float(theta[:-1] @ theta[:-1]), slope

    def curvature(self, theta: Tensor, groups: Sequence[Sequence[int]]) -> list[Tensor]:
        """Give the loss's second derivatives, summed over each group of images, without L2 term.

        Returns:
            One (D + 1, D + 1) float64 matrix a group; `hessian` puts them together.
        """
        return [self._summed(theta, group) for group in groups]

    def hessian(self, parts: Sequence[Tensor], n_images: int) -> Tensor:
        """Give the Hessian of the objective from the curvature of ``n_images`` images."""
        total = torch.stack(list(parts)).sum(0) * (self._share / n_images)
        total.diagonal()[:-1] += 2 * self.l2
        return total

    def _summed(self, theta: Tensor, images: Sequence[int]) -> Tensor:
        total = torch.zeros(self.D + 1, self.D + 1, dtype=torch.float64)
        for image in images:
            total += self._image_curvature(theta, image)
        return total

    def _logits(self, theta: Tensor, image: int) -> tuple[Tensor, Tensor]:
        """Give one image's logits on the grid (g, g) and on the pixels (S, S)."""
        grid = (self.tokens[image] @ theta[:-1].float() + theta[-1].float()).view(self.g, self.g)
        return grid, self._up @ grid @ self._up.T

    def _image_curvature(self, theta: Tensor, image: int) -> Tensor:
        """Give V' A' W A V of one image: A upsamples, W holds p (1 - p) of the pixels.

        A' W A couples a token with its eight neighbours only, so that it is applied by shifting.
        """
        pixels = self._logits(theta, image)[1]
        weight = pixels.sigmoid() * (-pixels).sigmoid()
        coupling = {
            (down, right): self._pairs[down].T @ weight @ self._pairs[right]
            for down in (0, 1)
            for right in (0, 1)
        }
        V = torch.cat([self.tokens[image], torch.ones(self.N, 1)], dim=1)
        field = V.view(self.g, self.g, self.D + 1)
        spread = torch.zeros_like(field)
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                here, there = _slices(down, right)
                edge = (_span(down, self.g), _span(right, self.g))
                factor = coupling[abs(down), abs(right)][edge]
                spread[here].addcmul_(field[there], factor.unsqueeze(-1))
        return (V.T @ spread.view(self.N, self.D + 1)).double()


def minimise(
    objective: Objective,
    images: Sequence[int],
    *,
    start: Tensor | None = None,
    hessian: Tensor | None = None,
    tolerance: float = _TOLERANCE,
) -> Fit:
    """Minimise an objective by Newton's method with line search; deterministic.

    A Hessian costs many gradients, so one is kept for several steps and corrected by what the
    gradients since then say of the curvature (L-BFGS upon a true Hessian).

    Args:
        objective: The objective.
        images: Numbers of the images that count.
        start: Where to begin; the best constant if not given.
        hessian: A Hessian from nearby, to begin with.
        tolerance: Stop when the objective can fall by less than this.

    Returns:
        The minimum; ``decrement`` says how far it may still be.

    Source: Nocedal and Wright, Numerical Optimization, algorithm 7.4 (two-loop recursion).
    """
    theta = objective.start(images) if start is None else start
    loss, slope = objective.gradient(theta, images)
    metric = None if hessian is None else _Metric(hessian)
    decrement, steps = float("inf"), 0
    while steps < _MAX_STEPS:
        if metric is None or len(metric.pairs) == _MAX_PAIRS:
            parts = objective.curvature(theta, [images])
            metric = _Metric(objective.hessian(parts, len(images)))
        step = -metric.solve(slope)
        decrement = -float(slope @ step) / 2
        if decrement < tolerance:
            break
        before, slope_before = theta, slope
        theta, loss, slope = _line_search(objective, images, theta, loss, slope, step)
        metric.learn(theta - before, slope - slope_before)
        steps += 1
    return Fit(theta=theta, loss=loss, steps=steps, decrement=decrement)


class _Metric:
    """The inverse of a Hessian, corrected by pairs of steps and gradient differences."""

    def __init__(self, hessian: Tensor) -> None:
        self._factor = torch.linalg.cholesky(hessian)
        self.pairs: list[tuple[Tensor, Tensor]] = []

    def learn(self, step: Tensor, difference: Tensor) -> None:
        if float(step @ difference) > 0:
            self.pairs.append((step, difference))

    def solve(self, slope: Tensor) -> Tensor:
        rest = slope.clone()
        weights = []
        for step, difference in reversed(self.pairs):
            weight = (step @ rest) / (step @ difference)
            rest -= weight * difference
            weights.append(weight)
        found = torch.cholesky_solve(rest[:, None], self._factor)[:, 0]
        for (step, difference), weight in zip(self.pairs, reversed(weights), strict=True):
            found += step * (weight - (difference @ found) / (step @ difference))
        return found


def _line_search(
    objective: Objective,
    images: Sequence[int],
    theta: Tensor,
    loss: float,
    slope: Tensor,
    step: Tensor,
) -> tuple[Tensor, float, Tensor]:
    """Go along ``step``, halving it until the loss falls as it should (Armijo)."""
    length = 1.0
    promised = float(slope @ step)
    while True:
        candidate = theta + length * step
        found, gradient = objective.gradient(candidate, images)
        if found <= loss + 0.25 * length * promised + 1e-12 or length < 1e-4:
            return candidate, found, gradient
        length /= 2


def _slices(down: int, right: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Give the part of a grid that has a neighbour at (down, right), and these neighbours."""
    rows, columns = _cut(down), _cut(right)
    return (rows[0], columns[0]), (rows[1], columns[1])


def _cut(shift: int) -> tuple[slice, slice]:
    if shift == 0:
        return slice(None), slice(None)
    return (slice(None, -1), slice(1, None)) if shift > 0 else (slice(1, None), slice(None, -1))


def _span(shift: int, grid: int) -> slice:
    """Couplings are kept at the upper or left partner; the last row or column has none."""
    return slice(0, grid) if shift == 0 else slice(0, grid - 1)
