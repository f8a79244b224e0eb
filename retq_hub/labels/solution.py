"""Grading images: what is learned from labels, ready for the manifest."""

from dataclasses import dataclass

from torch import Tensor

from retq_hub.backbone import Backbone
from retq_hub.basis import Basis
from retq_hub.features import TokenCache
from retq_hub.kinds import Pooling
from retq_hub.labels.candidate import Candidate, Pooler, averaged, embedded, weighed
from retq_hub.labels.jointsearch import JointSearch
from retq_hub.labels.recipe import FLAIR_C, LabelRecipe
from retq_hub.labels.search import Judged, LabelSearch, solve_linear
from retq_hub.labels.trainingset import LabelTrainingSet
from retq_hub.manifest import Trial
from retq_hub.notation import width
from retq_hub.plans import last_layer
from retq_hub.progress import Progress
from retq_hub.query import Query
from retq_hub.recipe import Recipe, checked_bases

__all__ = ["LabelSolution", "bases_of", "solve_labels"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelSolution:
    """How images are graded, as a recipe found it.

    Attributes:
        basis: Whose tokens are pooled.
        pooling: How.
        attention: (A, D) vectors and (A,) biases, where positions are weighed.
        vector: (R, E) float32, on raw features.
        bias: (B,) float32.
        recipe: One word for the manifest.
        l2: Weight of the classifier's L2 term.
        selection: What was chosen, and how.
        trials: All that cross-validation tried.
        scores: (n, B) float64, what is said of each image while it is held out; None where nothing
            was left open.
    """

    basis: Basis
    pooling: Pooling
    attention: tuple[Tensor, Tensor] | None
    vector: Tensor
    bias: Tensor
    recipe: str
    l2: float
    selection: str
    trials: tuple[Trial, ...]
    scores: Tensor | None


def bases_of(recipe: LabelRecipe, backbone: Backbone) -> list[Basis]:
    """Give the bases that a recipe chooses from.

    Raises:
        UsageError: The backbone cannot give such a basis.
    """
    wanted = Recipe(bases=recipe.bases, max_layers=recipe.max_layers)
    return checked_bases(wanted, backbone.spec)


def solve_labels(
    data: LabelTrainingSet,
    cache: TokenCache,
    backbone: Backbone,
    recipe: LabelRecipe,
    *,
    weigher: Query | None,
    progress: Progress,
) -> LabelSolution:
    """Choose and solve.

    Args:
        data: The images and labels.
        cache: Their tokens.
        backbone: The backbone.
        recipe: What is not left to cross-validation.
        weigher: A query whose map weighs the tokens.
        progress: Where to report.

    Raises:
        UsageError: The recipe makes no sense for the backbone.
        IntegrityError: The backbone gives something else than numbers.
        StorageError: The cache cannot be written.
    """
    size_px = backbone.spec.preprocessing.size_px
    candidates = _candidates(backbone, recipe, weigher)
    pooler = Pooler(cache, data.samples, progress)
    pooler.embed(candidates)
    if recipe.kind == "flair":
        return _as_flair(data, pooler, recipe, candidates[0])
    search = LabelSearch(data, pooler, recipe, size_px=size_px, progress=progress)
    best = search.run(candidates)
    if recipe.pooling != "attention":
        return _linear(data, pooler, recipe, best, tuple(search.trials))
    joint = JointSearch(
        data, cache, best.candidate.basis, recipe, size_px=size_px, progress=progress
    )
    learned = joint.run(best.trial.l2)
    vector, bias = learned.classifier
    return LabelSolution(
        basis=best.candidate.basis,
        pooling=learned.pooling,
        attention=learned.attention,
        vector=vector,
        bias=bias,
        recipe="attention",
        l2=best.trial.l2,
        selection=(
            f"layers and L2 weight: those of the plain mean; how attention is learned: both lowest "
            f"held-out log loss in {len(data.parts)}-fold cross-validation over the training images"
        ),
        trials=(*search.trials, *joint.trials),
        scores=learned.scores,
    )


def _candidates(backbone: Backbone, recipe: LabelRecipe, weigher: Query | None) -> list[Candidate]:
    spec = backbone.spec
    if weigher is None and recipe.pooling == "embedding":
        return [embedded(last_layer(spec))]
    bases = bases_of(recipe, backbone)
    if weigher is None:
        return [averaged(one, floats=width(one, spec.tokens.width)) for one in bases]
    manifest = weigher.manifest
    return [
        weighed(
            one,
            reads=manifest.basis,
            attention=(weigher.vector, weigher.bias),
            weigher=manifest.name,
        )
        for one in bases
    ]


def _linear(
    data: LabelTrainingSet,
    pooler: Pooler,
    recipe: LabelRecipe,
    best: Judged,
    trials: tuple[Trial, ...],
) -> LabelSolution:
    candidate = best.candidate
    vector, bias = solve_linear(pooler(candidate), data, recipe, best.trial.l2)
    return LabelSolution(
        basis=candidate.basis,
        pooling=candidate.pooling,
        attention=candidate.attention,
        vector=vector,
        bias=bias,
        recipe="query-weighted" if candidate.weigher else "linear-probe",
        l2=best.trial.l2,
        selection=_selection(recipe, trials, len(data.parts)),
        trials=trials,
        scores=best.scores,
    )


def _as_flair(
    data: LabelTrainingSet, pooler: Pooler, recipe: LabelRecipe, candidate: Candidate
) -> LabelSolution:
    l2 = 1 / (2 * FLAIR_C * len(data.samples))
    vector, bias = solve_linear(pooler(candidate), data, recipe, l2)
    return LabelSolution(
        basis=candidate.basis,
        pooling=candidate.pooling,
        attention=None,
        vector=vector,
        bias=bias,
        recipe="linear-probe",
        l2=l2,
        selection="given: as FLAIR's linear probe",
        trials=(),
        scores=None,
    )


def _selection(recipe: LabelRecipe, trials: tuple[Trial, ...], n_folds: int) -> str:
    tried = len({one.basis for one in trials})
    chosen = [f"pooling among {tried}"] if tried > 1 else []
    chosen += ["L2 weight"] if recipe.l2 is None else []
    if not chosen:
        return "given"
    return (
        f"{', '.join(chosen)}: lowest held-out log loss in {n_folds}-fold cross-validation over "
        "the training images"
    )
