"""Does what a grader looks at lie on the lesions? Its attention and evidence against masks.

A query that was learned from grades alone never saw a lesion's outline. How well its maps rank the
pixels of lesions says what it found by itself.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from retq_hub import twins
from retq_hub.application import Application
from retq_hub.backbone import Backbone
from retq_hub.dataset import Dataset, Sample
from retq_hub.errors import DatasetError, UsageError
from retq_hub.evaluation import EVALUATION_PX
from retq_hub.features import TokenCache
from retq_hub.grids import upsample
from retq_hub.images import decode, green
from retq_hub.manifest import Interval, QueryManifest
from retq_hub.metrics import auprc_auroc, mean_interval
from retq_hub.preparation import Needs, scene
from retq_hub.progress import Progress, Silent
from retq_hub.query import Query
from retq_hub.result import Classification

__all__ = ["Pointing", "point"]


_DARK = 0.04
"""Of the green channel, 0-1; less is beside the photographed field."""


@dataclass(frozen=True, kw_only=True)
class Pointing:
    """How well maps of a grader rank the pixels of lesions.

    Attributes:
        query: The grader's ``name@version``.
        dataset: The data set with masks.
        split: Its split.
        target: What the masks mark.
        images: The ids of the images that were measured: they show the target.
        left_out: The ids of those that show it, but had a part in training, in whatever file.
        auroc: Of each map of `point`, per image.
        pooled: AUROC of each map over all pixels of all images.
        auprc: Average precision of each map, per image.
        chance: Share of marked pixels: what average precision is without knowledge.
    """

    query: str
    dataset: str
    split: str
    target: str
    images: tuple[str, ...]
    left_out: tuple[str, ...]
    auroc: dict[str, Interval]
    pooled: dict[str, float]
    auprc: dict[str, Interval]
    chance: float


def point(
    query: Query,
    dataset: Dataset,
    *,
    backbone: Backbone | None = None,
    progress: Progress | None = None,
) -> Pointing:
    """Measure a grader's maps against masks, at 392 x 392 pixels.

    ``attention`` is how much a place counted, a mean over attention vectors; ``evidence`` what the
    place added to the score of a higher grade or of the last class, where it can be told;
    ``fundus`` is 1 within the photographed field and 0 in the dark beside it, what any map should
    surpass.

    Args:
        query: A classification that pools by attention.
        dataset: Images with masks.
        backbone: Where it is loaded already; that of the query's manifest if not given.
        progress: Where to report.

    Raises:
        UsageError: The query has no attention.
        DatasetError: No image is left that shows the target and had no part in training.
    """
    if query.attention is None:
        raise UsageError(
            f"{query.manifest.name} does not pool by attention: it has no map",
            hint="train one with --pooling attention",
        )
    progress = progress or Silent()
    backbone = backbone or Backbone.asleep(query.manifest.backbone.id, progress=progress)
    progress.note(backbone.check(query.manifest.backbone))
    if not twins.is_told(query.manifest):
        progress.note(f"{query.manifest.name} does not say which photographs it was trained on")
    masks = dataset.masks(EVALUATION_PX, progress=progress)
    kept, left_out = _dealt(query.manifest, dataset, masks, progress)
    reader = _Reader(query, backbone)
    numbers = progress.steps(kept, what="reading maps", total=len(kept))
    maps = [reader.maps(dataset.samples[number]) for number in numbers]
    return _measured(query.manifest, dataset, maps, masks[kept], kept, left_out)


class _Reader:
    """Gives a grader's maps, tokens through the cache."""

    def __init__(self, query: Query, backbone: Backbone) -> None:
        self._bases = query.manifest.bases
        self._needs = Needs.of([query.manifest])
        self._cache = TokenCache(backbone=backbone)
        self._application = Application({"query": query}, backbone=backbone)

    def maps(self, sample: Sample) -> dict[str, NDArray[np.float32]]:
        """Give (S, S) float32 maps of one image, by name."""
        tokens = {
            key: one
            for basis in self._bases
            for key, one in self._cache.tokens(sample, basis).items()
        }
        image = decode(sample.image)
        with torch.inference_mode():
            found = self._application(scene(image, self._needs), tokens, None)["query"]
        assert isinstance(found, Classification), "what pools by attention classifies"
        assert found.weights is not None, "it pools by attention"
        maps = {
            "attention": _square(found.weights.mean(axis=0)),
            "fundus": np.asarray(green(image, EVALUATION_PX) > _DARK, np.float32),
        }
        if found.evidence is not None:
            maps["evidence"] = _square(found.evidence[-1])
        return maps


def _square(grid: NDArray[np.float32]) -> NDArray[np.float32]:
    found = upsample(torch.from_numpy(np.ascontiguousarray(grid)), EVALUATION_PX, EVALUATION_PX)
    return np.asarray(found.numpy())


def _dealt(
    manifest: QueryManifest, dataset: Dataset, masks: NDArray[np.bool_], progress: Progress
) -> tuple[list[int], list[int]]:
    """Give the numbers of images to measure, and of those that show it but were trained on."""
    seen = set(twins.seen(manifest, dataset.samples, progress=progress))
    known = {prefix for data in manifest.data for prefix in data.images or ()}
    seen |= {
        number
        for number, one in enumerate(dataset.samples)
        if any(one.image_digest.startswith(prefix) for prefix in known)
    }
    showing = [number for number, mask in enumerate(masks) if mask.any() and not mask.all()]
    kept = [number for number in showing if number not in seen]
    if not kept:
        raise DatasetError(
            f"no image of split {dataset.split!r} of {dataset.id} shows {dataset.target.name!r} "
            "and had no part in training",
            hint="use other images",
        )
    return kept, [number for number in showing if number in seen]


def _measured(
    manifest: QueryManifest,
    dataset: Dataset,
    maps: list[dict[str, NDArray[np.float32]]],
    masks: NDArray[np.bool_],
    kept: list[int],
    left_out: list[int],
) -> Pointing:
    areas = {
        name: [
            auprc_auroc(one[name].ravel(), mask.ravel())
            for one, mask in zip(maps, masks, strict=True)
        ]
        for name in maps[0]
    }
    ids = [one.id for one in dataset.samples]
    return Pointing(
        query=f"{manifest.name}@{manifest.version}",
        dataset=dataset.id,
        split=dataset.split,
        target=dataset.target.name,
        images=tuple(ids[number] for number in kept),
        left_out=tuple(ids[number] for number in left_out),
        auroc={name: _interval([one[1] for one in found]) for name, found in areas.items()},
        pooled={name: _over_all([one[name] for one in maps], masks) for name in maps[0]},
        auprc={name: _interval([one[0] for one in found]) for name, found in areas.items()},
        chance=round(float(masks.mean()), 6),
    )


def _over_all(maps: list[NDArray[np.float32]], masks: NDArray[np.bool_]) -> float:
    return round(auprc_auroc(np.stack(maps).ravel(), masks.ravel())[1], 6)


def _interval(values: list[float]) -> Interval:
    found = np.array(values)
    return Interval(
        mean=round(float(found.mean()), 6),
        min=round(float(found.min()), 6),
        max=round(float(found.max()), 6),
        ci95=mean_interval(found, seed=0),
    )
