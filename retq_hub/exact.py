"""The exact recipe: embed once, choose basis and head by cross-validation, solve to the optimum.

What takes long is kept: tokens image by image, and each basis that was cross-validated, so that a
run that was killed carries on.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from retq_hub import tensorfile
from retq_hub.backbone import Backbone
from retq_hub.basis import Basis, Pass
from retq_hub.crossval import HeldOut, cross_validate
from retq_hub.curve import Curve, CurveRow
from retq_hub.dataset import Sample
from retq_hub.digest import json_digest
from retq_hub.features import CachedTokens, TokenCache
from retq_hub.fit import Objective
from retq_hub.manifest import Head, to_json
from retq_hub.newton import Fit, Step, minimise
from retq_hub.plans import plan
from retq_hub.progress import Progress
from retq_hub.recipe import PAPER_EPOCHS, Recipe, checked_bases
from retq_hub.search import Found, Search
from retq_hub.solution import Solution
from retq_hub.storage import cache_dir
from retq_hub.threads import one_thread
from retq_hub.tiling import PassKey

__all__ = ["Examples", "choose", "solve_exactly"]

_NEAR = 1e-6
_METHOD = "2"
"""Another number forgets what was cross-validated by other code."""


class Examples(Protocol):
    """Images, and what a query shall say of them."""

    @property
    def samples(self) -> Sequence[Sample]:
        """The images."""
        ...

    @property
    def digests(self) -> Sequence[str]:
        """SHA-256 of each image's file."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 over the content of all images and of what shall be said of them."""
        ...

    @property
    def masks(self) -> Tensor:
        """(n, C, 392, 392) bool: what shall be marked; thresholds and bases are chosen by it."""
        ...

    @property
    def goals(self) -> Tensor:
        """(n, C, 392, 392), the masks or floats 0-1: what is fitted and calibrated to."""
        ...

    @property
    def parts(self) -> Sequence[Sequence[int]]:
        """The numbers of each fold's images."""
        ...


def solve_exactly(
    data: Examples,
    cache: TokenCache,
    backbone: Backbone,
    recipe: Recipe,
    progress: Progress,
) -> Solution:
    """Choose and solve.

    Args:
        data: The images, and what shall be said of them.
        cache: Their tokens.
        backbone: The backbone.
        recipe: What is not left to cross-validation.
        progress: Where to report.

    Raises:
        UsageError: The recipe makes no sense for the backbone.
        IntegrityError: The backbone gives something else than numbers.
        StorageError: The cache cannot be written.
    """
    trials = _Trials(data, cache, recipe, progress)
    found, head = _chosen(trials, data, backbone, recipe, progress)
    tokens = trials.tokens(found.basis)
    with one_thread():
        fit, curve = _solved(tokens, data, found, recipe, progress)
    vector, bias = found.held_out.scale.fold(fit.theta)
    runs = sum(key.tiles**2 for key in plan(trials.variants(found.basis)))
    n = len(data.samples)
    progress.note(
        f"this basis takes {runs * n} backbone passes for {n} images, the paper's recipe "
        f"{PAPER_EPOCHS * n}"
    )
    return Solution(
        basis=found.basis,
        head=head,
        vector=vector,
        bias=bias,
        curve=curve,
        loss=f"{recipe.loss.text} after bilinear upsampling to 392 x 392, plus L2",
        l2=found.trial.l2,
        selection=_selection(recipe, found, len(data.parts)),
        trials=found.trials,
        backbone_passes=runs * n,
    )


def choose(
    data: Examples,
    cache: TokenCache,
    backbone: Backbone,
    recipe: Recipe,
    progress: Progress,
) -> tuple[Found, Head]:
    """Choose basis and head by cross-validation; takes and raises what `solve_exactly` does."""
    trials = _Trials(data, cache, recipe, progress)
    return _chosen(trials, data, backbone, recipe, progress)


def _chosen(
    trials: "_Trials",
    data: Examples,
    backbone: Backbone,
    recipe: Recipe,
    progress: Progress,
) -> tuple[Found, Head]:
    bases = checked_bases(recipe, backbone.spec)
    trials.embed(bases)
    search = Search(
        held_out=trials,
        masks=data.masks,
        goals=data.goals,
        parts=data.parts,
        guides=[sample.guide for sample in data.samples],
        recipe=recipe,
        size_px=backbone.spec.preprocessing.size_px,
        progress=progress,
    )
    found = search.run(bases)
    return found, search.head(found)


