"""From a grid to the runs of what lies above a cut, without its pixels.

A bilinear map lies between the corners of each of its cells. Where all four are on one side of the
cut, so is all that is between them; only cells with corners on both sides are looked into, and of
each row of pixels in them only the one place at which it crosses the cut. The cost goes with the
length of the outline. Arithmetic is in float64, so that a mask is the same on every machine.

Axis letters: H/W pixels, S samples a side of the grid, k crossed cells, p rows of pixels in them.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from retq_hub.runs import from_toggles

__all__ = ["Outline", "Samples", "bilinear", "samples"]


_LEAST = float(np.finfo(np.float32).min)
"""Stands for what is no number: it is below every cut."""


class Samples(NamedTuple):
    """Where pixels lie between samples, along one axis.

    Attributes:
        left: (size,) int64, the sample before each pixel.
        share: (size,) float64, how far it is on the way to the next, 0-1.
        first: (S + 1,) int64, for each sample the first pixel at or after it.
    """

    left: NDArray[np.int64]
    share: NDArray[np.float64]
    first: NDArray[np.int64]


class _Pieces(NamedTuple):
    """Rows of pixels in crossed cells that begin and end on different sides of the cut.

    Attributes:
        row: (p,) int64, the row of pixels.
        column: (p,) int64, the cell's column.
        begin: (p,) float64, the value above the cut at the cell's left side.
        end: (p,) float64, at its right side.
    """

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    begin: NDArray[np.float64]
    end: NDArray[np.float64]


@lru_cache(maxsize=32)
def samples(size: int, grid: int) -> Samples:
    """Say where ``size`` pixels lie between ``grid`` samples, as `grids.upsample` has it."""
    position = np.maximum((np.arange(size) + 0.5) * grid / size - 0.5, 0.0)
    left = np.minimum(position.astype(np.int64), grid - 1)
    return Samples(left, position - left, np.searchsorted(left, np.arange(grid + 1)))


def bilinear(grid: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """Bring a grid to a size, all of its pixels.

    Args:
        grid: (S, S) float32.
        width: W.
        height: H.

    Returns:
        (H, W) float32.
    """
    across, down = samples(width, grid.shape[1]), samples(height, grid.shape[0])
    return _between(_between(grid, across, axis=1), down, axis=0)


def _between(maps: NDArray[np.float32], where: Samples, *, axis: int) -> NDArray[np.float32]:
    share = np.expand_dims(where.share.astype(np.float32), 1 - axis)
    found = maps.take(where.left, axis=axis)
    found *= 1 - share
    following = maps.take(np.minimum(where.left + 1, maps.shape[axis] - 1), axis=axis)
    following *= share
    found += following
    return found


class Outline:
    """Where a grid lies above a cut, at any size.

    Args:
        grid: (S, S) float32.
        cut: What is greater is marked.
    """

    def __init__(self, grid: NDArray[np.float32], cut: float) -> None:
        grid = np.nan_to_num(grid, nan=_LEAST)
        marked = grid > cut
        upper, column = _crossed_cells(marked)
        corners = np.stack([upper, np.minimum(upper + 1, len(grid) - 1)])
        self._shape = grid.shape
        self._column = column
        self._left = grid[corners, column] - np.float64(cut)
        self._right = grid[corners, column + 1] - np.float64(cut)
        self._n_cells = np.bincount(upper, minlength=len(grid))
        self._sides = None
        if marked[:, 0].any() or marked[:, -1].any():
            self._sides = grid[:, [0, -1]] - np.float64(cut)

    def runs(self, width: int, height: int) -> NDArray[np.uint32]:
        """Give what is above the cut when the grid is brought to a size bilinearly.

        Args:
            width: W.
            height: H.

        Returns:
            (n,) uint32 runs of (H, W), see `retq_hub.runs.encode`.
        """
        across, down = samples(width, self._shape[1]), samples(height, self._shape[0])
        pieces = self._pieces(down)
        toggles = pieces.row * width + _places(pieces, across)
        if self._sides is not None:
            begins = _differing_rows(self._sides, down) * width
            toggles = np.sort(np.concatenate([toggles, begins]))
        return from_toggles(toggles, width * height)

    def _pieces(self, down: Samples) -> _Pieces:
        """Give the rows of pixels that cross the cut between two columns, in their order."""
        n_here = self._n_cells[down.left]
        row = np.repeat(np.arange(len(n_here)), n_here)
        skipped = np.cumsum(n_here) - n_here - (np.cumsum(self._n_cells) - self._n_cells)[down.left]
        cell = np.arange(len(row)) - skipped[row]
        share = down.share[row]
        begin, end = (
            (1 - share) * side[0, cell] + share * side[1, cell]
            for side in (self._left, self._right)
        )
        crosses = (begin > 0) != (end > 0)
        return _Pieces(row[crosses], self._column[cell[crosses]], begin[crosses], end[crosses])


def _crossed_cells(marked: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give upper row and left column of the cells whose corners are not alike, row by row."""
    mixed = marked[:, 1:] != marked[:, :-1]
    changes = marked[1:] != marked[:-1]
    mixed[:-1] |= mixed[1:]
    mixed[:-1] |= changes[:, 1:]
    mixed[:-1] |= changes[:, :-1]
    flat = np.flatnonzero(mixed)
    upper = flat // max(mixed.shape[1], 1)
    return upper, flat - upper * mixed.shape[1]


def _places(pieces: _Pieces, across: Samples) -> NDArray[np.int64]:
    """Give for each piece the first pixel that is on the side of its end; it may be just beyond."""
    n_samples, size = len(across.first) - 1, len(across.left)
    middle = pieces.column + pieces.begin / (pieces.begin - pieces.end)
    guess = np.ceil((middle + 0.5) * size / n_samples - 0.5).astype(np.int64)
    low, high = across.first[pieces.column], across.first[pieces.column + 1]
    guess = guess.clip(low, high)
    guess -= (guess > low) & _has_ended(pieces, across, guess - 1)
    guess += (guess < high) & ~_has_ended(pieces, across, guess)
    return guess


def _has_ended(pieces: _Pieces, across: Samples, pixel: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a pixel of each piece is on the side of its end."""
    share = across.share[np.minimum(pixel, len(across.share) - 1)]
    value = (1 - share) * pieces.begin + share * pieces.end
    return np.asarray((value > 0) == (pieces.end > 0))


def _differing_rows(sides: NDArray[np.float64], down: Samples) -> NDArray[np.int64]:
    """Give the rows of pixels that begin on another side of the cut than the row before ends on."""
    share, lower = down.share[:, None], np.minimum(down.left + 1, len(sides) - 1)
    marked = ((1 - share) * sides[down.left] + share * sides[lower]) > 0
    return np.flatnonzero(marked[:, 0] != np.concatenate([[False], marked[:-1, 1]]))
