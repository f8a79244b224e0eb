"""What is gathered of a volume while its slices go by: numbers only, so that memory stays flat."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from retq_hub.grading import grading
from retq_hub.manifest import QueryManifest
from retq_hub.result import Reading, Segmentation
from retq_hub.volumes.extent import Extent, Profile, profile_of
from retq_hub.volumes.volume import Volume

__all__ = ["Maps", "Tally"]


class Maps(NamedTuple):
    """The maps of one slice: (C, H, W) bool, and (C, H, W) float32 in [0, 1]."""

    masks: NDArray[np.bool_]
    probabilities: NDArray[np.float32]


class Tally:
    """What one query says of the slices of a volume.

    Args:
        manifest: The query's.
        volume: The volume.

    Attributes:
        manifest: The query's.
        highest: For each target its highest probability in each slice, or that of the slice.
        n_said: For each target in how many slices it is marked, or said to be there.
    """

    def __init__(self, manifest: QueryManifest, volume: Volume) -> None:
        n_targets = len(manifest.targets)
        self.manifest = manifest
        self.highest: list[list[float]] = [[] for _ in range(n_targets)]
        self.n_said = [0] * n_targets
        self._volume = volume
        self._profiles: list[list[Profile]] = [[] for _ in range(n_targets)]
        self._union: list[Profile] = []

    def take(self, found: Reading) -> Maps | None:
        """Take what the query says of the next slice; give its maps, if it has any."""
        if isinstance(found, Segmentation):
            return self._marked(found)
        told = grading(found)
        assert told is not None, "what has no maps speaks of the whole slice"
        for number, share in enumerate(told.shares):
            self.highest[number].append(share.probability)
            self.n_said[number] += share.said
        return None

    def extent(self, number: int) -> Extent | None:
        """Say how much one target is marked; None where nothing is marked, but told."""
        return self._extent(self._profiles[number])

    @property
    def union(self) -> Extent | None:
        """How much is marked of any target; None where nothing is marked, but told."""
        return self._extent(self._union)

    def _marked(self, found: Segmentation) -> Maps:
        maps = Maps(found.mask_at(*found.size), found.probability_at(*found.size))
        for number, (mask, probability) in enumerate(zip(*maps, strict=True)):
            self._profiles[number].append(profile_of(mask))
            self.highest[number].append(float(probability.max()))
            self.n_said[number] += bool(mask.any())
        self._union.append(profile_of(np.asarray(maps.masks.any(axis=0))))
        return maps

    def _extent(self, profiles: list[Profile]) -> Extent | None:
        if not profiles:
            return None
        height = self._volume.size[1]
        return Extent(profiles=tuple(profiles), height=height, spacing=self._volume.spacing)
