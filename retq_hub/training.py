"""Train a query: embed once, choose basis and threshold by cross-validation, solve exactly."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version as version_of
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import retq_hub
from retq_hub import artifact, card, probe, schema
from retq_hub.artifact import Golden
from retq_hub.backbone import Backbone, LazyBackbone, assemble, plan
from retq_hub.crossval import Choice, Trial, assess, choose_layers, coarse_fit, folds
from retq_hub.dataset import Dataset, some
from retq_hub.errors import DatasetError, UsageError
from retq_hub.evaluation import EVALUATION_PX, IMAGE_PREFIX
from retq_hub.features import TokenCache
from retq_hub.fit import Fit, Objective, minimise, standardise
from retq_hub.heads import logit_map
from retq_hub.manifest import (
    Basis,
    DataUse,
    Head,
    Licence,
    Pass,
    QueryManifest,
    Training,
)
from retq_hub.progress import Progress, Silent

__all__ = ["L2_WEIGHTS", "Recipe", "Trained", "train"]

L2_WEIGHTS = (1e-4, 3e-4, 1e-3, 3e-3)
"""Weights of the L2 term that cross-validation chooses from."""

_SEARCH_L2 = 1e-3
_GOLDEN_TOKENS = 16
_INTENDED_USE = "Research on {target} in retinal images; comparison, explanation, pre-selection."
_LIMITS = (
    "A coarse map of {grid} x {grid} cells, upsampled: outlines are approximate and structures "
    "much smaller than a cell are found only as regions. Trained on {n} images of {title}; other "
    "cameras, populations and image qualities are not covered.{caveat}"
)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What may be said about how a query is trained.

    Attributes:
        layers: Blocks to read; searched by cross-validation if None.
        max_layers: At most so many blocks are combined in the search.
        l2: Weight of the L2 term; chosen by cross-validation if None.
        seed: Deals the images into folds.
    """

    layers: tuple[int, ...] | None = None
    max_layers: int = 1
    l2: float | None = None
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained query.

    Attributes:
        folder: Where its artifact lies.
        manifest: Its manifest.
        choice: What cross-validation tried and chose.
        loss: The objective at the optimum.
        decrement: How much the objective could still fall.
    """

    folder: Path
    manifest: QueryManifest
    choice: Choice
    loss: float
    decrement: float


def train(
    dataset: Dataset,
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

    Tokens are computed once and cached image by image, so that a killed run carries on. Layers,
    L2 weight and threshold are chosen by cross-validation over the given images alone.

    Args:
        dataset: The training split.
        output: The artifact's folder.
        name: The query's name.
        version: Its version.
        summary: A line on what it marks; made from the data set if not given.
        recipe: Basis, L2 weight, seed; all by cross-validation if not given.
        backbone: The backbone; the default one if not given.
        licence: The query's licence; the data set's if not given.
        authors: Who made it.
        progress: Where to report.

    Raises:
        UsageError: The recipe names layers that the backbone does not have, or ``output`` holds
            something else than an artifact.
        ManifestError: Name, version or summary are not as the schema wants them.
        DatasetError: Images or masks cannot be used, too few images, or no image has the target.
        StorageError: Cache or output cannot be written.
    """
    progress = progress or Silent()
    recipe = recipe or Recipe()
    backbone = backbone or LazyBackbone(progress=progress)
    summary = summary or f"Marks {dataset.target.label}; trained on {dataset.title}."
    identity = {"name": name, "version": version, "summary": summary}
    schema.check_members(identity, schema.QUERY, subject="the query to be made")
    artifact.check_replaceable(output)
    candidates = _candidates(recipe, backbone)
    masks = torch.from_numpy(dataset.masks(EVALUATION_PX, progress=progress))
    _check_enough(dataset, masks, progress)
    cache = TokenCache(backbone=backbone)
    cache.fill(dataset.samples, _basis(backbone, candidates), progress=progress)
    search = _Search(dataset, cache, backbone, masks, recipe, progress)
    choice = search.choose(candidates)
    best = choice.best
    fit, vector, bias = _solve(search.tokens(best.layers), masks, best.l2, progress)
    basis = _basis(backbone, best.layers)
    manifest = QueryManifest(
        name=name,
        version=version,
        summary=summary,
        targets=(dataset.target,),
        backbone=backbone().ref,
        basis=basis,
        head=Head(
            activation="sigmoid",
            thresholds=(best.threshold,),
            threshold_choice=(
                f"highest mean Dice over held-out images, the worst tenth left out; "
                f"{search.n_folds}-fold cross-validation on the training images gives a mean "
                f"Dice of {best.dice:.4f} there"
            ),
        ),
        training=_training(recipe, choice, search.n_folds),
        data=(_data_use(dataset, masks),),
        metrics=(),
        licence=licence or dataset.licence,
        authors=tuple(authors),
        citation=dataset.citation,
        intended_use=_INTENDED_USE.format(target=dataset.target.label),
        limits=_LIMITS.format(
            grid=backbone.spec.tokens.grid,
            n=len(dataset.samples),
            title=dataset.title,
            caveat=f" {dataset.caveat}" if dataset.caveat else "",
        ),
        files={},
    )
    written = artifact.write(
        output,
        manifest=manifest,
        vector=vector[None].numpy(),
        bias=np.array([bias], dtype=np.float32),
        golden=_golden(backbone(), basis, vector[None], torch.tensor([bias])),
        card=card.render(manifest, backbone.spec),
    )
    return Trained(
        folder=output, manifest=written, choice=choice, loss=fit.loss, decrement=fit.decrement
    )


