"""What queries say of one image: maps for what marks pixels, scores for what grades the whole."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from retq_hub import pooling
from retq_hub.errors import ImageError, UsageError
from retq_hub.grids import upsample
from retq_hub.guided import Lead
from retq_hub.heads import calibrate, lead, margins, probabilities
from retq_hub.manifest import Guided, QueryManifest
from retq_hub.marking import AREA_PX, Marking, Marks
from retq_hub.runs import decode
from retq_hub.threads import spread

__all__ = ["AREA_PX", "Classification", "Mapped", "Reading", "Result", "Segmentation", "ZeroShot"]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Segmentation:
    """What one query says of one image.

    A query with one target gives (H, W) maps, one with C > 1 targets (C, H, W).

    Attributes:
        logits: (C, G, G) float32 on the finest grid; all else is computed from it when asked for.
        size: Width and height of the image in pixels.
        manifest: The query's manifest.
        guide: (S, S) float32, 0-1, the image's green channel where the query's head is led by it.
    """

    logits: NDArray[np.float32]
    size: tuple[int, int]
    manifest: QueryManifest
    guide: NDArray[np.float32] | None = None

    @property
    def probability(self) -> NDArray[np.float32]:
        """(H, W) float32 in [0, 1] at the image's own size."""
        maps = self.probability_at(*self.size)
        return np.asarray(maps[0] if len(maps) == 1 else maps)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(H, W) bool at the image's own size, by the query's own threshold."""
        maps = self.mask_at(*self.size)
        return np.asarray(maps[0] if len(maps) == 1 else maps)

    @property
    def area(self) -> float:
        """Share of the image that is marked; of any target, where there are several."""
        return float(self.mask_at(AREA_PX, AREA_PX).any(axis=0).mean())

    @property
    def max_probability(self) -> float:
        """The highest probability of any target, at 392 x 392 pixels."""
        return max(self.marks.highest)

    @property
    def marks(self) -> Marks:
        """What is marked, from which runs, areas and centroids are had without its pixels."""
        guided = self.manifest.head.guided
        if guided is None:
            return Marks(self.manifest.head, self.logits)
        assert self.guide is not None, "the pipeline keeps it where the head needs it"
        return Marks(self.manifest.head, self.logits, lead(guided, self.guide))

    def runs_at(self, width: int, height: int) -> list[NDArray[np.uint32]]:
        """Give the mask of each target at a size as runs, see `retq_hub.runs.encode`.

        They cost as much as the outline is long, however large the image.
        """
        return self.marks.runs(width, height)

    def mask_at(self, width: int, height: int) -> NDArray[np.bool_]:
        """Give the (C, height, width) mask at another size than the image's."""
        return np.stack([decode(one, height, width) for one in self.runs_at(width, height)])

    def probability_at(self, width: int, height: int) -> NDArray[np.float32]:
        """Give the (C, height, width) float32 probability at another size than the image's."""
        head = self.manifest.head
        return np.asarray(probabilities(head, self._pixel_logits(width, height)).numpy())

    def margin_at(self, width: int, height: int) -> NDArray[np.float32]:
        """Give the (C, height, width) float32 logits above the threshold: positive is marked."""
        head = self.manifest.head
        return np.asarray(margins(head, self._pixel_logits(width, height)).numpy())

    def _pixel_logits(self, width: int, height: int) -> Tensor:
        logits = upsample(torch.from_numpy(self.marks.surface), height, width)
        calibration = self.manifest.head.calibration
        return logits if calibration is None else calibrate(calibration, logits)


@dataclass(frozen=True, kw_only=True)
class ZeroShot(Segmentation):
    """What texts say of one image: of its pixels as `Segmentation` does, and of it as a whole.

    Attributes:
        scores: (C,) float32, the logits of the image: cosines times the scale.
    """

    scores: NDArray[np.float32]

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """(C,) float32, how likely each target is, the others being the alternatives."""
        return _probabilities(self.manifest, self.scores)

    @property
    def prediction(self) -> str | tuple[str, ...]:
        """The most probable target's name."""
        return _prediction(self.manifest, self.probabilities)


