"""Masks as runs: how long background and target alternate, row by row.

A mask of 12 million pixels is some thousand numbers. What is asked of it is computed from these,
at a cost that goes with the length of its outline and not with its area. Pure arrays, no images.

Axis letters: H/W pixels, n runs, m strips. A strip is the part of one row that a run marks.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Strips",
    "area",
    "centroid",
    "decode",
    "encode",
    "from_toggles",
    "strips",
]


class Strips(NamedTuple):
    """Marked parts of rows, in the order of rows and then of columns; no two of them touch.

    Attributes:
        rows: (m,) int64, the row of each.
        starts: (m,) int64, its first column.
        ends: (m,) int64, the column after its last.
    """

    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


def encode(mask: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Give a mask as runs.

    Args:
        mask: (H, W) bool.

    Returns:
        (n,) uint32 lengths of background and target in turns, row by row; the first is background
        and may be 0, all others are positive; they add up to H * W.
    """
    flat = np.concatenate([[False], mask.ravel()])
    return from_toggles(np.flatnonzero(flat[1:] != flat[:-1]), mask.size)


def from_toggles(toggles: NDArray[np.int64], total: int) -> NDArray[np.uint32]:
    """Give the runs between places at which background and target change.

    Args:
        toggles: (k,) int64, ascending: where pixels begin that are not as those before; what comes
            before the first is background. Two at one place undo each other.
        total: H * W; toggles from there on have no effect.
    """
    toggles = toggles[: np.searchsorted(toggles, total)]
    if (toggles[1:] == toggles[:-1]).any():
        places, times = np.unique(toggles, return_counts=True)
        toggles = places[times % 2 == 1]
    found = np.empty(len(toggles) + 1, dtype=np.uint32)
    found[:-1], found[-1] = toggles, total
    found[1:] -= toggles.astype(np.uint32)
    return found


def decode(runs: NDArray[np.uint32], height: int, width: int) -> NDArray[np.bool_]:
    """Give runs as a mask.

    Args:
        runs: Those of `encode`.
        height: H.
        width: W.

    Returns:
        (H, W) bool.
    """
    flat = np.zeros(height * width, dtype=np.bool_)
    ends = np.cumsum(runs, dtype=np.int64).tolist()
    for start, end in zip(ends[::2], ends[1::2], strict=False):
        flat[start:end] = True
    return flat.reshape(height, width)


def area(runs: NDArray[np.uint32]) -> int:
    """Count the pixels that are marked."""
    return int(runs[1::2].sum(dtype=np.int64))


def strips(runs: NDArray[np.uint32], width: int) -> Strips:
    """Cut runs at the ends of rows.

    Args:
        runs: Those of `encode`.
        width: W.
    """
    edges = np.cumsum(runs, dtype=np.int64)
    starts, ends = edges[:-1:2], edges[1::2]
    top = starts // width
    n_rows = (ends - 1) // width - top + 1
    if (n_rows == 1).all():
        return Strips(top, starts - top * width, ends - top * width)
    run = np.repeat(np.arange(len(starts)), n_rows)
    first = np.cumsum(n_rows) - n_rows
    rows = top[run] + np.arange(len(run)) - first[run]
    left = np.maximum(starts[run] - rows * width, 0)
    return Strips(rows, left, np.minimum(ends[run] - rows * width, width))


def centroid(runs: NDArray[np.uint32], width: int) -> tuple[float, float] | None:
    """Give the centroid of the largest component, None where nothing is marked.

    Pixels that touch at a corner belong together. Of components that are equally large the one
    counts that begins first, row by row.

    Args:
        runs: Those of `encode`.
        width: W.

    Returns:
        Column and row, 0 the middle of the first.
    """
    rows, starts, ends = parts = strips(runs, width)
    if not len(rows):
        return None
    component = _components(parts)
    lengths = ends - starts
    largest = component == np.bincount(component, lengths).argmax()
    weights = lengths[largest]
    twice = weights @ (starts + ends - 1)[largest]
    n_pixels = int(weights.sum())
    return int(twice) / (2 * n_pixels), int(weights @ rows[largest]) / n_pixels


def _components(parts: Strips) -> NDArray[np.int64]:
    """(m,) int64, for each strip the number of the first one of its component.

    Of two components that touch the later one's first strip is given the earlier one's number, and
    all follow to where that leads, until none touch.
    """
    above, below = _touching(parts)
    first = np.arange(len(parts.rows))
    while True:
        one, other = first[above], first[below]
        apart = one != other
        if not apart.any():
            return first
        one, other = one[apart], other[apart]
        np.minimum.at(first, np.maximum(one, other), np.minimum(one, other))
        while (first[first] != first).any():
            first = first[first]


def _touching(parts: Strips) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the pairs of strips of one row and of the next that share an edge or a corner."""
    rows, starts, ends = parts
    stride = int(ends.max()) + 2
    first = np.searchsorted(rows * stride + ends, (rows + 1) * stride + starts)
    last = np.searchsorted(rows * stride + starts, (rows + 1) * stride + ends, side="right")
    counts = np.maximum(last - first, 0)
    above = np.repeat(np.arange(len(rows)), counts)
    within = np.arange(len(above)) - np.repeat(np.cumsum(counts) - counts, counts)
    return above, np.repeat(first, counts) + within
