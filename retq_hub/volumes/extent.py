"""How much of a volume is marked: shares of slices, en face, and mm where distances are known."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from retq_hub.volumes.volume import Spacing

__all__ = ["Extent", "Profile", "profile_of"]


class Profile(NamedTuple):
    """What of one slice is marked: how many pixels, and (W,) bool, in which columns any are."""

    n_marked: int
    columns: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How much of a volume is marked.

    Attributes:
        profiles: What is marked of each slice.
        height: Of a slice, in pixels.
        spacing: Distances in mm; None where they are not known.
    """

    profiles: tuple[Profile, ...]
    height: int
    spacing: Spacing | None

    @property
    def areas(self) -> NDArray[np.float64]:
        """(n,) float64, the share of each slice that is marked."""
        counts = np.array([one.n_marked for one in self.profiles], dtype=np.float64)
        return counts / (len(self.profiles[0].columns) * self.height)

    @property
    def share(self) -> float:
        """Share of the volume that is marked."""
        return float(self.areas.mean())

    @property
    def n_slices(self) -> int:
        """In how many slices anything is marked."""
        return sum(one.n_marked > 0 for one in self.profiles)

    @property
    def en_face(self) -> NDArray[np.bool_]:
        """(n, W) bool, seen from the front: where any depth is marked."""
        return np.stack([one.columns for one in self.profiles])

    @property
    def en_face_mm2(self) -> float | None:
        """Area that is marked, seen from the front; None where distances are not known."""
        if self.spacing is None or self.spacing.between_mm is None:
            return None
        return float(self.en_face.sum()) * self.spacing.across_mm * self.spacing.between_mm

    @property
    def volume_mm3(self) -> float | None:
        """Volume that is marked; None where distances are not known."""
        if self.spacing is None or self.spacing.between_mm is None:
            return None
        voxel_mm3 = self.spacing.down_mm * self.spacing.across_mm * self.spacing.between_mm
        return sum(one.n_marked for one in self.profiles) * voxel_mm3


def profile_of(mask: NDArray[np.bool_]) -> Profile:
    """Reduce an (H, W) mask of a slice to what an extent needs."""
    return Profile(int(mask.sum()), np.asarray(mask.any(axis=0)))
