"""Train a query by either recipe, and write its artifact."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from retq_hub import delivery, goldens
from retq_hub.artifact import Golden
from retq_hub.backbone import Backbone
from retq_hub.chart import draw
from retq_hub.curve import Curve
from retq_hub.dataset import Dataset
from retq_hub.errors import UsageError
from retq_hub.exact import solve_exactly
from retq_hub.features import TokenCache
from retq_hub.losses import SoftmaxEntropy
from retq_hub.manifest import Licence, QueryManifest, Training
from retq_hub.progress import Progress, Silent
from retq_hub.recipe import Recipe, checked_bases
from retq_hub.replication import solve_as_in_paper
from retq_hub.solution import Solution
from retq_hub.storage import write_text
from retq_hub.store.store import Store
from retq_hub.trainingset import TrainingSet

__all__ = ["Trained", "described", "finish", "train"]

_INTENDED_USE = "Research on {target} in retinal images; comparison, explanation, pre-selection."
_LIMITS = (
    "A map of {grid} x {grid} cells, upsampled: outlines are approximate and structures "
    "much smaller than a cell are found only as regions. Trained on {n} images of {title}; other "
    "cameras, populations and image qualities are not covered.{caveat}"
)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained query.

    Attributes:
        folder: Where its artifact lies.
        manifest: Its manifest, with all that cross-validation tried.
        curve: How the loss came down.
    """

    folder: Path
    manifest: QueryManifest
    curve: Curve


def train(
    dataset: Dataset | Sequence[Dataset],
    output: Path,
    *,
    name: str,
    version: str = "1.0.0",
    summary: str | None = None,
    recipe: Recipe | None = None,
    backbone: Backbone | None = None,
    store: Store | None = None,
    licence: Licence | None = None,
    authors: Sequence[str] = ("not named",),
    progress: Progress | None = None,
) -> Trained:
    """Train a query and write its artifact.

    Tokens are computed once and cached image by image, so that a killed run carries on. Basis, L2
    weight and head are chosen by cross-validation over the given images alone.

    Args:
        dataset: The training split; one for each target where a query has several, of the same
            images in the same order.
        output: The artifact's folder.
        name: The query's name.
        version: Its version.
        summary: A line on what it marks; made from the data set if not given.
        recipe: What is not left to cross-validation.
        backbone: The backbone; the default one if not given.
        store: Tokens of the images, where `retq embed` has made them; not for the paper's recipe,
            which alters the images.
        licence: The query's licence; the data set's if not given.
        authors: Who made it.
        progress: Where to report.

    Raises:
        UsageError: The recipe makes no sense for the backbone, or ``output`` holds something else
            than an artifact.
        ManifestError: Name, version or summary are not as the schema wants them.
        BadInputError: The card that ``output`` has already is no text.
        DatasetError: Images or masks cannot be used, too few images, or too few with the target.
        IntegrityError: The backbone gives something else than numbers.
        StorageError: Cache or output cannot be written.
    """
    progress = progress or Silent()
    recipe = recipe or Recipe()
    if recipe.kind == "paper" and store is not None:
        raise UsageError(
            "the paper's recipe alters the images: stored tokens are of no use to it",
            hint="leave --from-tokens out, or train by --recipe exact",
        )
    sets = [dataset] if isinstance(dataset, Dataset) else list(dataset)
    first = sets[0]
    labels = ", ".join(one.target.label for one in sets)
    summary = summary or f"Marks {labels}; trained on {first.title}."
    delivery.check(output, name=name, version=version, summary=summary)
    backbone = backbone or Backbone.asleep(progress=progress)
    checked_bases(recipe, backbone.spec)
    data = TrainingSet(sets, seed=recipe.seed, progress=progress)
    if isinstance(recipe.loss, SoftmaxEntropy):
        data.check_exclusive()
    cache = TokenCache(backbone=backbone, store=store)
    if recipe.kind == "paper":
        solution = solve_as_in_paper(data, backbone, recipe, progress)
    else:
        solution = solve_exactly(data, cache, backbone, recipe, progress)
    golden = goldens.of_map(cache.probe(solution.basis), solution.vector, solution.bias)
    assert golden.logits is not None, "a map has golden logits"
    manifest = QueryManifest(
        name=name,
        version=version,
        summary=summary,
        targets=tuple(one.target for one in sets),
        backbone=backbone.ref,
        basis=solution.basis,
        head=solution.head,
        training=described(recipe, solution),
        data=(data.use(),),
        metrics=(),
        licence=licence or first.licence,
        authors=tuple(authors),
        citation=first.citation,
        intended_use=_INTENDED_USE.format(target=labels),
        limits=_LIMITS.format(
            grid=golden.logits.shape[-1],
            n=len(first.samples),
            title=first.title,
            caveat=f" {first.caveat}" if first.caveat else "",
        ),
        files={},
    )
    return finish(
        output,
        manifest=manifest,
        solution=solution,
        golden=golden,
        backbone=backbone,
        progress=progress,
    )


def finish(
    output: Path,
    *,
    manifest: QueryManifest,
    solution: Solution,
    golden: Golden,
    backbone: Backbone,
    progress: Progress,
) -> Trained:
    """Write the artifact of a solution, and how its loss came down.

    Args:
        output: The artifact's folder.
        manifest: Its manifest.
        solution: The vectors, and how they were found.
        golden: What they give on the probe image.
        backbone: What they are for.
        progress: Where to report.

    Raises:
        ManifestError: The manifest breaks its schema.
        StorageError: The place cannot be written.
    """
    written = delivery.deliver(
        output,
        manifest=manifest,
        vector=solution.vector,
        bias=solution.bias,
        golden=golden,
        backbone=backbone,
        progress=progress,
    )
    solution.curve.write(output / "training.csv")
    title = f"Training of {manifest.name}"
    write_text(output / "training.svg", draw(solution.curve, title=title))
    return Trained(folder=output, manifest=written, curve=solution.curve)


def described(recipe: Recipe, solution: Solution) -> Training:
    """Say in the manifest how a solution was found."""
    exact = recipe.kind == "exact"
    return Training(
        recipe=recipe.kind,
        loss=solution.loss,
        l2=solution.l2,
        seed=recipe.seed,
        selection=solution.selection,
        versions=delivery.versions(),
        measure=recipe.measure if exact else None,
        views=recipe.views if recipe.views != ("plain",) else None,
        trials=solution.trials or None,
        backbone_passes=solution.backbone_passes,
    )
