"""What a query shall read and how its head shall answer, chosen by held-out predictions.

Bases first, then the L2 weight, then what may be added to the winner: pixel channels, flips,
upsampling led by the image. Whatever does not raise the measure is left out again.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from retq_hub.basis import Basis
from retq_hub.calibration import LEVELS, Counts, best_level, calibrate, overlap_curve
from retq_hub.channels import METHOD
from retq_hub.crossval import HeldOut
from retq_hub.heads import Guide, pixel_logits, probabilities
from retq_hub.losses import SoftmaxEntropy
from retq_hub.manifest import Guided, Head, Trial
from retq_hub.notation import written
from retq_hub.progress import Progress
from retq_hub.recipe import Recipe
from retq_hub.views import FLIPS

__all__ = ["Found", "Search"]

_FIRST_L2 = 1e-3
_WORTH_A_PASS = 0.002
"""Flips, which multiply the backbone passes, must raise the measure by so much."""

_GUIDED = tuple((radius, epsilon) for radius in (2, 4) for epsilon in (1e-5, 1e-4, 1e-3))
_WORKING_PX = 392
_FLIPPED = (("plain", "mirrored"), ("plain", *FLIPS))


@dataclass(frozen=True, kw_only=True)
class Found:
    """What cross-validation found best.

    Attributes:
        basis: What to read.
        trial: What it is worth.
        held_out: What it says of held-out images.
        guided: How upsampling is led by the image, if it is.
        trials: All that was tried.
    """

    basis: Basis
    trial: Trial
    held_out: HeldOut
    guided: Guided | None
    trials: tuple[Trial, ...]


class Search:
    """Cross-validation of many bases on the same images.

    Args:
        held_out: Cross-validates a basis at an L2 weight.
        masks: (n, C, S, S) bool, one for each image of the source: what thresholds are chosen by.
        goals: (n, C, S, S), the masks, or floats 0-1: what probabilities are calibrated to.
        parts: The folds.
        guides: The images, for upsampling that is led by them.
        recipe: What is open.
        size_px: The backbone's own input size.
        progress: Where to report.
    """

    def __init__(
        self,
        *,
        held_out: Callable[[Basis, float], HeldOut],
        masks: Tensor,
        goals: Tensor,
        parts: Sequence[Sequence[int]],
        guides: Sequence[Guide],
        recipe: Recipe,
        size_px: int,
        progress: Progress,
    ) -> None:
        self._held_out, self._parts = held_out, parts
        self._masks, self._goals = masks, goals
        self._guides, self._recipe = guides, recipe
        self._size_px, self._progress = size_px, progress
        self._activation = "softmax" if isinstance(recipe.loss, SoftmaxEntropy) else "sigmoid"
        self._trials: list[Trial] = []

    def run(self, bases: Sequence[Basis]) -> Found:
        """Choose among bases; where the recipe names none, combine the layers of several."""
        recipe = self._recipe
        l2 = recipe.l2 if recipe.l2 is not None else _FIRST_L2
        best = self._best_of(bases, l2) if recipe.bases else self._combined(bases, l2)
        if recipe.l2 is None:
            others = (weight for weight in recipe.l2_weights if weight != l2)
            best = self._best([best, *(self._try(best.basis, weight) for weight in others)])
        if recipe.pixels and not best.basis.pixels:
            best = self._added(best, replace(best.basis, pixels=METHOD), gain=0.0)
        if recipe.flips:
            for views in _FLIPPED:
                basis = replace(best.basis, views=views)
                best = self._added(best, basis, gain=_WORTH_A_PASS)
        if recipe.sharpen:
            best = self._sharpened(best)
        return replace(best, trials=tuple(self._trials))

    def head(self, found: Found) -> Head:
        """Make the head: thresholds that maximise the measure, and calibration."""
        recipe, trial = self._recipe, found.trial
        head = self._plain_head(found.guided, trial.thresholds)
        head = replace(
            head,
            threshold_choice=(
                f"highest mean {_MEASURES[recipe.measure]} over held-out images, the worst tenth "
                f"left out; {len(self._parts)}-fold cross-validation on the training images gives "
                f"a mean of {trial.measure:.4f} there"
            ),
        )
        self._progress.note(
            f"chosen: {trial.basis}, L2 {trial.l2:g}{_led(found.guided)}, held-out "
            f"{_MEASURES[recipe.measure]} {trial.measure:.4f}"
        )
        if self._activation == "softmax":
            self._progress.note("a softmax is not calibrated: its thresholds stay as they are")
            return head
        if recipe.calibration == "none":
            return head
        counts = [Counts.none() for _ in head.thresholds]
        size = self._masks.shape[-1]
        images = zip(found.held_out.grids, self._guides, self._goals, strict=True)
        for grid, guide, goals in images:
            logits = pixel_logits(replace(head, calibration=None), grid, size, size, guide)
            for one, pixels, goal in zip(counts, logits, goals, strict=True):
                one.add(pixels, goal)
        return calibrate(head, counts, recipe.calibration)

    def _best_of(self, bases: Sequence[Basis], l2: float) -> Found:
        steps = self._progress.steps(bases, what="cross-validating", total=len(bases))
        return self._best(self._try(basis, l2) for basis in steps)

    def _try(self, basis: Basis, l2: float) -> Found:
        found = self._held_out(basis, l2)
        return self._judged(basis, found, None, l2=l2)

    def _judged(
        self, basis: Basis, held_out: HeldOut, guided: Guided | None, *, l2: float
    ) -> Found:
        measure, thresholds = self._levels(held_out, guided)
        trial = Trial(
            basis=written(basis, size_px=self._size_px),
            floats=held_out.theta.shape[1] - 1,
            l2=l2,
            measure=round(measure, 6),
            thresholds=thresholds,
            loss=round(held_out.loss, 6),
            guided=guided,
        )
        self._trials.append(trial)
        many = "s" if len(thresholds) > 1 else ""
        self._progress.note(
            f"{trial.basis}, L2 {l2:g}{_led(guided)}: held-out {_MEASURES[self._recipe.measure]} "
            f"{measure:.4f} at threshold{many} {', '.join(f'{one:g}' for one in thresholds)}"
        )
        return Found(basis=basis, trial=trial, held_out=held_out, guided=guided, trials=())

    def _combined(self, units: Sequence[Basis], l2: float) -> Found:
        """Add layers greedily: the best single one, then what adds most to it, and so on."""
        rounds = [self._best_of(units, l2)]
        for _ in range(min(self._recipe.max_layers, len(units)) - 1):
            so_far = rounds[-1].basis
            wider = {_merged(so_far, unit): None for unit in units}
            wider.pop(so_far, None)
            rounds.append(self._best_of(list(wider), l2))
        return self._best(rounds)

    def _added(self, best: Found, basis: Basis, *, gain: float) -> Found:
        """Keep what is added to a basis only if it helps by more than ``gain``."""
        found = self._try(basis, best.trial.l2)
        return found if found.trial.measure > best.trial.measure + gain else best

    def _sharpened(self, best: Found) -> Found:
        tried = [
            self._judged(
                best.basis,
                best.held_out,
                Guided(size_px=_WORKING_PX, radius_px=radius, epsilon=epsilon),
                l2=best.trial.l2,
            )
            for radius, epsilon in _GUIDED
        ]
        return self._best([best, *tried])

    def _best(self, found: Iterable[Found]) -> Found:
        """Give the one with the highest measure, of equal ones the first, and let the rest go."""
        best: Found | None = None
        for one in found:
            if best is None or one.trial.measure > best.trial.measure:
                best = one
        assert best is not None, "there is at least one basis"
        return best

    def _plain_head(self, guided: Guided | None, thresholds: tuple[float, ...]) -> Head:
        return Head(
            activation=self._activation,
            thresholds=thresholds,
            threshold_choice="",
            guided=guided,
        )

    def _levels(self, held_out: HeldOut, guided: Guided | None) -> tuple[float, tuple[float, ...]]:
        head = self._plain_head(guided, (0.5,) * self._masks.shape[1])
        size = self._masks.shape[-1]
        curves = []
        for grid, guide, masks in zip(held_out.grids, self._guides, self._masks, strict=True):
            logits = pixel_logits(head, grid, size, size, guide)
            odds = torch.logit(probabilities(head, logits), eps=1e-7)
            if head.activation == "softmax":
                first = torch.arange(len(logits))[:, None, None] == logits.argmax(0)
                odds = odds.where(first, -20.0)
            pairs = zip(odds, masks, strict=True)
            curves.append(
                torch.stack([overlap_curve(*pair, self._recipe.measure) for pair in pairs])
            )
        by_target = torch.stack(curves, dim=1)
        best = [best_level(one) for one in by_target]
        values = [float(one.mean(0)[at]) for one, at in zip(by_target, best, strict=True)]
        return sum(values) / len(values), tuple((at + 1) / LEVELS for at in best)


def _led(guided: Guided | None) -> str:
    if guided is None:
        return ""
    return f", sharpened with radius {guided.radius_px}, epsilon {guided.epsilon:g}"


def _merged(basis: Basis, unit: Basis) -> Basis:
    """Add a unit's one layer to a basis: to its pass of the same tiling, or as a new pass."""
    (new,) = unit.passes
    tilings = [one.tiles for one in basis.passes]
    if new.tiles not in tilings:
        passes = sorted([*basis.passes, new], key=lambda one: one.tiles)
        return replace(basis, passes=tuple(passes))
    passes = [
        replace(one, layers=tuple(sorted({*one.layers, *new.layers})))
        if one.tiles == new.tiles
        else one
        for one in basis.passes
    ]
    return replace(basis, passes=tuple(passes))


_MEASURES = {"dice": "Dice", "iou": "IoU"}
