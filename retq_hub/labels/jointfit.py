"""Attention and classifier learned together from the labels of images.

Tokens are standardised and brought to their first principal components, at most 128: that is where
attention and classifier live while they are learned; both fold back into vectors on raw tokens. A
fit begins at the classifier of the plain means, with attention that weighs all positions alike: it
leaves that only for what fits better. The objective is not convex in attention.

Axis letters: n images, N tokens, D width, r components, A attention vectors, R vectors, B biases.

Source: Ilse, Tomczak and Welling, Attention-based Deep Multiple Instance Learning, ICML 2018, for
the model; without its hidden layer, so that a dot product gives the attention.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from retq_hub.labels import lbfgs
from retq_hub.labels.likelihood import Likelihood
from retq_hub.labels.linear import Features, Solver

__all__ = ["Components", "JointFit", "Weighting", "components"]

_RANK = 128
_CHUNK = 64
_NUDGE = 0.03
_EVEN = -1.0
"""Where the sigmoid's attention begins: neither flat nor full."""


@dataclass(frozen=True, kw_only=True)
class Components:
    """The first principal components of standardised tokens.

    Attributes:
        mean: (D,) float32.
        matrix: (D, r) float32; ``(tokens - mean) @ matrix`` are the components.
    """

    mean: Tensor
    matrix: Tensor

    def of(self, tokens: Tensor) -> Tensor:
        """Bring (N, D) tokens to their (N, r) components."""
        return (tokens.float() - self.mean) @ self.matrix


def components(images: Callable[[], Iterable[Tensor]], *, rank: int = _RANK) -> Components:
    """Find the principal components of the tokens of some images.

    Args:
        images: Gives the (N, D) tokens of one image after the other; called twice.
        rank: At most so many.
    """
    mean = _mean(images())
    covariance = _mean(_products(images(), mean))
    std = covariance.diagonal().clamp(min=0).sqrt()
    silent = std < 1e-5 * (mean.abs() + 1e-3)
    scale = 1 / std.masked_fill(silent, float("inf"))
    _, directions = torch.linalg.eigh(covariance * scale[:, None] * scale)
    kept = directions.flip(1)[:, : min(rank, int((~silent).sum()))]
    return Components(mean=mean.float(), matrix=(scale[:, None] * kept).float())


@dataclass(frozen=True, kw_only=True)
class Weighting:
    """What is open of a joint fit.

    Attributes:
        method: ``softmax`` or ``sigmoid``, see `retq_hub.kinds.Pooling`.
        vectors: A.
        whole: Whether the plain mean is classified too.
        l2: Weight of the classifier's L2 term, as for features that are standardised.
        l2_attention: Weight of the attention's.
    """

    method: str
    vectors: int
    whole: bool
    l2: float
    l2_attention: float

    @property
    def means(self) -> int:
        """Number of means that are classified."""
        return self.vectors + self.whole


class JointFit:
    """Attention and classifier on their way down.

    Args:
        tokens: (n, N, r) float32 components.
        values: (n,) int64 classes, or (n, C) bool.
        likelihood: What they say of scores.
        weights: (n,) float64 weights of the images.
        how: What is open.
        seed: 0: one attention vector begins even; otherwise all begin a little off it.
    """

    def __init__(
        self,
        tokens: Tensor,
        values: Tensor,
        *,
        likelihood: Likelihood,
        weights: Tensor,
        how: Weighting,
        seed: int = 0,
    ) -> None:
        self._tokens, self._values, self._likelihood, self._how = tokens, values, likelihood, how
        self._share = weights / weights.sum()
        means = Features(tokens.mean(1))
        start = Solver(means.values, values, likelihood=likelihood, weights=weights).solve(how.l2)
        self._middle, self._spread = means.scale.mean.float(), means.scale.std.float()
        r = tokens.shape[2]
        generator = torch.Generator().manual_seed(seed)
        nudge = _NUDGE if seed or how.vectors > 1 else 0.0
        self.attention = nudge * torch.randn(how.vectors, r, generator=generator)
        self.attention_bias = torch.full((how.vectors,), _EVEN)
        self.vector = (start.vector.float() / how.means).repeat(1, how.means)
        self.free = likelihood.free_of(start.bias).float()

    def run(self, steps: Sequence[int]) -> Iterator[float]:
        """Go down, stopping after some numbers of steps; yields the objective there."""
        moving = [self.attention, self.vector, self.free]
        if self._how.method == "sigmoid":
            moving.append(self.attention_bias)
        yield from lbfgs.stages(moving, self._objective, steps)

    def scores(self, tokens: Tensor) -> Tensor:
        """Give the (n, B) float64 scores of (n, N, r) components."""
        return torch.cat([self._scores(part) for part in torch.split(tokens, _CHUNK)]).double()

    def folded(self, found: Components) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Give attention and classifier on raw tokens.

        Returns:
            (A, D) vectors and (A,) biases of attention; (R, E) vectors and (B,) biases of the
            classifier, float32 all.
        """
        mean, matrix = found.mean.double(), found.matrix.double()
        attention = self.attention.double() @ matrix.T
        bias = -attention @ mean
        if self._how.method == "sigmoid":
            bias = bias + self.attention_bias.double()
        parts = self.vector.double().reshape(len(self.vector), self._how.means, -1)
        parts = parts / self._spread.double()
        vector = parts @ matrix.T
        moved = (parts @ self._middle.double() + vector @ mean).sum(1)
        offset = self._likelihood.bias(self.free.double()) - moved
        return (attention.float(), bias.float()), (vector.flatten(1).float(), offset.float())

    def _scores(self, tokens: Tensor) -> Tensor:
        logits = tokens @ self.attention.T
        if self._how.method == "sigmoid":
            logits = F.logsigmoid(logits + self.attention_bias)
        pooled = logits.transpose(1, 2).softmax(2) @ tokens
        if self._how.whole:
            pooled = torch.cat([tokens.mean(1, keepdim=True), pooled], dim=1)
        features = (pooled - self._middle) / self._spread
        return features.flatten(1) @ self.vector.T + self._likelihood.bias(self.free)

    def _objective(self) -> Iterator[Tensor]:
        yield self._how.l2 * self._how.means * self.vector.square().sum()
        yield self._how.l2_attention * self.attention.square().sum()
        parts = zip(
            torch.split(self._tokens, _CHUNK),
            torch.split(self._values, _CHUNK),
            torch.split(self._share, _CHUNK),
            strict=True,
        )
        for tokens, values, share in parts:
            scores = self._scores(tokens).double()
            yield share @ self._likelihood.losses(scores, values)


def _mean(several: Iterable[Tensor]) -> Tensor:
    """Give the mean over images of the mean over tokens, float64."""
    total, count = torch.zeros(1, dtype=torch.float64), 0
    for one in several:
        total = total + (one if one.dtype == torch.float64 else one.double().mean(0))
        count += 1
    return total / count


def _products(images: Iterable[Tensor], mean: Tensor) -> Iterator[Tensor]:
    for tokens in images:
        centred = tokens.float() - mean.float()
        yield (centred.T @ centred).double() / len(tokens)
