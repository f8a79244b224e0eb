"""What queries say of a volume: each slice by itself, and all of them stacked.

Nothing is computed before it is asked for, and no more than one slice is decoded at a time.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retq_hub.result import Classification, Reading, Result, Segmentation
from retq_hub.volumes.extent import Extent, profile_of
from retq_hub.volumes.volume import Spacing, Volume

__all__ = ["StackReading", "VolumeClassification", "VolumeResult", "VolumeSegmentation"]


@dataclass(frozen=True, kw_only=True)
class VolumeSegmentation:
    """What one query marks in a volume of n slices; texts too.

    A query with one target gives (n, H, W) maps, one with C > 1 targets (n, C, H, W).

    Attributes:
        slices: The segmentation of each slice.
        spacing: Distances in mm; None where they are not known.
    """

    slices: tuple[Segmentation, ...]
    spacing: Spacing | None

    @property
    def probability(self) -> NDArray[np.float32]:
        """(n, H, W) float32 in [0, 1] at the slices' own size."""
        return np.stack([one.probability for one in self.slices])

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(n, H, W) bool at the slices' own size, by the query's own threshold."""
        return np.stack([one.mask for one in self.slices])

    @cached_property
    def extent(self) -> Extent:
        """How much is marked, at the slices' own size; of any target, where there are several."""
        masks = (np.asarray(one.mask_at(*one.size).any(axis=0)) for one in self.slices)
        return Extent(
            profiles=tuple(map(profile_of, masks)),
            height=self.slices[0].size[1],
            spacing=self.spacing,
        )


@dataclass(frozen=True, kw_only=True)
class VolumeClassification:
    """What one query says of each slice of a volume as a whole.

    Attributes:
        slices: The classification of each slice.
    """

    slices: tuple[Classification, ...]

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """(n, K) float32 in [0, 1]."""
        return np.stack([one.probabilities for one in self.slices])

    @property
    def predictions(self) -> tuple[str | tuple[str, ...], ...]:
        """The prediction for each slice."""
        return tuple(one.prediction for one in self.slices)


StackReading: TypeAlias = VolumeSegmentation | VolumeClassification
"""What one query says of a volume."""


class VolumeResult(Mapping[str, StackReading]):
    """What the queries of a pipeline say of a volume, by the names they were given.

    `slices` gives one slice after the other and keeps nothing. Asking for a query by name runs all
    slices once and keeps what every query says of them: maps on their own grids, not pixels.

    Attributes:
        volume: The volume.
        notes: What the user should know of it and of the queries, a line each.
    """

    def __init__(
        self,
        volume: Volume,
        *,
        apply: Callable[[Image.Image], Result],
        names: Sequence[str],
        notes: Sequence[str] = (),
    ) -> None:
        self.volume = volume
        self.notes = tuple(notes)
        self._apply = apply
        self._names = tuple(names)

    def slices(self) -> Iterator[Result]:
        """Give the results of one slice after the other, each computed when it is asked for.

        Raises:
            ImageError: A slice cannot be decoded.
        """
        return map(self._apply, self.volume)

    def __getitem__(self, name: str) -> StackReading:
        """Give what one query says of all slices.

        Raises:
            KeyError: There is no such query.
            ImageError: A slice cannot be decoded.
        """
        if name not in self._names:
            raise KeyError(name)
        return self._stacked[name]

    def __iter__(self) -> Iterator[str]:
        """Go through the queries' names."""
        return iter(self._names)

    def __len__(self) -> int:
        """Count the queries."""
        return len(self._names)

    @cached_property
    def _stacked(self) -> dict[str, StackReading]:
        results = list(self.slices())
        return {
            name: _stacked([one[name] for one in results], self.volume.spacing)
            for name in self._names
        }


def _stacked(readings: Sequence[Reading], spacing: Spacing | None) -> StackReading:
    graded = tuple(one for one in readings if isinstance(one, Classification))
    if graded:
        return VolumeClassification(slices=graded)
    marked = tuple(one for one in readings if isinstance(one, Segmentation))
    return VolumeSegmentation(slices=marked, spacing=spacing)
