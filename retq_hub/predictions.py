"""Images without masks, and what a query says of them in the place of masks.

What is fitted to are the query's probabilities, as frequencies; thresholds are chosen by its masks.

Axis letters: n images, C targets.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from retq_hub import twins
from retq_hub.crossval import folds
from retq_hub.dataset import Sample, some
from retq_hub.digest import json_digest
from retq_hub.errors import DatasetError, ImageError
from retq_hub.evaluation import EVALUATION_PX, IMAGE_PREFIX
from retq_hub.features import TokenCache
from retq_hub.heads import margins, pixel_logits, probabilities
from retq_hub.images import image_files
from retq_hub.manifest import DataUse, Licence
from retq_hub.progress import Progress
from retq_hub.query import Query

__all__ = ["Predictions", "pixel_maps", "predict", "unlabelled"]


class Predictions:
    """What a query says of some images; see `retq_hub.exact.Examples`.

    Args:
        query: The query.
        samples: The images.
        masks: (n, C, 392, 392) bool: what it marks.
        goals: (n, C, 392, 392) float16, 0-1: its probabilities.
        seed: Deals the images into folds; those that show a target are spread evenly.

    Attributes:
        query: The query.
        samples: The images.
        digests: SHA-256 of each image's file.
        masks: What it marks.
        goals: Its probabilities.
        parts: The numbers of each fold's images.
    """

    def __init__(
        self, query: Query, samples: Sequence[Sample], *, masks: Tensor, goals: Tensor, seed: int
    ) -> None:
        self.query, self.samples = query, tuple(samples)
        self.masks, self.goals = masks, goals
        self.digests = [one.image_digest for one in samples]
        self.parts = folds(self.digests, seed=seed, strata=self.shown.tolist())
        self._seed = seed

    @property
    def shown(self) -> Tensor:
        """(n, C) bool: which targets the query marks on which image."""
        return self.masks.flatten(2).any(2)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the content of all images and the query."""
        return json_digest([self.query.manifest.digest, *sorted(self.digests)])

    def part(self, numbers: Sequence[int]) -> "Predictions":
        """Give some of the images, dealt anew."""
        return Predictions(
            self.query,
            [self.samples[number] for number in numbers],
            masks=self.masks[numbers],
            goals=self.goals[numbers],
            seed=self._seed,
        )

    def use(self, *, name: str, licence: Licence, progress: Progress) -> DataUse:
        """Say in the manifest what was learned from.

        Raises:
            StorageError: The cache cannot be written.
        """
        return DataUse(
            id=name,
            title=f"{name}, images without labels",
            licence=licence,
            split="unlabelled",
            split_digest=json_digest(sorted([one] for one in self.digests)),
            n_images=len(self.samples),
            n_positive=tuple(self.shown.sum(0).tolist()),
            images=tuple(sorted(one[:IMAGE_PREFIX] for one in self.digests)),
            photographs=twins.photographs(self.samples, progress=progress),
        )


def unlabelled(folder: Path) -> list[Sample]:
    """List the images of a folder, each content once.

    Raises:
        DatasetError: There is no such folder, or it has no images.
    """
    if not folder.is_dir():
        raise DatasetError(f"there is no folder {folder}", hint="check the path")
    files = image_files(folder)
    if not files:
        raise DatasetError(f"{folder} has no images", hint="they end in .jpg, .png, .tif or .bmp")
    samples = [Sample(id=str(one.relative_to(folder)), image=one, masks=()) for one in files]
    found: dict[str, Sample] = {}
    for one in samples:
        found.setdefault(one.image_digest, one)
    return list(found.values())


def predict(
    query: Query,
    samples: Sequence[Sample],
    *,
    cache: TokenCache,
    seed: int,
    progress: Progress,
) -> Predictions:
    """Apply a query to images.

    Args:
        query: A segmentation query.
        samples: The images.
        cache: Tokens of the backbone that it was made for.
        seed: Deals the images into folds.
        progress: Where to report.

    Raises:
        DatasetError: Some images cannot be used; they are named.
        IntegrityError: The backbone gives something else than numbers.
        StorageError: The cache cannot be written.
    """
    masks, goals, wrong = [], [], []
    what = f"applying {query.manifest.name}"
    for sample in progress.steps(samples, what=what, total=len(samples)):
        try:
            logits = pixel_maps(query, cache, sample)
        except ImageError as error:
            wrong.append(error)
            continue
        masks.append(margins(query.manifest.head, logits) > 0)
        goals.append(_frequencies(query, logits).half())
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        raise DatasetError(
            f"{len(wrong)} of {len(samples)} images cannot be used: "
            f"{some([error.found for error in wrong])}",
            hint="mend or remove them",
        )
    return Predictions(
        query, samples, masks=torch.stack(masks), goals=torch.stack(goals), seed=seed
    )


def pixel_maps(query: Query, cache: TokenCache, sample: Sample) -> Tensor:
    """Give what a query says of an image: (C, 392, 392) float32 logits, calibrated.

    Raises:
        ImageError: The image cannot be used.
        IntegrityError: The backbone gives something else than numbers.
        StorageError: The cache cannot be written.
    """
    blocks = cache.blocks(sample, query.manifest.basis)
    grid = query(*(block[None] for block in blocks))[0]
    size = EVALUATION_PX
    return pixel_logits(query.manifest.head, grid, size, size, sample.guide)


def _frequencies(query: Query, logits: Tensor) -> Tensor:
    """Give probabilities without what moves thresholds to 0.5, (C, S, S) float32."""
    head = query.manifest.head
    if head.calibration and head.calibration.shift:
        logits = logits - torch.tensor(head.calibration.shift)[:, None, None]
    return probabilities(head, logits)
