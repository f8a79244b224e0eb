"""Score a query on a split, per image, per pixel and per lesion; put figures into its manifest."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from retq_hub import artifact, cardfile, registry
from retq_hub.application import Application
from retq_hub.backbone import Backbone
from retq_hub.comparison import Comparison, compare
from retq_hub.dataset import Dataset, Sample
from retq_hub.errors import DatasetError, UsageError
from retq_hub.features import ImageFile, TokenCache
from retq_hub.figures import Evaluation, Example
from retq_hub.heads import margins, pixel_logits
from retq_hub.images import decode
from retq_hub.kinds import CLASSIFICATION, TEXT
from retq_hub.lesions import detect, froc
from retq_hub.manifest import Measured, QueryManifest
from retq_hub.metrics import METRICS, ImageMetrics, by_group, score, summarise
from retq_hub.pixels import PixelCounts
from retq_hub.preparation import Needs, scene
from retq_hub.progress import Progress, Silent
from retq_hub.query import Query
from retq_hub.resampling import area_intervals, coarse_counts
from retq_hub.result import ZeroShot
from retq_hub.store.store import Store

__all__ = [
    "EVALUATION_PX",
    "IMAGE_PREFIX",
    "Evaluation",
    "Found",
    "Split",
    "check_recordable",
    "evaluate",
    "record",
    "trained_on",
]

EVALUATION_PX = 392
"""Side of the square on which prediction and mask are compared, as in the paper."""


IMAGE_PREFIX = 12
"""So many digits of each training image's digest stand in the manifest."""


class Split(Protocol):
    """A split of a data set, whatever is known of its images."""

    @property
    def samples(self) -> Sequence[ImageFile]:
        """The images."""
        ...


class Found(Protocol):
    """What was found of a query on a split."""

    @property
    def manifest(self) -> QueryManifest:
        """The query's."""
        ...

    @property
    def dataset(self) -> str:
        """The data set's id."""
        ...

    @property
    def split(self) -> str:
        """The split."""
        ...

    @property
    def n_trained_on(self) -> int:
        """How many of the images the query was trained on."""
        ...

    @property
    def images(self) -> Sequence[object]:
        """The images."""
        ...


