"""One split of a data set whose images carry labels: classes, grades, or findings.

It owns what such a split is; how it is read from files stands in `retq_hub.labels.sets`.
"""

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retq_hub.dataset import content_digest, some
from retq_hub.digest import json_digest
from retq_hub.errors import DatasetError, ImageError
from retq_hub.manifest import Licence, Target

__all__ = ["SCALES", "LabelSet", "LabelledSample"]

SCALES = ("multiclass", "multilabel", "ordinal")
"""Classes that exclude each other; findings that may stand together; grades in their order."""


@dataclass(frozen=True)
class LabelledSample:
    """One image and its label.

    Attributes:
        id: Its name within the data set.
        image: The image's file.
        label: The number of its class; or for each of several findings 1 where the image shows it,
            else 0.
        group: The camera or site, where known.
    """

    id: str
    image: Path
    label: tuple[int, ...]
    group: str = ""

    @cached_property
    def image_digest(self) -> str:
        """SHA-256 of the image's file."""
        return content_digest(self.image, ImageError)


@dataclass(frozen=True, kw_only=True)
class LabelSet:
    """One split of a data set with a label for each image.

    Attributes:
        id: Short name.
        title: Full name.
        licence: Licence of the images and labels.
        split: ``train``, ``test`` or ``all``.
        scale: One of `SCALES`.
        targets: The classes, the grades from the lowest on, or the findings.
        samples: The images.
        doi: Where known.
        citation: Where known.
        caveat: What a user of a query made from it must know.
    """

    id: str
    title: str
    licence: Licence
    split: str
    scale: str
    targets: tuple[Target, ...]
    samples: tuple[LabelledSample, ...]
    doi: str | None = None
    citation: str | None = None
    caveat: str = ""

    @cached_property
    def values(self) -> NDArray[np.int64] | NDArray[np.bool_]:
        """The labels: (n,) int64 classes, or (n, C) bool for ``multilabel``."""
        table = np.array([one.label for one in self.samples], dtype=np.int64)
        table = table.reshape(len(self.samples), -1)
        return table.astype(np.bool_) if self.scale == "multilabel" else table[:, 0]

    @property
    def counts(self) -> tuple[int, ...]:
        """How many images have each class, or show each finding."""
        if self.scale == "multilabel":
            return tuple(int(count) for count in self.values.sum(axis=0))
        return tuple(np.bincount(self.values, minlength=len(self.targets)).tolist())

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the content of all images and their labels, whatever their names and order.

        Raises:
            ImageError: An image cannot be read.
        """
        return json_digest(sorted([one.image_digest, *map(str, one.label)] for one in self.samples))

    @cached_property
    def contradictions(self) -> tuple[tuple[str, ...], ...]:
        """The ids of images that are the same file under several names, with different labels.

        Readers do disagree, and published data sets hold such pairs: it is said, not refused.

        Raises:
            ImageError: An image cannot be read.
        """
        labels: dict[str, dict[tuple[int, ...], str]] = defaultdict(dict)
        for one in self.samples:
            labels[one.image_digest].setdefault(one.label, one.id)
        return tuple(tuple(found.values()) for found in labels.values() if len(found) > 1)

    def check(self) -> None:
        """Refuse labels from which nothing can be learnt or measured.

        Raises:
            DatasetError: All images have the same label, or a file has several labels.
        """
        if len({one.label for one in self.samples}) < 2:
            raise DatasetError(
                f"all {len(self.samples)} images of split {self.split!r} of {self.id} have the "
                f"same label ({self._said(self.samples[0])})",
                hint="check --column and --split: there must be two classes at least",
            )
        labels: dict[Path, set[tuple[int, ...]]] = defaultdict(set)
        for one in self.samples:
            labels[one.image].add(one.label)
        if twice := [path.name for path, found in labels.items() if len(found) > 1]:
            raise DatasetError(
                f"{len(twice)} images of {self.id} are there twice with different labels "
                f"({some(twice)})",
                hint="mend the labels or leave such images out",
            )

    def _said(self, sample: LabelledSample) -> str:
        if self.scale != "multilabel":
            return self.targets[sample.label[0]].name
        pairs = zip(self.targets, sample.label, strict=True)
        return ", ".join(target.name for target, shown in pairs if shown) or "no finding"
