"""Train a query: embed once, choose basis and head by cross-validation, solve exactly."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version as version_of
from pathlib import Path

import torch
from torch import Tensor

import retq_hub
from retq_hub import artifact, card, schema
from retq_hub.artifact import Golden
from retq_hub.backbone import LazyBackbone, plan
from retq_hub.crossval import folds
from retq_hub.dataset import Dataset, some
from retq_hub.digest import json_digest
from retq_hub.errors import DatasetError, UsageError
from retq_hub.evaluation import EVALUATION_PX, IMAGE_PREFIX
from retq_hub.features import CachedTokens, TokenCache
from retq_hub.fit import Objective
from retq_hub.grids import logit_map, pick
from retq_hub.manifest import Basis, DataUse, Head, Licence, Pass, QueryManifest, Training
from retq_hub.newton import Fit, minimise
from retq_hub.progress import Progress, Silent
from retq_hub.recipe import Recipe, checked_bases
from retq_hub.search import Found, Search

__all__ = ["Trained", "train"]

_GOLDEN_TOKENS = 16
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
        fit: The way to the optimum.
    """

    folder: Path
    manifest: QueryManifest
    fit: Fit


def train(
    dataset: Dataset | Sequence[Dataset],
    output: Path,
    *,
    name: str,
    version: str = "1.0.0",
    summary: str | None = None,
    recipe: Recipe | None = None,
    backbone: LazyBackbone | None = None,
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
        licence: The query's licence; the data set's if not given.
        authors: Who made it.
        progress: Where to report.

    Raises:
        UsageError: The recipe makes no sense for the backbone, or ``output`` holds something else
            than an artifact.
        ManifestError: Name, version or summary are not as the schema wants them.
        DatasetError: Images or masks cannot be used, too few images, or too few with the target.
        IntegrityError: The backbone gives something else than numbers.
        StorageError: Cache or output cannot be written.
    """
    progress = progress or Silent()
    recipe = recipe or Recipe()
    data = _Data([dataset] if isinstance(dataset, Dataset) else list(dataset))
    first = data.sets[0]
    backbone = backbone or LazyBackbone(progress=progress)
    summary = summary or f"Marks {data.labels}; trained on {first.title}."
    identity = {"name": name, "version": version, "summary": summary}
    schema.check_members(identity, schema.QUERY, subject="the query to be made")
    artifact.check_replaceable(output)
    bases = checked_bases(recipe, backbone.spec)
    data.read(progress)
    cache = TokenCache(backbone=backbone)
    found, head = _chosen(data, cache, bases, recipe, backbone, progress)
    fit, vector, bias = _solve(data, cache, found, recipe, progress)
    golden = _golden(cache, found.basis, vector, bias)
    manifest = QueryManifest(
        name=name,
        version=version,
        summary=summary,
        targets=tuple(one.target for one in data.sets),
        backbone=backbone.ref,
        basis=found.basis,
        head=head,
        training=_training(recipe, found, len(data.parts), len(first.samples)),
        data=(data.use(),),
        metrics=(),
        licence=licence or first.licence,
        authors=tuple(authors),
        citation=first.citation,
        intended_use=_INTENDED_USE.format(target=data.labels),
        limits=_LIMITS.format(
            grid=golden.logits.shape[-1],
            n=len(first.samples),
            title=first.title,
            caveat=f" {first.caveat}" if first.caveat else "",
        ),
        files={},
    )
    written = artifact.write(
        output,
        manifest=manifest,
        vector=vector.numpy(),
        bias=bias.numpy(),
        golden=golden,
        card=card.render(manifest, backbone.spec),
    )
    return Trained(folder=output, manifest=written, fit=fit)


class _Data:
    """The images of a training split with the masks of all targets."""

    def __init__(self, sets: Sequence[Dataset]) -> None:
        self.sets = sets
        self.samples = sets[0].samples
        digests = [[one.image_digest for one in each.samples] for each in sets]
        if any(one != digests[0] for one in digests):
            raise DatasetError(
                "the targets are drawn on different images",
                hint="train a query for each, or give the same images to all",
            )
        names = [one.target.name for one in sets]
        if len(set(names)) != len(names):
            raise UsageError(f"a target is named twice: {', '.join(names)}")
        self.digests = digests[0]
        self.masks = torch.empty(0)
        self.parts: list[list[int]] = []

    @property
    def labels(self) -> str:
        return ", ".join(one.target.label for one in self.sets)

    def read(self, progress: Progress) -> None:
        """Read the masks."""
        masks = [one.masks(EVALUATION_PX, progress=progress) for one in self.sets]
        self.masks = torch.stack([torch.from_numpy(one) for one in masks], dim=1)
        self._check_enough(progress)

    def deal(self, seed: int) -> None:
        """Deal the images into folds."""
        marked = self.masks.flatten(2).any(2)
        self.parts = folds(self.digests, seed=seed, strata=marked.sum(1).tolist())

    def use(self) -> DataUse:
        """Say in the manifest what was trained on."""
        first = self.sets[0]
        many = len(self.sets) > 1
        return DataUse(
            id="+".join(one.id for one in self.sets),
            title=first.title,
            doi=first.doi,
            licence=first.licence,
            split=first.split,
            split_digest=json_digest([one.digest for one in self.sets]) if many else first.digest,
            n_images=len(self.samples),
            n_positive=tuple(self.masks.flatten(2).any(2).sum(0).tolist()),
            images=tuple(sorted(one[:IMAGE_PREFIX] for one in self.digests)),
            citation=first.citation,
        )

    def _check_enough(self, progress: Progress) -> None:
        first = self.sets[0]
        if len(set(self.digests)) < 2:
            raise DatasetError(
                f"{first.title} has one image in split {first.split}, at least 2 are needed",
                hint="a query learned from one image cannot be checked",
            )
        marked = self.masks.flatten(2).any(2)
        for one, column in zip(self.sets, marked.T.tolist(), strict=True):
            having = {digest for digest, any_ in zip(self.digests, column, strict=True) if any_}
            if not having:
                raise DatasetError(
                    f"none of the {len(column)} masks marks {one.target.label}",
                    hint="check --target and the masks",
                )
            if len(having) < 2:
                raise DatasetError(
                    f"only one image shows {one.target.label}: with it held out, none is left",
                    hint="at least 2 images must show the target",
                )
            empty = [
                sample.id for sample, any_ in zip(self.samples, column, strict=True) if not any_
            ]
            if empty:
                progress.note(
                    f"{len(empty)} of {len(column)} images do not show {one.target.label}: "
                    f"{some(empty)}"
                )


def _chosen(
    data: _Data,
    cache: TokenCache,
    bases: Sequence[Basis],
    recipe: Recipe,
    backbone: LazyBackbone,
    progress: Progress,
) -> tuple[Found, Head]:
    """Choose basis and head by cross-validation."""

    def source(basis: Basis) -> CachedTokens:
        variants = _variants(basis, recipe)
        for one in variants:
            cache.fill(data.samples, one, progress=progress)
        return CachedTokens(cache, data.samples, variants)

    # Bases are filled one by one, but what all of them read of one pass is computed at once.
    for one in _unions(bases):
        source(one)
    data.deal(recipe.seed)
    search = Search(
        source=source,
        masks=data.masks,
        parts=data.parts,
        guides=[sample.guide for sample in data.samples],
        recipe=recipe,
        size_px=backbone.spec.preprocessing.size_px,
        progress=progress,
    )
    found = search.run(bases)
    return found, search.head(found)


def _variants(basis: Basis, recipe: Recipe) -> list[Basis]:
    """Give the basis of each view that is trained on."""
    views = [view for view in recipe.views if view != "plain"]
    return [basis, *(replace(basis, views=(view,)) for view in views)]


def _unions(bases: Sequence[Basis]) -> list[Basis]:
    """Merge the layers of equal passes, so that each pass runs once."""
    merged: dict[Pass, set[int]] = {}
    for basis in bases:
        for one in basis.passes:
            merged.setdefault(replace(one, layers=()), set()).update(one.layers)
    return [
        Basis(passes=(replace(one, layers=tuple(sorted(layers))),), norm=True)
        for one, layers in merged.items()
    ]


def _solve(
    data: _Data, cache: TokenCache, found: Found, recipe: Recipe, progress: Progress
) -> tuple[Fit, Tensor, Tensor]:
    """Solve the full objective, beginning at the coarse one's optimum."""
    objective = Objective(
        tokens=CachedTokens(cache, data.samples, _variants(found.basis, recipe)),
        masks=data.masks,
        loss=recipe.loss,
        l2=found.trial.l2,
        scale=found.held_out.scale,
    )
    images = range(len(objective.tokens))
    fit = minimise(objective, images, start=found.held_out.fit.theta)
    progress.note(f"optimum: loss {fit.loss:.6f}, to fall at most {fit.decrement:.1g}")
    return fit, *found.held_out.scale.fold(fit.theta)


def _golden(cache: TokenCache, basis: Basis, vector: Tensor, bias: Tensor) -> Golden:
    """Record what the query gives on the probe image."""
    blocks = cache.probe(basis)
    logits = logit_map([block[None] for block in blocks], vector, bias)[0]
    cells = logits[0].numel()
    positions = torch.linspace(0, cells - 1, _GOLDEN_TOKENS).round().to(torch.int32)
    return Golden(
        positions=positions.numpy(),
        tokens=pick(blocks, positions.long()).numpy(),
        logits=logits.numpy(),
    )


def _training(recipe: Recipe, found: Found, n_folds: int, n_images: int) -> Training:
    return Training(
        recipe="exact",
        loss=f"{recipe.loss.text} after bilinear upsampling to 392 x 392, plus L2",
        l2=found.trial.l2,
        seed=recipe.seed,
        selection=_selection(recipe, found, n_folds),
        versions={
            "retq-hub": retq_hub.__version__,
            "timm": version_of("timm"),
            "torch": version_of("torch"),
        },
        measure=recipe.measure,
        views=recipe.views if recipe.views != ("plain",) else None,
        trials=found.trials,
        backbone_passes=n_images * len(recipe.views) * _passes(found.basis),
    )


def _passes(basis: Basis) -> int:
    """Count the runs of the backbone for one image."""
    return sum(key.tiles**2 for key in plan([basis]))


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