def evaluate(
    query: Query | str | Path,
    dataset: Dataset,
    *,
    against: Query | str | Path | None = None,
    size_px: int = EVALUATION_PX,
    backbone: Backbone | None = None,
    store: Store | None = None,
    allow_mismatch: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Score a query on a split.

    Masks are brought to a square by area averaging (marked from half on), logits by bilinear
    upsampling, as in the paper. Tokens go through the cache.

    Args:
        query: The query, its name or its folder.
        dataset: The split.
        against: Another query for the same target, to compare with image by image.
        size_px: Side of the square.
        backbone: Where it is loaded already; that of each query's manifest if not given.
        store: Tokens of the images, where `retq embed` has made them.
        allow_mismatch: Evaluate a query that was made for another backbone.
        progress: Where to report.

    Raises:
        UsageError: The query has several targets and none is called like the data set's, or the
            two queries have different targets, or one classifies whole images.
        BackboneMismatch: The query was made for another backbone.
        DatasetError: Images or masks cannot be used, or no mask marks anything.
    """
    progress = progress or Silent()
    scorers = [
        _Scorer(
            one if isinstance(one, Query) else Query.from_pretrained(one),
            dataset,
            backbone=backbone,
            store=store,
            size_px=size_px,
        )
        for one in (query, against)
        if one is not None
    ]
    _check_targets(scorers)
    for scorer in scorers:
        scorer.prepare(allow_mismatch=allow_mismatch, progress=progress)
    masks = dataset.masks(size_px, progress=progress)
    if not masks.any() or masks.all():
        raise DatasetError(
            f"no image of split {dataset.split!r} of {dataset.id} shows {dataset.target.name!r} "
            f"at {size_px} x {size_px} pixels, or all pixels do: nothing can be scored",
            hint="check --target, --split and the masks",
        )
    found, *others = [scorer.evaluation(masks, progress=progress) for scorer in scorers]
    if not others:
        return found
    (other,) = others
    differences = compare(found.images, other.images)
    comparison = Comparison(query=other.query, threshold=other.threshold, differences=differences)
    return replace(found, against=comparison)


class _Scorer:
    """One query on one split."""

    def __init__(
        self,
        query: Query,
        dataset: Dataset,
        *,
        backbone: Backbone | None,
        store: Store | None,
        size_px: int,
    ) -> None:
        self.manifest = query.manifest
        if self.manifest.is_kind(CLASSIFICATION):
            raise UsageError(
                f"{self.manifest.name} classifies whole images: it marks no pixels",
                hint="evaluate it with labels: --labels CSV --column NAME",
            )
        self._query = query
        self._number = _target_number(self.manifest, dataset)
        self.target = self.manifest.targets[self._number].name
        self._dataset = dataset
        self._size_px = size_px
        self._backbone = backbone
        self._store = store

    def prepare(self, *, allow_mismatch: bool, progress: Progress) -> None:
        """Check the backbone and fill the token cache."""
        backbone = self._backbone or Backbone.asleep(self.manifest.backbone.id, progress=progress)
        progress.note(backbone.check(self.manifest.backbone, allow_mismatch=allow_mismatch))
        if self.target != self._dataset.target.name:
            drawn = self._dataset.target.name
            progress.note(f"{self.manifest.name} marks {self.target!r}, the masks {drawn!r}")
        if seen := trained_on(self.manifest, self._dataset):
            progress.note(
                f"{self.manifest.name}: {seen} of {len(self._dataset.samples)} images were "
                "trained on: figures on them say nothing of new images"
            )
        self._cache = TokenCache(backbone=backbone, store=self._store)
        self._application = Application({"query": self._query}, backbone=backbone)
        self._cache.fill(self._dataset.samples, self.manifest.basis, progress=progress)

    def evaluation(self, masks: NDArray[np.bool_], *, progress: Progress) -> Evaluation:
        """Score all images; (n, S, S) masks."""
        threshold = self.manifest.head.thresholds[self._number]
        images, lesions, coarse, pixels = [], [], [], PixelCounts()
        pairs = list(zip(self._dataset.samples, masks, strict=True))
        for sample, mask in progress.steps(pairs, what="scoring", total=len(pairs)):
            logits = self._logits(sample)
            images.append(replace(score(sample.id, logits, mask, threshold), group=sample.group))
            pixels.add(logits, mask)
            coarse.append(coarse_counts(logits, mask))
            lesions.append(detect(logits, mask, threshold))
        pooled = pixels.summary()
        intervals = area_intervals(coarse, auprc=pooled.auprc, auroc=pooled.auroc)
        dataset, manifest = self._dataset, self.manifest
        return Evaluation(
            manifest=manifest,
            dataset=dataset.id,
            target=dataset.target.name,
            split=dataset.split,
            split_digest=dataset.digest,
            n_trained_on=trained_on(manifest, dataset),
            threshold=threshold,
            size_px=self._size_px,
            metrics=summarise(images),
            images=tuple(images),
            groups=by_group(images),
            pooled=replace(pooled, ci95=intervals),
            lesions=froc(lesions),
            examples=tuple(
                Example(
                    kind=kind,
                    metrics=images[number],
                    image=dataset.samples[number].image,
                    logits=self._logits(dataset.samples[number]),
                    mask=masks[number],
                )
                for kind, number in _typical(images).items()
            ),
        )

    def _logits(self, sample: Sample) -> NDArray[np.float32]:
        """Predict one image: (S, S) float32 logits of the target."""
        with torch.inference_mode():
            grid = self._grid(sample)
            head, size = self.manifest.head, self._size_px
            logits = pixel_logits(head, grid, size, size, sample.guide)
            if head.activation == "softmax":
                # What is above the threshold shall be what is marked.
                cuts = torch.logit(torch.tensor(head.thresholds))[:, None, None]
                logits = margins(head, logits).clamp(-20, 20) + cuts
            return np.asarray(logits[self._number].numpy())

    def _grid(self, sample: Sample) -> Tensor:
        """Predict one image: (C, G, G) float32 logits."""
        basis = self.manifest.basis
        if not self.manifest.is_kind(TEXT):
            blocks = self._cache.blocks(sample, basis)
            return self._query(*(block[None] for block in blocks))[0]
        tokens, embedding = self._cache.tokens(sample, basis), self._cache.embedding(sample)
        beside = scene(decode(sample.image), Needs.of([self.manifest]))
        found = self._application(beside, tokens, embedding)["query"]
        assert isinstance(found, ZeroShot), "that is what texts say"
        return torch.from_numpy(found.logits)


def _check_targets(scorers: Sequence[_Scorer]) -> None:
    names = {scorer.target for scorer in scorers}
    if len(names) > 1:
        said = " and ".join(f"{one.manifest.name} marks {one.target!r}" for one in scorers)
        raise UsageError(f"{said}: they cannot be compared", hint="compare queries for one target")


def _typical(images: Sequence[ImageMetrics]) -> dict[str, int]:
    """Give the numbers of the best, median and worst image by Dice, each image once."""
    order = sorted(range(len(images)), key=lambda n: (-images[n].values["dice"], images[n].id))
    places = {"best": order[0], "worst": order[-1], "median": order[(len(order) - 1) // 2]}
    first = {number: kind for kind, number in reversed(places.items())}
    return {kind: places[kind] for kind in ("best", "median", "worst") if kind in first.values()}


def record(folder: Path, evaluation: Evaluation) -> QueryManifest:
    """Put the figures into an artifact's manifest and card, in the place of the same split's.

    Args:
        folder: The artifact.
        evaluation: Its figures.

    Returns:
        The manifest as it was written.

    Raises:
        UsageError: The query was trained on some of these images, it is published already, the
            figures are of another size, or one is not defined.
    """
    manifest = artifact.read_manifest(folder)
    check_recordable(folder, evaluation)
    if evaluation.size_px != EVALUATION_PX:
        raise UsageError(
            f"these figures are of {evaluation.size_px} x {evaluation.size_px} pixels",
            hint=f"a manifest records those of {EVALUATION_PX}: leave --size out",
        )
    if lacking := [name for name in METRICS if name not in evaluation.metrics]:
        raise UsageError(f"not defined on these images: {', '.join(lacking)}")
    measured = Measured(
        dataset=evaluation.dataset,
        split=evaluation.split,
        split_digest=evaluation.split_digest,
        target=evaluation.target,
        n_images=len(evaluation.images),
        size_px=evaluation.size_px,
        threshold=evaluation.threshold,
        values={name: evaluation.metrics[name] for name in METRICS},
    )
    same = (measured.dataset, measured.split, measured.target)
    others = [one for one in manifest.metrics if (one.dataset, one.split, one.target) != same]
    return cardfile.rewrite(folder, replace(manifest, metrics=(*others, measured)))


def check_recordable(folder: Path, found: Found) -> None:
    """Refuse to record figures of an artifact that must not change, or that say nothing.

    Args:
        folder: The artifact.
        found: What was found of it.

    Raises:
        UsageError: The artifact is published already, or was trained on some of the images.
    """
    if registry.is_published(folder):
        raise UsageError(
            f"{folder} is published in a registry: a published version never changes",
            hint="record figures before it is put there, or make a new version",
        )
    if found.n_trained_on:
        raise UsageError(
            f"{found.manifest.name} was trained on {found.n_trained_on} of the "
            f"{len(found.images)} images of split {found.split!r} of "
            f"{found.dataset}: figures on them say nothing",
            hint="evaluate on images that had no part in training",
        )


def trained_on(manifest: QueryManifest, dataset: Split) -> int:
    """Count the images of a split that a query was trained on, by their content."""
    known = {prefix for data in manifest.data for prefix in data.images or ()}
    return sum(sample.image_digest[:IMAGE_PREFIX] in known for sample in dataset.samples)


def _target_number(manifest: QueryManifest, dataset: Dataset) -> int:
    names = [target.name for target in manifest.targets]
    if dataset.target.name in names:
        return names.index(dataset.target.name)
    if len(names) == 1:
        return 0
    raise UsageError(
        f"{manifest.name} has targets {', '.join(names)}, none is {dataset.target.name!r}",
        hint="name one of them with --target",
    )
