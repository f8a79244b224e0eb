"""The labelled images that are trained on: checked, dealt into folds, and named in the manifest."""

from collections.abc import Sequence

import torch
from torch import Tensor

from retq_hub import twins
from retq_hub.crossval import folds
from retq_hub.dataset import some
from retq_hub.errors import DatasetError
from retq_hub.evaluation import IMAGE_PREFIX
from retq_hub.labels.labelset import LabelledSample, LabelSet
from retq_hub.labels.likelihood import Likelihood, likelihood_of
from retq_hub.manifest import DataUse
from retq_hub.progress import Progress

__all__ = ["LabelTrainingSet", "used"]

_FEWEST = 2


class LabelTrainingSet:
    """One split of a data set with labels, ready to be trained on.

    Args:
        labels: The images with their labels.
        seed: Deals the images into folds.
        progress: Where to say what should be known of the labels.

    Attributes:
        labels: The images with their labels.
        digests: SHA-256 of each image's file.
        values: (n,) int64 classes, or (n, C) bool.
        parts: The numbers of each fold's images; each class is spread evenly.
        likelihood: What the labels say of scores.

    Raises:
        ImageError: An image cannot be used.
        DatasetError: Too few images have a label, or no folds can be dealt that leave each class to
            learn from.
    """

    def __init__(self, labels: LabelSet, *, seed: int, progress: Progress) -> None:
        self.labels = labels
        self.digests = [one.image_digest for one in labels.samples]
        self.values = torch.from_numpy(labels.values)
        self.likelihood: Likelihood = likelihood_of(labels.scale, len(labels.targets))
        self._shown = self._table()
        self._check_enough()
        self.parts = folds(self.digests, seed=seed, strata=self._shown.tolist())
        self._check_folds()
        self._photographs = twins.photographs(labels.samples, progress=progress)
        self._say_contradictions(progress)

    @property
    def samples(self) -> tuple[LabelledSample, ...]:
        """The images."""
        return self.labels.samples

    def rest(self, part: Sequence[int]) -> list[int]:
        """Give the numbers of all images that are not in a fold."""
        held_out = set(part)
        return [number for number in range(len(self.digests)) if number not in held_out]

    def use(self) -> DataUse:
        """Say in the manifest what was trained on."""
        return used(self.labels, photographs=self._photographs)

    def _table(self) -> Tensor:
        """Say which image shows what, (n, K) bool; of findings also which do not, (n, 2 C)."""
        if self.labels.scale == "multilabel":
            return torch.cat([self.values, ~self.values], dim=1)
        return torch.nn.functional.one_hot(self.values, len(self.labels.targets)).bool()

    def _names(self) -> list[str]:
        names = [one.name for one in self.labels.targets]
        absent = [f"no {name}" for name in names] if self.labels.scale == "multilabel" else []
        return names + absent

    def _check_enough(self) -> None:
        few = []
        for name, column in zip(self._names(), self._shown.T.tolist(), strict=True):
            pairs = zip(self.digests, column, strict=True)
            count = len({digest for digest, shown in pairs if shown})
            if count < _FEWEST:
                few.append(f"{name}: {count}")
        if few:
            raise DatasetError(
                f"{self.labels.title} has too few images of some labels in split "
                f"{self.labels.split} ({some(few)}), at least {_FEWEST} of each are needed",
                hint="leave such labels out, or merge them with their neighbours",
            )

    def _check_folds(self) -> None:
        for part in self.parts:
            left = self._shown[self.rest(part)].any(0).tolist()
            if bare := [name for name, any_ in zip(self._names(), left, strict=True) if not any_]:
                raise DatasetError(
                    f"all images labelled {some(bare)} fall into one fold: while they are held "
                    "out, none is left to learn from",
                    hint="another --seed deals them otherwise",
                )

    def _say_contradictions(self, progress: Progress) -> None:
        if pairs := self.labels.contradictions:
            said = some([" = ".join(ids) for ids in pairs])
            progress.note(f"{len(pairs)} photographs are there twice with different labels: {said}")


def used(labels: LabelSet, *, photographs: Sequence[str]) -> DataUse:
    """Say in a manifest that it was made from labelled images.

    Args:
        labels: The images with their labels.
        photographs: Their codes, see `retq_hub.twins.photographs`.
    """
    return DataUse(
        id=labels.id,
        title=labels.title,
        doi=labels.doi,
        licence=labels.licence,
        split=labels.split,
        split_digest=labels.digest,
        n_images=len(labels.samples),
        n_positive=labels.counts,
        images=tuple(sorted({one.image_digest[:IMAGE_PREFIX] for one in labels.samples})),
        photographs=tuple(photographs),
        citation=labels.citation,
    )
