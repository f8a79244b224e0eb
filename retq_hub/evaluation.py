"""Score a query on a split: per image, then over images; and put the figures into its manifest."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from retq_hub import artifact, card, registry
from retq_hub.backbone import LazyBackbone
from retq_hub.dataset import Dataset
from retq_hub.errors import UsageError
from retq_hub.features import TokenCache
from retq_hub.heads import pixel_logits
from retq_hub.manifest import Interval, Measured, QueryManifest, to_json
from retq_hub.metrics import METRICS, ImageMetrics, score, summarise
from retq_hub.progress import Progress, Silent
from retq_hub.query import Query

__all__ = [
    "EVALUATION_PX",
    "IMAGE_PREFIX",
    "Evaluation",
    "evaluate",
    "record",
    "trained_on",
]

EVALUATION_PX = 392
"""Side of the square on which prediction and mask are compared, as in the paper."""


IMAGE_PREFIX = 12
"""So many digits of each training image's digest stand in the manifest."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The figures of a query on a split.

    Attributes:
        query: ``name@version``.
        dataset: The data set's id.
        target: The target's name.
        split: The split.
        split_digest: SHA-256 over the content of its images and masks.
        n_trained_on: How many of the images the query was trained on.
        threshold: The stored threshold that was used.
        size_px: Side of the square on which masks were compared.
        metrics: Mean, range and interval over images, for each metric that is defined.
        images: Each image's figures.
    """

    query: str
    dataset: str
    target: str
    split: str
    split_digest: str
    n_trained_on: int
    threshold: float
    size_px: int
    metrics: dict[str, Interval]
    images: tuple[ImageMetrics, ...]

    def document(self) -> dict[str, Any]:
        """Give the JSON document that ``schemas/evaluation-1.schema.json`` describes."""
        return {
            "query": self.query,
            "dataset": self.dataset,
            "target": self.target,
            "split": self.split,
            "split_digest": self.split_digest,
            "n_images": len(self.images),
            "n_with_target": sum(one.n_positive > 0 for one in self.images),
            "size_px": self.size_px,
            "threshold": self.threshold,
            "metrics": to_json(self.metrics),
            "images": [
                {"id": one.id, "group": one.group, "n_positive": one.n_positive, **_defined(one)}
                for one in self.images
            ],
        }


def evaluate(
    query: Query | str | Path,
    dataset: Dataset,
    *,
    backbone: LazyBackbone | None = None,
    allow_mismatch: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Score a query on a split.

    Masks are brought to 392 x 392 by area averaging (marked from half on), logits by bilinear
    upsampling, as in the paper. Tokens go through the cache.

    Args:
        query: The query, its name or its folder.
        dataset: The split.
        backbone: Where it is loaded already; that of the query's manifest if not given.
        allow_mismatch: Evaluate a query that was made for another backbone.
        progress: Where to report.

    Raises:
        UsageError: The query has several targets and none is called like the data set's.
        BackboneMismatch: The query was made for another backbone.
        DatasetError: Images or masks cannot be used.
    """
    progress = progress or Silent()
    query = query if isinstance(query, Query) else Query.from_pretrained(query)
    manifest = query.manifest
    number = _target_number(manifest, dataset)
    backbone = backbone or LazyBackbone(manifest.backbone.id, progress=progress)
    progress.note(backbone.check(manifest.backbone, allow_mismatch=allow_mismatch))
    seen = trained_on(manifest, dataset)
    if seen:
        total = len(dataset.samples)
        progress.note(
            f"{seen} of {total} images were trained on: figures on them say nothing of new images"
        )
    masks = dataset.masks(EVALUATION_PX, progress=progress)
    cache = TokenCache(backbone=backbone)
    cache.fill(dataset.samples, manifest.basis, progress=progress)
    threshold = manifest.head.thresholds[number]
    images = []
    for sample, mask in zip(dataset.samples, masks, strict=True):
        with torch.inference_mode():
            blocks = cache.blocks(sample, manifest.basis)
            grid = query(*(block[None] for block in blocks))[0]
            size = EVALUATION_PX
            logits = pixel_logits(manifest.head, grid, size, size, sample.guide)[number].numpy()
        figures = score(sample.id, logits, mask, threshold)
        images.append(replace(figures, group=sample.group))
    return Evaluation(
        query=f"{manifest.name}@{manifest.version}",
        dataset=dataset.id,
        target=dataset.target.name,
        split=dataset.split,
        split_digest=dataset.digest,
        n_trained_on=seen,
        threshold=threshold,
        size_px=EVALUATION_PX,
        metrics=summarise(images),
        images=tuple(images),
    )


def record(folder: Path, evaluation: Evaluation) -> QueryManifest:
    """Put the figures into an artifact's manifest and card, in the place of the same split's.

    Args:
        folder: The artifact.
        evaluation: Its figures.

    Returns:
        The manifest as it was written.

    Raises:
        UsageError: The query was trained on some of these images, it is published already, or a
            figure is not defined.
    """
    found = artifact.read(folder)
    manifest = found.manifest
    if registry.is_published(folder):
        raise UsageError(
            f"{folder} is published in a registry: a published version never changes",
            hint="record figures before it is put there, or make a new version",
        )
    if evaluation.n_trained_on:
        raise UsageError(
            f"{manifest.name} was trained on {evaluation.n_trained_on} of the "
            f"{len(evaluation.images)} images of split {evaluation.split!r} of "
            f"{evaluation.dataset}: figures on them say nothing",
            hint="evaluate on images that had no part in training",
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
        values=evaluation.metrics,
    )
    same = (measured.dataset, measured.split, measured.target)
    others = [one for one in manifest.metrics if (one.dataset, one.split, one.target) != same]
    manifest = replace(manifest, metrics=(*others, measured))
    return artifact.write(
        folder,
        manifest=manifest,
        vector=found.vector,
        bias=found.bias,
        golden=found.golden,
        card=card.render(manifest, registry.backbone_spec(manifest.backbone.id)),
    )


def trained_on(manifest: QueryManifest, dataset: Dataset) -> int:
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


def _defined(one: ImageMetrics) -> dict[str, float]:
    return {name: value for name, value in one.values.items() if value == value}
