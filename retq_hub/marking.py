"""What a head marks on an image, and what is said of it, from the surface and without its pixels.

The surface is the map between whose samples pixels are interpolated. Where targets exclude each
other all pixels are computed, some rows at a time.

Axis letters: C targets, S side of the surface, H/W pixels.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from retq_hub.crossings import Outline, bilinear
from retq_hub.grids import interpolation_matrix, upsample
from retq_hub.guided import Lead
from retq_hub.heads import calibrate, cuts, margins, probabilities
from retq_hub.manifest import Head
from retq_hub.runs import area, centroid, encode

__all__ = ["AREA_PX", "Marking", "Marks"]

AREA_PX = 392
"""Side of the square on which areas are measured."""

_COMPONENT_PX = 1024
"""Longer side at which the largest component is looked for."""

_BLOCK_PX = 1 << 20
"""So many pixels are computed at a time where they have to be."""


@dataclass(frozen=True, kw_only=True)
class Marking:
    """What is said of what one target marks.

    Attributes:
        area: Share of the image.
        centroid: Of the largest component, in pixels of the image; None where nothing is marked.
        highest: The highest probability of a pixel.
    """

    area: float
    centroid: tuple[float, float] | None
    highest: float


class Marks:
    """What a head marks on one image.

    Args:
        head: The head.
        logits: (C, g, g) float32 on the finest grid.
        lead: What the filter knows of the image, where the head is led by it.
    """

    def __init__(self, head: Head, logits: NDArray[np.float32], lead: Lead | None = None) -> None:
        self._head, self._logits, self._lead = head, logits, lead
        self._cuts = cuts(head)

    @cached_property
    def surface(self) -> NDArray[np.float32]:
        """(C, S, S) float32 logits between which pixels are interpolated.

        They are the grid, or what the image made of it where the head is led by it.
        """
        return self._logits if self._lead is None else self._lead(self._logits)

    @cached_property
    def _outlines(self) -> list[Outline]:
        assert self._cuts is not None, "targets do not exclude each other"
        return [Outline(one, cut) for one, cut in zip(self.surface, self._cuts, strict=True)]

    def runs(self, width: int, height: int) -> list[NDArray[np.uint32]]:
        """Give the mask of each target as runs, see `retq_hub.runs.encode`.

        Args:
            width: W.
            height: H.
        """
        if self._cuts is None:
            return _computed(self._head, self.surface, width, height)
        return [one.runs(width, height) for one in self._outlines]

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of the image that each target marks, of 392 x 392 pixels."""
        if self._cuts is not None and self.surface.shape[1:] == (AREA_PX, AREA_PX):
            pairs = zip(self.surface, self._cuts, strict=True)
            counts = [int((one > cut).sum()) for one, cut in pairs]
        else:
            counts = [area(one) for one in self.runs(AREA_PX, AREA_PX)]
        return tuple(count / AREA_PX**2 for count in counts)

    @property
    def highest(self) -> tuple[float, ...]:
        """The highest probability of each target among 392 x 392 pixels."""
        square = self.surface.shape[1:] == (AREA_PX, AREA_PX)
        if self._cuts is None:
            logits = upsample(torch.from_numpy(self.surface), AREA_PX, AREA_PX)
        else:
            maps = (one if square else bilinear(one, AREA_PX, AREA_PX) for one in self.surface)
            # Calibration and sigmoid keep the order of pixels.
            logits = torch.tensor([one.max() for one in maps])[:, None, None]
        if self._head.calibration is not None:
            logits = calibrate(self._head.calibration, logits)
        return tuple(probabilities(self._head, logits).amax((1, 2)).tolist())

    def described(self, size: tuple[int, int]) -> list[Marking]:
        """Say of each target how much it marks, where, and how surely.

        Args:
            size: Width and height of the image in pixels.
        """
        scale = min(1.0, _COMPONENT_PX / max(size))
        small = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
        facts = zip(self.shares, self.highest, self.runs(*small), strict=True)
        return [
            Marking(area=share, highest=top, centroid=_centroid(mask, small, size))
            for share, top, mask in facts
        ]


def _centroid(
    mask: NDArray[np.uint32], small: tuple[int, int], size: tuple[int, int]
) -> tuple[float, float] | None:
    found = centroid(mask, small[0])
    if found is None:
        return None
    x, y = found
    return (x + 0.5) * size[0] / small[0] - 0.5, (y + 0.5) * size[1] / small[1] - 0.5


def _computed(
    head: Head, surface: NDArray[np.float32], width: int, height: int
) -> list[NDArray[np.uint32]]:
    """Give the runs of each target by computing all pixels, some rows at a time."""
    across, maps = interpolation_matrix(width, surface.shape[2]).T, torch.from_numpy(surface)
    down = interpolation_matrix(height, surface.shape[1])
    parts, n_rows = [], max(1, _BLOCK_PX // width)
    for first in range(0, height, n_rows):
        logits = down[first : first + n_rows] @ maps @ across
        if head.calibration is not None:
            logits = calibrate(head.calibration, logits)
        parts.append((margins(head, logits) > 0).numpy())
    return [encode(one) for one in np.concatenate(parts, axis=1)]