class _Search:
    """Cross-validation on the cached tokens of a data set."""

    def __init__(
        self,
        dataset: Dataset,
        cache: TokenCache,
        backbone: LazyBackbone,
        masks: Tensor,
        recipe: Recipe,
        progress: Progress,
    ) -> None:
        self._dataset = dataset
        self._cache = cache
        self._backbone = backbone
        self._masks = masks
        self._recipe = recipe
        self._progress = progress
        digests = [sample.image_digest for sample in dataset.samples]
        self._parts = folds(digests, seed=recipe.seed)
        self.n_folds = len(self._parts)

    def tokens(self, layers: tuple[int, ...]) -> Tensor:
        return self._cache.tokens(self._dataset.samples, _basis(self._backbone, layers))

    def choose(self, candidates: Sequence[int]) -> Choice:
        """Choose layers, then the L2 weight, where the recipe leaves them open."""
        recipe = self._recipe
        first_l2 = recipe.l2 if recipe.l2 is not None else _SEARCH_L2
        if recipe.layers is None:
            found = choose_layers(
                candidates, recipe.max_layers, lambda layers: self._trial(layers, first_l2)
            )
            trials, layers = found.trials, found.best.layers
        else:
            trials, layers = (self._trial(recipe.layers, first_l2),), recipe.layers
        if recipe.l2 is None:
            others = [weight for weight in L2_WEIGHTS if weight != first_l2]
            trials += tuple(self._trial(layers, weight) for weight in others)
        best = max((one for one in trials if one.layers == layers), key=lambda one: one.dice)
        return Choice(best=best, trials=trials)

    def _trial(self, layers: tuple[int, ...], l2: float) -> Trial:
        trial = assess(self.tokens(layers), self._masks, l2=l2, parts=self._parts, layers=layers)
        self._progress.note(
            f"layers {', '.join(map(str, layers))}, L2 {l2:g}: held-out Dice {trial.dice:.4f} "
            f"at {trial.threshold:g}, loss {trial.loss:.5f}"
        )
        return trial


def _solve(
    tokens: Tensor, masks: Tensor, l2: float, progress: Progress
) -> tuple[Fit, Tensor, float]:
    """Solve the full objective, beginning at the coarse one's optimum."""
    standard, fold_back = standardise(tokens)
    _, coarse = coarse_fit(standard, masks, l2)
    objective = Objective(tokens=standard, masks=masks, l2=l2)
    fit = minimise(objective, range(len(tokens)), start=coarse.theta)
    progress.note(f"optimum: loss {fit.loss:.6f}, to fall at most {fit.decrement:.1g}")
    vector, bias = fold_back.fold(fit.theta)
    return fit, vector, bias