@dataclass(frozen=True, kw_only=True)
class Classification:
    """What one query says of an image as a whole.

    Attributes:
        scores: (K,) float32 logits; of K grades (K - 1,), each of being above a lower one.
        size: Width and height of the image in pixels.
        manifest: The query's manifest.
        weights: (A, g, g) float32, how much each position counted, each map sums to 1; None where
            the backbone's own embedding was classified.
        evidence: (K, g, g) float32, what each position added to the scores ((1, g, g) of grades,
            to all alike): their sums and the bias are the scores. None where there are no weights,
            or tokens on several grids.
    """

    scores: NDArray[np.float32]
    size: tuple[int, int]
    manifest: QueryManifest
    weights: NDArray[np.float32] | None = None
    evidence: NDArray[np.float32] | None = None

    @cached_property
    def probabilities(self) -> NDArray[np.float32]:
        """(K,) float32 in [0, 1]; they sum to 1 where targets exclude each other."""
        return _probabilities(self.manifest, self.scores)

    @property
    def prediction(self) -> str | tuple[str, ...]:
        """Name of the target; where several may be there, a tuple of those above threshold."""
        return _prediction(self.manifest, self.probabilities)

    @property
    def grade(self) -> int:
        """Number of the predicted target, counted from 0; of grades, that of the median.

        Raises:
            UsageError: Several targets may be there.
        """
        if self.manifest.head.activation == "sigmoid":
            raise UsageError(
                f"{self.manifest.name} says which targets are there: it has no grade",
                hint="see its prediction",
            )
        return _grade(self.manifest, self.probabilities)

    @property
    def attention(self) -> NDArray[np.float32] | None:
        """(H, W) float32 at the image's own size: how much a place counted, 1 as in the mean.

        None where the backbone's own embedding was classified.
        """
        if self.weights is None:
            return None
        width, height = self.size
        maps = torch.from_numpy(self.weights).mean(0)
        relative: Tensor = maps * maps.numel()
        return np.asarray(upsample(relative, height, width).numpy())


Reading: TypeAlias = Segmentation | ZeroShot | Classification
"""What one query says of one image."""


class Result(Mapping[str, Reading]):
    """What the queries of a pipeline say of one image, by the names they were given.

    Attributes:
        embedding: (D,) float32 image embedding, pooled as the backbone's spec says; None where the
            pipeline was told not to compute it and no query needs it.
    """

    def __init__(
        self, found: Mapping[str, Reading], *, embedding: NDArray[np.float32] | None
    ) -> None:
        self._found = dict(found)
        self.embedding = embedding

    def __getitem__(self, name: str) -> Reading:
        """Give what one query says."""
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        """Go through the queries' names."""
        return iter(self._found)

    def __len__(self) -> int:
        """Count the queries."""
        return len(self._found)

    @property
    def segmentations(self) -> dict[str, Segmentation]:
        """What marks pixels, by name; texts too."""
        return {name: one for name, one in self._found.items() if isinstance(one, Segmentation)}

    def marks(self) -> dict[str, Marks]:
        """Give what each of `segmentations` marks, by name.

        What they share of the image is computed once; the rest when it is asked for.
        """
        leads: dict[tuple[Guided, int], Lead] = {}
        found = {}
        for name, one in self.segmentations.items():
            head, own = one.manifest.head, None
            if head.guided is not None and one.guide is not None:
                key = head.guided, id(one.guide)
                own = leads[key] = leads.get(key) or lead(head.guided, one.guide)
            found[name] = Marks(head, one.logits, own)
        return found

    def areas(self) -> dict[str, tuple[float, ...]]:
        """Give for each of `segmentations` the share of the image that each target marks."""
        marks = self.marks()
        return _each(marks, lambda name: marks.pop(name).shares)

    def markings(self) -> dict[str, list[Marking]]:
        """Say for each of `segmentations` what each target marks: how much, where, how surely."""
        marks = self.marks()
        return _each(marks, lambda name: marks.pop(name).described(self[name].size))

    @property
    def classifications(self) -> dict[str, Classification]:
        """What grades the image as a whole, by name; texts are among the segmentations."""
        return {name: one for name, one in self._found.items() if isinstance(one, Classification)}


@dataclass(frozen=True, kw_only=True)
class Mapped:
    """What became of one of many images.

    Attributes:
        source: The image as it was given.
        result: What the queries say of it; None where it could not be used.
        error: Why; None where it could.
    """

    source: Any
    result: Result | None
    error: ImageError | None


def _each(names: Iterable[str], work: Callable[[str], T]) -> dict[str, T]:
    """Do the same for each name, in several threads."""
    names = list(names)
    return dict(zip(names, spread(work, names), strict=True))


def _probabilities(manifest: QueryManifest, scores: NDArray[np.float32]) -> NDArray[np.float32]:
    found = pooling.probabilities(manifest.head.activation, torch.from_numpy(scores))
    return np.asarray(found.numpy())


def _prediction(
    manifest: QueryManifest, probabilities: NDArray[np.float32]
) -> str | tuple[str, ...]:
    names = [target.name for target in manifest.targets]
    if manifest.head.activation != "sigmoid":
        return names[_grade(manifest, probabilities)]
    pairs = zip(names, probabilities, manifest.head.thresholds, strict=True)
    return tuple(name for name, value, threshold in pairs if value > threshold)


def _grade(manifest: QueryManifest, probabilities: NDArray[np.float32]) -> int:
    if manifest.head.activation == "ordinal":
        return int((probabilities.cumsum() < 0.5).sum())
    return int(probabilities.argmax())
