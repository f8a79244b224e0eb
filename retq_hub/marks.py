"""What is said of what a query marks in an image: area, highest probability, largest component.

The numbers are those of `retq_hub.outputs`, found without a pixel more than they need: a component
is looked for where the grid says that something may be marked, along runs of marked pixels.

Axis letters: C targets, G grid side, W/H pixels.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from retq_hub.grids import interpolation_matrix
from retq_hub.guided import sharpen
from retq_hub.heads import calibrate, margins, pixel_logits, probabilities
from retq_hub.manifest import Head
from retq_hub.result import AREA_PX, Segmentation

__all__ = ["COMPONENT_PX", "Mark", "largest", "marks"]

COMPONENT_PX = 1024
"""Longer side at which the largest component is looked for."""


@dataclass(frozen=True)
class Mark:
    """What is said of one target.

    Attributes:
        area: Share of the image that is marked.
        highest: The highest probability of a pixel.
        centroid: Of the largest 8-connected component, x and y in pixels of the image; None where
            nothing is marked.
    """

    area: float
    highest: float
    centroid: tuple[float, float] | None


def marks(found: Segmentation) -> list[Mark]:
    """Say of each target what is marked of it."""
    head, grid = _led(found)
    logits = pixel_logits(head, grid, AREA_PX, AREA_PX, None)
    over = margins(head, logits)
    shares = (over > 0).flatten(1).sum(1) / AREA_PX**2
    alone = head.activation == "sigmoid"
    tops = logits.amax((1, 2)).sigmoid() if alone else probabilities(head, logits).amax((1, 2))
    return [
        Mark(float(share), float(top), _centroid(found.size, head, grid, number))
        for number, (share, top) in enumerate(zip(shares, tops, strict=True))
    ]


def _led(found: Segmentation) -> tuple[Head, Tensor]:
    """Give a head that is not led by the image any more, and logits that have been."""
    head, grid = found.manifest.head, torch.from_numpy(found.logits)
    how = head.guided
    if how is None:
        return head, grid
    assert found.guide is not None, "it is kept where the head needs it"
    guide = torch.from_numpy(found.guide)
    led = sharpen(grid, guide, radius_px=how.radius_px, epsilon=how.epsilon)
    return replace(head, guided=None), led


def _centroid(
    size: tuple[int, int], head: Head, grid: Tensor, number: int
) -> tuple[float, float] | None:
    width, height = size
    scale = min(1.0, COMPONENT_PX / max(width, height))
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    place = largest(*_mask(small, head, grid, number))
    if place is None:
        return None
    x, y = place
    return (
        round((x + 0.5) * width / small[0] - 0.5, 1),
        round((y + 0.5) * height / small[1] - 0.5, 1),
    )


def _mask(
    size: tuple[int, int], head: Head, grid: Tensor, number: int
) -> tuple[NDArray[np.bool_], int, int]:
    """Give a target's mask where it may be marked, and the place of its corner, x and y.

    A pixel's logit lies between those of the cells around it; calibration keeps their order.
    """
    columns, rows = (interpolation_matrix(side, grid.shape[-1]) for side in size)
    x, y = slice(0, size[0]), slice(0, size[1])
    if head.activation == "sigmoid":
        cells = margins(head, _calibrated(head, grid))[number] > 0
        x, y = _near(columns, cells.any(0)), _near(rows, cells.any(1))
    logits = _calibrated(head, rows[y] @ grid @ columns[x].T)
    return np.asarray((margins(head, logits)[number] > 0).numpy()), x.start, y.start


def _calibrated(head: Head, logits: Tensor) -> Tensor:
    return logits if head.calibration is None else calibrate(head.calibration, logits)


def _near(matrix: Tensor, cells: Tensor) -> slice:
    """Give the pixels along an axis that some cells reach."""
    reached = torch.nonzero(matrix @ cells.float() > 0)
    return slice(int(reached[0]), int(reached[-1]) + 1) if len(reached) else slice(0, 0)


def largest(mask: NDArray[np.bool_], x: int = 0, y: int = 0) -> tuple[float, float] | None:
    """Give the centroid of the largest 8-connected component; of equal ones that of the first.

    Args:
        mask: (H, W) bool.
        x: Where its first column lies.
        y: Where its first row lies.

    Returns:
        The mean place of its pixels, x and y; None where nothing is marked.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    stride = mask.shape[1] + 2
    framed = np.zeros((mask.shape[0], stride), dtype=np.int8)
    framed[:, 1:-1] = mask
    steps = np.diff(framed.ravel())
    starts, stops = np.flatnonzero(steps > 0), np.flatnonzero(steps < 0)
    if not len(starts):
        return None
    first = np.searchsorted(stops, starts + stride)
    count = np.searchsorted(starts, stops + stride, side="right") - first
    above = np.repeat(np.arange(len(starts)), count)
    below = np.arange(len(above)) - np.repeat(np.cumsum(count) - count - first, count)
    links = coo_array((np.ones(len(above), np.int8), (above, below)), shape=(len(starts),) * 2)
    _, labels = connected_components(links, directed=False)
    lengths = stops - starts
    members = labels == np.bincount(labels, weights=lengths).argmax()
    starts, lengths = starts[members], lengths[members]
    down, right = np.divmod(starts, stride)
    total = lengths.sum()
    middle = right + (lengths - 1) / 2
    return x + float((middle * lengths).sum() / total), y + float((down * lengths).sum() / total)
