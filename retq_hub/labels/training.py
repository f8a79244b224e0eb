"""Train an artifact that grades images, and write it."""

from collections.abc import Sequence
from pathlib import Path

from retq_hub import delivery, goldens
from retq_hub.artifact import Golden
from retq_hub.backbone import Backbone
from retq_hub.errors import BackboneMismatch, UsageError
from retq_hub.features import TokenCache
from retq_hub.kinds import CLASSIFICATION, SEGMENTATION
from retq_hub.labels.labelset import LabelSet
from retq_hub.labels.recipe import LabelRecipe, check_recipe
from retq_hub.labels.solution import LabelSolution, bases_of, solve_labels
from retq_hub.labels.trainingset import LabelTrainingSet
from retq_hub.levels import best_levels
from retq_hub.manifest import DataUse, Head, Licence, QueryManifest, Training
from retq_hub.progress import Progress, Silent
from retq_hub.query import Query

__all__ = ["train_labels"]

_ACTIVATIONS = {"multiclass": "softmax", "multilabel": "sigmoid", "ordinal": "ordinal"}
_INTENDED_USE = "Research on {title} in retinal images; comparison, pre-selection."
_LIMITS = (
    "Says how likely each label is, as the readers of {title} gave them; trained on {n} images; "
    "other cameras, populations, readers and image qualities are not covered, and what is no "
    "photograph of a retina gets a label too.{caveat}"
)


def train_labels(
    labels: LabelSet,
    output: Path,
    *,
    name: str,
    version: str = "1.0.0",
    summary: str | None = None,
    recipe: LabelRecipe | None = None,
    weigh_by: Query | None = None,
    backbone: Backbone | None = None,
    licence: Licence | None = None,
    authors: Sequence[str] = ("not named",),
    progress: Progress | None = None,
) -> QueryManifest:
    """Train an artifact that grades images, and write it.

    Tokens and embeddings are computed once and cached image by image, so that a killed run carries
    on. What the recipe leaves open is chosen by cross-validation over the given images alone.

    Args:
        labels: The training split.
        output: The artifact's folder.
        name: Its name.
        version: Its version.
        summary: A line on what it says; made from the data set if not given.
        recipe: What is not left to cross-validation.
        weigh_by: A segmentation query whose map weighs the tokens that are averaged.
        backbone: The backbone; that of ``weigh_by``, or the default one, if not given.
        licence: The artifact's licence; the data set's if not given.
        authors: Who made it.
        progress: Where to report.

    Returns:
        The manifest as it was written, with all that cross-validation tried.

    Raises:
        UsageError: The recipe makes no sense for labels or backbone, ``weigh_by`` is no
            segmentation query, or ``output`` holds something else than an artifact.
        BackboneMismatch: ``weigh_by`` was made for another backbone.
        ManifestError: Name, version or summary are not as the schema wants them.
        BadInputError: The card that ``output`` has already is no text.
        DatasetError: Too few images have a label.
        IntegrityError: The backbone gives something else than numbers.
        StorageError: Cache or output cannot be written.
    """
    progress = progress or Silent()
    recipe = recipe or LabelRecipe()
    summary = summary or f"Grades images by {labels.title}."
    check_recipe(recipe, scale=labels.scale, weighed=weigh_by is not None)
    delivery.check(output, name=name, version=version, summary=summary)
    backbone = _backbone(backbone, weigh_by, progress)
    bases_of(recipe, backbone)
    data = LabelTrainingSet(labels, seed=recipe.seed, progress=progress)
    cache = TokenCache(backbone=backbone)
    solution = solve_labels(data, cache, backbone, recipe, weigher=weigh_by, progress=progress)
    manifest = QueryManifest(
        name=name,
        version=version,
        summary=summary,
        kind=CLASSIFICATION,
        targets=labels.targets,
        backbone=backbone.ref,
        basis=solution.basis,
        pooling=solution.pooling,
        head=_head(data, solution),
        training=_training(data, recipe, solution),
        data=(data.use(), *_seen_before(weigh_by)),
        derived=None if weigh_by is None else (weigh_by.derived("weighted by"),),
        metrics=(),
        licence=licence or labels.licence,
        authors=tuple(authors),
        citation=labels.citation,
        intended_use=_INTENDED_USE.format(title=labels.title),
        limits=_LIMITS.format(
            n=len(labels.samples),
            title=labels.title,
            caveat=f" {labels.caveat}" if labels.caveat else "",
        ),
        files={},
    )
    return delivery.deliver(
        output,
        manifest=manifest,
        vector=solution.vector,
        bias=solution.bias,
        golden=_golden(cache, solution),
        backbone=backbone,
        progress=progress,
        attention=solution.attention,
    )


def _backbone(given: Backbone | None, weigher: Query | None, progress: Progress) -> Backbone:
    """Give the backbone, and refuse a query that cannot weigh its tokens."""
    if weigher is None:
        return given or Backbone.asleep(progress=progress)
    manifest = weigher.manifest
    if not manifest.is_kind(SEGMENTATION):
        raise UsageError(
            f"{manifest.name} is of kind {manifest.kind}: it has no map to weigh tokens by",
            hint="name a segmentation query",
        )
    found = given or Backbone.asleep(manifest.backbone.id, progress=progress)
    try:
        progress.note(found.check(manifest.backbone))
    except BackboneMismatch as error:
        raise BackboneMismatch(f"{manifest.name}: {error.found}", hint=error.hint) from error
    return found


def _head(data: LabelTrainingSet, solution: LabelSolution) -> Head:
    scale = data.labels.scale
    if scale != "multilabel":
        return Head(
            activation=_ACTIVATIONS[scale],
            thresholds=(),
            threshold_choice="the median grade" if scale == "ordinal" else "the most probable",
        )
    assert solution.scores is not None, "findings are cross-validated"
    return Head(
        activation=_ACTIVATIONS[scale],
        thresholds=best_levels(solution.scores.sigmoid(), data.values),
        threshold_choice="highest balanced accuracy over held-out images, for each finding",
    )


def _training(data: LabelTrainingSet, recipe: LabelRecipe, solution: LabelSolution) -> Training:
    alike = ", all classes counting the same" if recipe.balanced or recipe.kind == "flair" else ""
    return Training(
        recipe=solution.recipe,
        loss=f"{data.likelihood.text}{alike}, plus L2",
        l2=solution.l2,
        seed=recipe.seed,
        selection=solution.selection,
        versions=delivery.versions(),
        measure="log_loss" if solution.trials else None,
        trials=solution.trials or None,
    )


def _seen_before(weigher: Query | None) -> tuple[DataUse, ...]:
    """Say which images a query that weighs was made from: they have been seen too."""
    return () if weigher is None else weigher.manifest.data


def _golden(cache: TokenCache, solution: LabelSolution) -> Golden:
    classifier = (solution.vector, solution.bias)
    if solution.attention is None:
        return goldens.of_scores(cache.probe_embedding(), *classifier)
    how = solution.pooling
    assert how.weighting is not None, "attention has a weighting"
    return goldens.of_attention(
        cache.probe(how.basis or solution.basis),
        solution.attention,
        cache.probe(solution.basis),
        classifier,
        weighting=how.weighting,
        whole=bool(how.whole),
    )
