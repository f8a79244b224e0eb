"""How attention is learned from labels: weighting, L2 weight and number of steps by held-out loss.

The number of steps is chosen like the rest: attention that is learned for too long knows the
training images by heart. Each setting that was cross-validated is kept on disk, so that a run that
was killed carries on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from retq_hub import notation, tensorfile
from retq_hub.basis import Basis
from retq_hub.digest import json_digest
from retq_hub.errors import UsageError
from retq_hub.features import TokenCache
from retq_hub.kinds import Pooling
from retq_hub.labels.jointfit import Components, JointFit, Weighting, components
from retq_hub.labels.recipe import LabelRecipe
from retq_hub.labels.search import held_out_loss, weights_of
from retq_hub.labels.trainingset import LabelTrainingSet
from retq_hub.manifest import Trial, to_json
from retq_hub.progress import Progress
from retq_hub.storage import cache_dir
from retq_hub.threads import one_thread

__all__ = ["JointSearch", "Learned"]

_STEPS = (5, 10, 20, 40)
_FIRST_L2 = 1.0
_L2_ATTENTION = (0.3, 3.0)
_WAYS = tuple((method, whole) for method in ("softmax", "sigmoid") for whole in (True, False))
_SEEDS = 3
_METHOD = "1"
"""Another number forgets what was cross-validated by other code."""

_MOST_BYTES = 2**32


@dataclass(frozen=True, kw_only=True, eq=False)
class Learned:
    """Attention and classifier, learned together.

    Attributes:
        pooling: How positions are weighed.
        attention: (A, D) vectors and (A,) biases, on raw tokens.
        classifier: (R, E) vectors and (B,) biases.
        trial: What cross-validation says of it.
        scores: (n, B) float64 held-out scores.
    """

    pooling: Pooling
    attention: tuple[Tensor, Tensor]
    classifier: tuple[Tensor, Tensor]
    trial: Trial
    scores: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class _Tried:
    how: Weighting
    steps: int
    trial: Trial
    scores: Tensor


class JointSearch:
    """Cross-validation of joint fits on the tokens of one basis.

    Args:
        data: The images and labels.
        cache: Their tokens; filled.
        basis: Which tokens; one pass.
        recipe: What is open.
        size_px: The backbone's own input size.
        progress: Where to report.

    Attributes:
        trials: All that was tried.

    Raises:
        UsageError: The basis has several passes, or the tokens do not fit into memory.
    """

    def __init__(
        self,
        data: LabelTrainingSet,
        cache: TokenCache,
        basis: Basis,
        recipe: LabelRecipe,
        *,
        size_px: int,
        progress: Progress,
    ) -> None:
        if len(basis.passes) > 1 or basis.pixels:
            raise UsageError(
                "attention is learned on the tokens of one pass, without pixel channels",
                hint="name such a --basis, as 5 or 2x2:3,7",
            )
        self._data, self._recipe, self._progress = data, recipe, progress
        self._written = notation.written(basis, size_px=size_px)
        self._run = json_digest(
            {
                "method": _METHOD,
                "data": [*data.digests, data.labels.digest],
                "scale": data.labels.scale,
                "tokens": cache.digest,
                "basis": to_json(basis),
                "balanced": recipe.balanced,
                "vectors": recipe.vectors,
                "folds": data.parts,
                "steps": _STEPS,
                "torch": torch.__version__,
            }
        )
        self._components, self._tokens = self._reduced(cache, basis)
        self.trials: list[Trial] = []

    def run(self, l2: float) -> Learned:
        """Choose how attention is learned, and learn it from all images.

        Args:
            l2: Weight of the classifier's L2 term.
        """
        ways = [
            Weighting(
                method=method,
                vectors=self._recipe.vectors,
                whole=whole,
                l2=l2,
                l2_attention=_FIRST_L2,
            )
            for method, whole in _WAYS
        ]
        best = self._best(ways)
        best = self._best([replace(best.how, l2_attention=one) for one in _L2_ATTENTION], best)
        with one_thread():
            fits = [self._fit(best, seed) for seed in range(_SEEDS)]
        values = ", ".join(f"{value:.4f}" for value, _ in fits)
        self._progress.note(f"attention from {_SEEDS} beginnings: objective {values}")
        fit = min(fits, key=lambda pair: pair[0])[1]
        attention, classifier = fit.folded(self._components)
        return Learned(
            pooling=Pooling(
                method="attention", weighting=best.how.method, whole=best.how.whole or None
            ),
            attention=attention,
            classifier=classifier,
            trial=best.trial,
            scores=best.scores,
        )

    def _reduced(self, cache: TokenCache, basis: Basis) -> tuple[Components, Tensor]:
        samples = self._data.samples

        with one_thread():
            found = components(lambda: (cache.blocks(one, basis)[0] for one in samples))
            first = cache.blocks(samples[0], basis)[0]
            size = 4 * len(samples) * len(first) * found.matrix.shape[1]
            if size > _MOST_BYTES:
                raise UsageError(
                    f"the tokens of {len(samples)} images take {size / 2**30:.0f} GiB while "
                    f"attention is learned, {_MOST_BYTES // 2**30} are allowed",
                    hint="learn from fewer images, or of fewer tiles",
                )
            return found, torch.stack([found.of(cache.blocks(one, basis)[0]) for one in samples])

    def _best(self, ways: Sequence[Weighting], *known: _Tried) -> _Tried:
        steps = self._progress.steps(ways, what="learning attention", total=len(ways))
        tried = [*known, *(one for way in steps for one in self._try(way))]
        return min(tried, key=lambda one: one.trial.loss)

    def _try(self, how: Weighting) -> list[_Tried]:
        scores = self._held_out(how)
        found = []
        for steps, one in zip(_STEPS, scores, strict=True):
            loss = held_out_loss(one, self._data, self._recipe.balanced)
            trial = Trial(
                basis=(
                    f"{self._written}, {'mean and ' if how.whole else ''}learned {how.method} "
                    f"attention (L2 {how.l2_attention:g}, {steps} steps)"
                ),
                floats=self._components.matrix.shape[0] * how.means,
                l2=how.l2,
                measure=loss,
                thresholds=(),
                loss=loss,
            )
            self._progress.note(f"{trial.basis}: held-out log loss {loss:.4f}")
            found.append(_Tried(how=how, steps=steps, trial=trial, scores=one))
        self.trials += [one.trial for one in found]
        return found

    def _held_out(self, how: Weighting) -> Tensor:
        """Give held-out scores after each number of steps, (steps, n, B)."""
        name = json_digest([self._run, vars(how)])
        path = cache_dir() / "trials" / f"{name}.safetensors"
        if stored := tensorfile.read(path):
            return stored["scores"]
        biases = self._data.likelihood.free(self._data.values, torch.ones(self._count).double())
        scores = torch.zeros(len(_STEPS), self._count, len(biases), dtype=torch.float64)
        with one_thread():
            for part in self._data.parts:
                fit = self._began(how, self._data.rest(part))
                for number, _ in enumerate(fit.run(_STEPS)):
                    scores[number, list(part)] = fit.scores(self._tokens[list(part)])
        tensorfile.write(path, {"scores": scores})
        return scores

    def _fit(self, best: _Tried, seed: int) -> tuple[float, JointFit]:
        fit = self._began(best.how, range(self._count), seed=seed)
        (value,) = fit.run([best.steps])
        return value, fit

    def _began(self, how: Weighting, images: Sequence[int], *, seed: int = 0) -> JointFit:
        rows = list(images)
        return JointFit(
            self._tokens[rows],
            self._data.values[rows],
            likelihood=self._data.likelihood,
            weights=weights_of(self._data, rows, self._recipe.balanced),
            how=how,
            seed=seed and self._recipe.seed + seed,
        )

    @property
    def _count(self) -> int:
        return len(self._data.digests)