class _Trials:
    """Cross-validation of bases on cached tokens; what was tried before is remembered."""

    def __init__(
        self, data: Examples, cache: TokenCache, recipe: Recipe, progress: Progress
    ) -> None:
        self._data, self._cache = data, cache
        self._recipe, self._progress = recipe, progress
        self._filled: set[tuple[PassKey, int]] = set()

    def embed(self, bases: Sequence[Basis]) -> None:
        """Run the backbone once for all layers that the bases read of one pass."""
        merged: dict[Pass, set[int]] = {}
        for basis in bases:
            for one in basis.passes:
                merged.setdefault(replace(one, layers=()), set()).update(one.layers)
        for one, layers in merged.items():
            self.tokens(Basis(passes=(replace(one, layers=tuple(sorted(layers))),), norm=True))

    def variants(self, basis: Basis) -> list[Basis]:
        """Give the basis in each view that is trained on."""
        views = [view for view in self._recipe.views if view != "plain"]
        return [basis, *(replace(basis, views=(view,)) for view in views)]

    def tokens(self, basis: Basis) -> CachedTokens:
        """Give the tokens of all images, in all views that are trained on."""
        variants = self.variants(basis)
        for one in variants:
            needed = {(key, layer) for key, layers in plan([one]).items() for layer in layers}
            if not needed <= self._filled:
                self._cache.fill(self._data.samples, one, progress=self._progress)
                self._filled |= needed
        return CachedTokens(self._cache, self._data.samples, variants)

    def __call__(self, basis: Basis, l2: float) -> HeldOut:
        """Cross-validate a basis."""
        recipe = self._recipe
        name = json_digest(
            {
                "method": _METHOD,
                "data": [*self._data.digests, self._data.digest],
                "tokens": self._cache.digest,
                "basis": to_json(basis),
                "views": recipe.views,
                "loss": repr(recipe.loss),
                "l2": l2,
                "seed": recipe.seed,
                "folds": self._data.parts,
                "torch": torch.__version__,
            }
        )
        path = cache_dir() / "trials" / f"{name}.safetensors"
        if stored := tensorfile.read(path):
            return HeldOut.of(stored)
        tokens = self.tokens(basis)
        with one_thread():
            found = cross_validate(
                tokens,
                self._data.goals,
                loss=recipe.loss,
                l2=l2,
                parts=self._data.parts,
                watch=_watch(self._progress),
            )
        tensorfile.write(path, found.tensors())
        return found


def _solved(
    tokens: CachedTokens, data: Examples, found: Found, recipe: Recipe, progress: Progress
) -> tuple[Fit, Curve]:
    """Solve the full objective, beginning at the coarse one's optimum."""
    objective = Objective(
        tokens=tokens,
        masks=data.goals,
        loss=recipe.loss,
        l2=found.trial.l2,
        scale=found.held_out.scale,
    )
    rows: list[CurveRow] = []
    last = time.perf_counter()

    def watch(step: Step) -> None:
        nonlocal last
        now = time.perf_counter()
        row = CurveRow(
            step=step.step + 1, loss=step.loss, gauge=max(step.decrement, 0.0), seconds=now - last
        )
        rows.append(row)
        last = now
        _watch(progress)(step)

    (fit,) = [
        minimise(objective, images, start=found.held_out.theta, watch=watch)
        for images in progress.steps([range(len(tokens))], what="solving", total=1)
    ]
    if fit.decrement > _NEAR:
        progress.note(
            f"stopped after {len(fit.steps)} steps: the loss could still fall by "
            f"{fit.decrement:.1g}"
        )
    progress.note(
        f"optimum: loss {fit.loss:.6f}, to fall at most {fit.decrement:.1g}, "
        f"after {len(fit.steps)} steps"
    )
    return fit, Curve(step="Newton step", gauge="decrement", rows=tuple(rows))


def _watch(progress: Progress) -> Callable[[Step], None]:
    return lambda step: progress.measure(f"loss {step.loss:.5f}")


def _selection(recipe: Recipe, found: Found, n_folds: int) -> str:
    tried = len({trial.basis for trial in found.trials})
    searched = [f"basis among {tried}"] if tried > 1 else []
    searched += ["L2 weight"] if recipe.l2 is None else []
    searched += ["upsampling"] if recipe.sharpen else []
    if not searched:
        return "given"
    return (
        f"{', '.join(searched)}: highest held-out measure in {n_folds}-fold cross-validation over "
        "the training images"
    )
