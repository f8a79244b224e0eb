"""The images that are trained on, with the masks of all targets, and how they are dealt."""

from collections.abc import Sequence

import torch

from retq_hub import twins
from retq_hub.crossval import folds
from retq_hub.dataset import Dataset, some
from retq_hub.digest import json_digest
from retq_hub.errors import DatasetError, UsageError
from retq_hub.evaluation import EVALUATION_PX, IMAGE_PREFIX
from retq_hub.manifest import DataUse
from retq_hub.progress import Progress

__all__ = ["TrainingSet"]


class TrainingSet:
    """One split of a data set, for one target or several.

    Args:
        sets: A data set for each target, of the same images in the same order.
        seed: Deals the images into folds.
        progress: Where to report.

    Attributes:
        sets: The data sets.
        samples: The images.
        masks: (n, C, 392, 392) bool.
        parts: The numbers of each fold's images; images that show the target are spread evenly.

    Raises:
        UsageError: A target is named twice.
        DatasetError: Images or masks cannot be used, images differ, or too few show a target.
    """

    def __init__(self, sets: Sequence[Dataset], *, seed: int, progress: Progress) -> None:
        self.sets = sets
        self.samples = sets[0].samples
        self.digests = [one.image_digest for one in self.samples]
        _check_together(sets, self.digests)
        masks = [one.masks(EVALUATION_PX, progress=progress) for one in sets]
        self.masks = torch.stack([torch.from_numpy(one) for one in masks], dim=1)
        self._marked = self.masks.flatten(2).any(2)
        self._check_enough(progress)
        self._progress = progress
        self.parts = folds(self.digests, seed=seed, strata=self._marked.tolist())
        self._check_folds()

    @property
    def labels(self) -> str:
        """What is marked, in words."""
        return ", ".join(one.target.label for one in self.sets)

    @property
    def goals(self) -> torch.Tensor:
        """What is fitted: the masks."""
        return self.masks

    @property
    def digest(self) -> str:
        """SHA-256 over the content of all images and masks; one data set's own where it is one."""
        digests = [one.digest for one in self.sets]
        return digests[0] if len(digests) == 1 else json_digest(digests)

    def use(self) -> DataUse:
        """Say in the manifest what was trained on.

        Raises:
            StorageError: The cache cannot be written.
        """
        first = self.sets[0]
        return DataUse(
            id="+".join(dict.fromkeys(one.id for one in self.sets)),
            title=first.title,
            doi=first.doi,
            licence=first.licence,
            split=first.split,
            split_digest=self.digest,
            n_images=len(self.samples),
            n_positive=tuple(self._marked.sum(0).tolist()),
            images=tuple(sorted(one[:IMAGE_PREFIX] for one in self.digests)),
            photographs=twins.photographs(self.samples, progress=self._progress),
            citation=first.citation,
        )

    def _check_folds(self) -> None:
        """Refuse folds without which a target is shown by no image."""
        for part in self.parts:
            held_out = set(part)
            rest = [number for number in range(len(self.samples)) if number not in held_out]
            shown = self._marked[rest].any(0).tolist()
            for one, any_ in zip(self.sets, shown, strict=True):
                if not any_:
                    raise DatasetError(
                        f"all images that show {one.target.label} fall into one fold: while they "
                        "are held out, none is left to learn from",
                        hint="another --seed deals them otherwise",
                    )

    def check_exclusive(self) -> None:
        """Refuse targets that overlap by more than a hundredth of what is marked.

        Raises:
            DatasetError: They do.
        """
        drawn = [one.sum(0) for one in self.masks]
        both = sum(int((one > 1).sum()) for one in drawn)
        any_ = sum(int((one > 0).sum()) for one in drawn)
        if both > any_ / 100:
            raise DatasetError(
                f"{both / any_:.0%} of the marked pixels belong to several of {self.labels}, which "
                "cannot exclude each other then",
                hint="draw the rim instead of the whole, or train each on its own (entropy)",
            )

    def _check_enough(self, progress: Progress) -> None:
        first = self.sets[0]
        if len(set(self.digests)) < 2:
            raise DatasetError(
                f"{first.title} has one image in split {first.split}, at least 2 are needed",
                hint="a query learned from one image cannot be checked",
            )
        for one, column in zip(self.sets, self._marked.T.tolist(), strict=True):
            label = one.target.label
            showing = {digest for digest, any_ in zip(self.digests, column, strict=True) if any_}
            if not showing:
                raise DatasetError(
                    f"none of the {len(column)} masks marks {label}",
                    hint="check --target and the masks",
                )
            if len(showing) < 2:
                raise DatasetError(
                    f"only one image shows {label}: while it is held out, none is left to learn "
                    "from",
                    hint="at least 2 images must show the target",
                )
            pairs = zip(self.samples, column, strict=True)
            if bare := [sample.id for sample, any_ in pairs if not any_]:
                progress.note(
                    f"{len(bare)} of {len(column)} images do not show {label}: {some(bare)}"
                )


def _check_together(sets: Sequence[Dataset], digests: Sequence[str]) -> None:
    names = [one.target.name for one in sets]
    if len(set(names)) != len(names):
        raise UsageError(f"a target is named twice: {', '.join(names)}", hint="name each once")
    if len({one.licence.id for one in sets}) > 1:
        raise UsageError(
            f"the targets come under different licences: "
            f"{', '.join(one.licence.id for one in sets)}",
            hint="train a query for each",
        )
    masks = [[sample.mask_digests for sample in one.samples] for one in sets]
    if any(one in masks[:number] for number, one in enumerate(masks)):
        raise DatasetError(
            f"{', '.join(names)}: two targets have the very same masks",
            hint="a CSV needs a column for each target, a folder of masks a folder for each",
        )
    if any([one.image_digest for one in each.samples] != digests for each in sets):
        raise DatasetError(
            "the targets are drawn on different images",
            hint="train a query for each, or give the same images to all",
        )
