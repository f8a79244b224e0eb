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
from retq_hub.heads import upsample
from retq_hub.manifest import Interval, Measured, QueryManifest, to_json
from retq_hub.metrics import METRICS, ImageMetrics, score, summarise
from retq_hub.progress import Progress, Silent
from retq_hub.query import Query

__all__ = ["EVALUATION_PX", "Evaluation", "evaluate", "record"]

EVALUATION_PX = 392
"""Side of the square on which prediction and mask are compared, as in the paper."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The figures of a query on a split.

    Attributes:
        query: ``name@version``.
        dataset: The data set's id.
        target: The target's name.
        split: The split.
        split_digest: SHA-256 over the content of its images and masks.
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
                {"id": one.id, "n_positive": one.n_positive, **_defined(one)} for one in self.images
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
    if backbone.weights_digest != manifest.backbone.weights_digest:
        progress.note(backbone().check(manifest.backbone, allow_mismatch=allow_mismatch))
    masks = dataset.masks(EVALUATION_PX, progress=progress)
    cache = TokenCache(backbone=backbone)
    cache.fill(dataset.samples, manifest.basis, progress=progress)
    threshold = manifest.head.thresholds[number]
    images = []
    for sample, mask in zip(dataset.samples, masks, strict=True):
        with torch.inference_mode():
            grid = query(cache.tokens([sample], manifest.basis))[0, number]
            logits = upsample(grid, EVALUATION_PX, EVALUATION_PX).numpy()
        images.append(score(sample.id, logits, mask, threshold))
    return Evaluation(
        query=f"{manifest.name}@{manifest.version}",
        dataset=dataset.id,
        target=dataset.target.name,
        split=dataset.split,
        split_digest=dataset.digest,
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
        UsageError: The query was trained on this very split, or a figure is not defined.
    """
    found = artifact.read(folder)
    manifest = found.manifest
    if evaluation.split_digest in {data.split_digest for data in manifest.data}:
        raise UsageError(
            f"{manifest.name} was trained on split {evaluation.split!r} of {evaluation.dataset}: "
            "figures on it say nothing",
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
