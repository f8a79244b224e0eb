"""How an image shall become one vector, and with which L2 weight, by held-out log loss.

Layers first, then how tokens are weighed; each with all L2 weights. Folds are dealt over the
training images; features are standardised over all of them, whatever their labels.

Axis letters: n images, E features, B biases.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from retq_hub.basis import union
from retq_hub.labels.candidate import Candidate, Pooler, averaged
from retq_hub.labels.linear import Features, Solver, balance
from retq_hub.labels.recipe import L2_PATH, LabelRecipe
from retq_hub.labels.trainingset import LabelTrainingSet
from retq_hub.manifest import Trial
from retq_hub.progress import Progress
from retq_hub.threads import one_thread

__all__ = ["Judged", "LabelSearch", "held_out_loss", "solve_linear", "weights_of"]

_DIGITS = 6


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """A candidate, and what it says of images that its classifier was not fitted to.

    Attributes:
        candidate: What is classified.
        trial: What it is worth.
        scores: (n, B) float64 held-out scores.
    """

    candidate: Candidate
    trial: Trial
    scores: Tensor


class LabelSearch:
    """Cross-validation of candidates on the same images.

    Args:
        data: The images and labels.
        pooler: Gives their features.
        recipe: What is open.
        size_px: The backbone's own input size.
        progress: Where to report.

    Attributes:
        trials: All that was tried.
    """

    def __init__(
        self,
        data: LabelTrainingSet,
        pooler: Pooler,
        recipe: LabelRecipe,
        *,
        size_px: int,
        progress: Progress,
    ) -> None:
        self._data, self._pooler, self._recipe = data, pooler, recipe
        self._size_px, self._progress = size_px, progress
        self.trials: list[Trial] = []

    def run(self, candidates: Sequence[Candidate]) -> Judged:
        """Choose among candidates; where the recipe allows it, combine the layers of several."""
        steps = self._progress.steps(candidates, what="cross-validating", total=len(candidates))
        ranked = sorted((self._try(one) for one in steps), key=_loss)
        best = ranked[0]
        if self._recipe.max_layers > 1:
            best = self._combined(best, [one.candidate for one in ranked[1:]])
        if best.candidate.weigher:
            best = self._best([best, *(self._try(one) for one in _variants(best.candidate))])
        return best

    def _combined(self, best: Judged, others: Sequence[Candidate]) -> Judged:
        """Add one candidate's layers after the other, as long as that helps."""
        for other in others:
            if len(best.candidate.basis.layers) == self._recipe.max_layers:
                break
            best = self._best([best, self._try(_together(best.candidate, other))])
        return best

    def _best(self, found: Iterable[Judged]) -> Judged:
        return min(found, key=_loss)

    def _try(self, candidate: Candidate) -> Judged:
        """Cross-validate a candidate with each L2 weight, and give the best."""
        recipe = self._recipe
        path = L2_PATH if recipe.l2 is None else (recipe.l2,)
        raw = self._pooler(candidate)
        with one_thread():
            scores = _held_out(Features(raw).values, self._data, path, recipe.balanced)
        found = [
            Judged(
                candidate=candidate,
                trial=self._trial(candidate, raw.shape[1], l2, one),
                scores=one,
            )
            for l2, one in zip(path, scores, strict=True)
        ]
        best = self._best(found)
        self._progress.note(
            f"{best.trial.basis}: held-out log loss {best.trial.loss:.4f} at L2 {best.trial.l2:g}"
        )
        self.trials += [one.trial for one in found]
        return best

    def _trial(self, candidate: Candidate, floats: int, l2: float, scores: Tensor) -> Trial:
        loss = held_out_loss(scores, self._data, self._recipe.balanced)
        return Trial(
            basis=candidate.written(self._size_px),
            floats=floats,
            l2=l2,
            measure=loss,
            thresholds=(),
            loss=loss,
        )


def solve_linear(
    raw: Tensor, data: LabelTrainingSet, recipe: LabelRecipe, l2: float
) -> tuple[Tensor, Tensor]:
    """Fit a classifier to all images.

    Args:
        raw: (n, E) features.
        data: The images' labels.
        recipe: How.
        l2: Weight of the L2 term.

    Returns:
        Vectors (R, E) float32 and biases (B,) float32, on features as they come.
    """
    flair = recipe.kind == "flair"
    with one_thread():
        features = Features(raw, standardise=not flair)
        everyone = range(len(raw))
        balanced = recipe.balanced or flair
        return features.fold(_solver(features.values, data, everyone, balanced).solve(l2))


def held_out_loss(scores: Tensor, data: LabelTrainingSet, balanced: bool) -> float:
    """Give the mean log loss of (n, B) scores."""
    weights = weights_of(data, range(len(scores)), balanced)
    losses = data.likelihood.losses(scores, data.values)
    return round(float(weights @ losses / weights.sum()), _DIGITS)


def weights_of(data: LabelTrainingSet, images: Sequence[int], balanced: bool) -> Tensor:
    """Give the weights of some of the images, (n,) float64."""
    if not balanced:
        return torch.ones(len(images), dtype=torch.float64)
    return balance(data.values[list(images)], len(data.labels.targets))


def _held_out(
    features: Tensor, data: LabelTrainingSet, path: Sequence[float], balanced: bool
) -> list[Tensor]:
    """Score each fold by classifiers of all others, (n, B) for each L2 weight."""
    width = len(data.likelihood.free(data.values, weights_of(data, range(len(features)), False)))
    scores = [torch.zeros(len(features), width, dtype=torch.float64) for _ in path]
    for part in data.parts:
        solver = _solver(features, data, data.rest(part), balanced)
        for one, l2 in zip(scores, path, strict=True):
            one[part] = solver.solve(l2).scores(features[part])
    return scores


def _solver(
    features: Tensor, data: LabelTrainingSet, images: Sequence[int], balanced: bool
) -> Solver:
    rows = list(images)
    return Solver(
        features[rows],
        data.values[rows],
        likelihood=data.likelihood,
        weights=weights_of(data, rows, balanced),
    )


def _loss(found: Judged) -> float:
    return found.trial.loss


def _variants(candidate: Candidate) -> list[Candidate]:
    """Weigh in the other ways: with and without the plain mean, by softmax and by sigmoid."""
    ways = [(weighting, whole) for weighting in ("sigmoid", "softmax") for whole in (True, None)]
    return [
        replace(candidate, pooling=how)
        for weighting, whole in ways
        if (how := replace(candidate.pooling, weighting=weighting, whole=whole))
        != candidate.pooling
    ]


def _together(one: Candidate, other: Candidate) -> Candidate:
    """Read the layers of both."""
    basis = union([one.basis, other.basis])
    if one.weigher:
        how = replace(one.pooling, basis=None if one.reads == basis else one.reads)
        return replace(one, basis=basis, pooling=how)
    assert one.attention is not None and other.attention is not None, "embeddings are one"
    return averaged(basis, floats=one.attention[0].shape[1] + other.attention[0].shape[1])
