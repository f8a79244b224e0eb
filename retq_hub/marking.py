"""What a head marks on an image, and what is said of it, from the surface and without its pixels.

The surface is the map between whose samples pixels are interpolated, `Segmentation.surface`. Where
targets exclude each other all pixels are computed, some rows at a time.

Axis letters: C targets, S side of the surface, H/W pixels.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from retq_hub import crossings, runs
from retq_hub.grids import interpolation_matrix, upsample
from retq_hub.heads import calibrate, cuts, margins, probabilities
from retq_hub.manifest import Head

__all__ = ["AREA_PX", "Marking", "describe", "highest", "marked", "shares"]

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


def marked(
    head: Head, surface: NDArray[np.float32], width: int, height: int
) -> list[NDArray[np.uint32]]:
    """Give the mask of each target as runs, see `retq_hub.runs.encode`.

    Args:
        head: The head.
        surface: (C, S, S) float32 logits.
        width: W.
        height: H.
    """
    levels = cuts(head)
    if levels is None:
        return _computed(head, surface, width, height)
    return [
        crossings.above(one, cut, width, height) for one, cut in zip(surface, levels, strict=True)
    ]


def shares(head: Head, surface: NDArray[np.float32]) -> tuple[float, ...]:
    """Give the share of the image that each target marks.

    Args:
        head: The head.
        surface: (C, S, S) float32 logits.
    """
    levels = cuts(head)
    if levels is not None and surface.shape[1:] == (AREA_PX, AREA_PX):
        counts = [int((one > cut).sum()) for one, cut in zip(surface, levels, strict=True)]
    else:
        counts = [runs.area(one) for one in marked(head, surface, AREA_PX, AREA_PX)]
    return tuple(count / AREA_PX**2 for count in counts)


def highest(head: Head, surface: NDArray[np.float32]) -> tuple[float, ...]:
    """Give the highest probability of each target among the pixels on which areas are measured.

    Args:
        head: The head.
        surface: (C, S, S) float32 logits.
    """
    if cuts(head) is None:
        logits = upsample(torch.from_numpy(surface), AREA_PX, AREA_PX)
    else:
        # Calibration and sigmoid keep the order.
        peaks = [crossings.bilinear(one, AREA_PX, AREA_PX).max() for one in surface]
        logits = torch.tensor(peaks)[:, None, None]
    if head.calibration is not None:
        logits = calibrate(head.calibration, logits)
    return tuple(probabilities(head, logits).amax((1, 2)).tolist())


def describe(head: Head, surface: NDArray[np.float32], size: tuple[int, int]) -> list[Marking]:
    """Say of each target how much it marks, where, and how surely.

    Args:
        head: The head.
        surface: (C, S, S) float32 logits.
        size: Width and height of the image in pixels.
    """
    scale = min(1.0, _COMPONENT_PX / max(size))
    small = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    masks = marked(head, surface, *small)
    facts = zip(shares(head, surface), highest(head, surface), masks, strict=True)
    return [
        Marking(area=area, highest=top, centroid=_centroid(mask, small, size))
        for area, top, mask in facts
    ]


def _centroid(
    mask: NDArray[np.uint32], small: tuple[int, int], size: tuple[int, int]
) -> tuple[float, float] | None:
    found = runs.centroid(mask, small[0])
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
    parts = []
    for rows in torch.split(down, max(1, _BLOCK_PX // width)):  # type: ignore[no-untyped-call]
        logits = rows @ maps @ across
        if head.calibration is not None:
            logits = calibrate(head.calibration, logits)
        parts.append((margins(head, logits) > 0).numpy())
    return [runs.encode(one) for one in np.concatenate(parts, axis=1)]