def _golden(backbone: Backbone, basis: Basis, vector: Tensor, bias: Tensor) -> Golden:
    """Record what the query gives on the probe image."""
    image = Image.fromarray(probe.probe_image(basis.passes[0].size_px))
    tokens = assemble(backbone.tokens(image, plan([basis]))[0], basis)
    positions = torch.linspace(0, len(tokens) - 1, _GOLDEN_TOKENS).round().to(torch.int32)
    return Golden(
        positions=positions.numpy(),
        tokens=tokens[positions.long()].numpy(),
        logits=logit_map(tokens[None], vector, bias)[0].numpy(),
    )


def _basis(backbone: LazyBackbone, layers: Sequence[int]) -> Basis:
    size = backbone.spec.preprocessing.size_px
    return Basis(passes=(Pass(size_px=size, tiles=1, layers=tuple(layers)),), norm=True)


def _candidates(recipe: Recipe, backbone: LazyBackbone) -> tuple[int, ...]:
    if recipe.l2 is not None and not 0 < recipe.l2 < float("inf"):
        raise UsageError(
            f"an L2 weight of {recipe.l2:g} gives no unique solution", hint="such as 0.001"
        )
    if recipe.layers is None:
        if recipe.max_layers < 1:
            raise UsageError(f"at most {recipe.max_layers} layers leave nothing to read")
        return backbone.spec.tokens.candidates
    depth = backbone.spec.tokens.layers
    wrong = [layer for layer in recipe.layers if not 0 <= layer < depth]
    if wrong or not recipe.layers or len(set(recipe.layers)) != len(recipe.layers):
        raise UsageError(
            f"layers {list(recipe.layers)} cannot be read from {backbone.spec.id}",
            hint=f"name some of 0-{depth - 1}, each once",
        )
    return recipe.layers


def _check_enough(dataset: Dataset, masks: Tensor, progress: Progress) -> None:
    if len({sample.image_digest for sample in dataset.samples}) < 2:
        raise DatasetError(
            f"{dataset.title} has one image in split {dataset.split}, at least 2 are needed",
            hint="a query learned from one image cannot be checked",
        )
    if not bool(masks.any()):
        raise DatasetError(
            f"none of the {len(masks)} masks marks {dataset.target.label}",
            hint="check --target and the masks",
        )
    marked = masks.flatten(1).any(1).tolist()
    if empty := [one.id for one, any_ in zip(dataset.samples, marked, strict=True) if not any_]:
        progress.note(
            f"{len(empty)} of {len(masks)} images do not show {dataset.target.label}: {some(empty)}"
        )


def _data_use(dataset: Dataset, masks: Tensor) -> DataUse:
    return DataUse(
        id=dataset.id,
        title=dataset.title,
        doi=dataset.doi,
        licence=dataset.licence,
        split=dataset.split,
        split_digest=dataset.digest,
        n_images=len(dataset.samples),
        n_positive=(int(masks.flatten(1).any(1).sum()),),
        images=tuple(sorted(one.image_digest[:IMAGE_PREFIX] for one in dataset.samples)),
        citation=dataset.citation,
    )


def _training(recipe: Recipe, choice: Choice, n_folds: int) -> Training:
    tried = len({trial.layers for trial in choice.trials})
    searched = [f"layers among {tried} combinations"] if recipe.layers is None else []
    searched += ["L2 weight"] if recipe.l2 is None else []
    selection = (
        f"{' and '.join(searched)}: highest held-out Dice in {n_folds}-fold cross-validation over "
        "the training images"
        if searched
        else "given"
    )
    return Training(
        recipe="exact",
        loss="binary cross-entropy after bilinear upsampling to 392 x 392, plus L2",
        l2=choice.best.l2,
        seed=recipe.seed,
        selection=selection,
        versions={
            "retq-hub": retq_hub.__version__,
            "timm": version_of("timm"),
            "torch": version_of("torch"),
        },
    )
