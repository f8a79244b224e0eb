"""Sharper than the grid: a logit map is led by the image's edges. Pure arrays, no names.

The filter's weights do not depend on the query, so that it is applied to the one-channel logit map
and costs the same whatever the width of the tokens. It works at one size, that at which it was
chosen: led by the pixels of a larger image, outlines would follow its noise.

All maps lie in a frame of zeros as wide as half a window, row after row in one line. So a window's
sum is a sum of shifted lines, and memory is taken once for any number of maps.

Source: He, Sun, Tang, Guided Image Filtering, 2013.
"""

import threading

import numpy as np
from numpy.typing import NDArray

from retq_hub.crossings import bilinear

__all__ = ["Lead"]


class Lead:
    """What the filter knows of an image; it serves any number of logit maps, in any thread.

    Args:
        guide: (S, S) float32, 0-1: the image at the size at which the filter works.
        radius_px: Half the window's side there.
        epsilon: Below this variance the window counts as flat and is averaged.
    """

    def __init__(self, guide: NDArray[np.float32], *, radius_px: int, epsilon: float) -> None:
        self._shape, self._radius = guide.shape, radius_px
        self._own = threading.local()
        frame = _Frame(self._shape, radius_px)
        self._guide = frame.line(guide)
        counts = frame.sums(frame.line(np.ones_like(guide)), frame.line())
        self._per_window = frame.line(np.reciprocal(frame.inside(counts)))
        self._mean = frame.sums(self._guide, frame.line())
        self._mean *= self._per_window
        spread = frame.sums(self._guide * self._guide, frame.line())
        spread *= self._per_window
        spread -= self._mean * self._mean
        self._slope = 1 / (spread + np.float32(epsilon))

    def __call__(self, grids: NDArray[np.float32]) -> NDArray[np.float32]:
        """Upsample logits so that they follow the image.

        Args:
            grids: (C, g, g) float32 logits.

        Returns:
            (C, S, S) float32 logits.
        """
        frame = self._frame()
        found = np.empty((len(grids), *self._shape), dtype=np.float32)
        for grid, led in zip(grids, found, strict=True):
            frame.inside(frame.lines[0])[:] = bilinear(grid, *self._shape[::-1])
            led[:] = frame.inside(self._led(frame))
        return found

    def _frame(self) -> "_Frame":
        """Give the memory of this thread."""
        if not hasattr(self._own, "frame"):
            self._own.frame = _Frame(self._shape, self._radius)
        frame: _Frame = self._own.frame
        return frame

    def _led(self, frame: "_Frame") -> NDArray[np.float32]:
        """Filter the logits in the frame's first line; all lines are written over."""
        logits, offset, factor = frame.lines
        frame.sums(logits, offset)
        offset *= self._per_window
        logits *= self._guide
        frame.sums(logits, factor)
        factor *= self._per_window
        factor -= np.multiply(offset, self._mean, out=logits)
        factor *= self._slope
        offset -= np.multiply(factor, self._mean, out=logits)
        led = frame.sums(factor, logits)
        led *= self._guide
        led += frame.sums(offset, factor)
        led *= self._per_window
        return led


class _Frame:
    """Maps in a frame of zeros, and the sums over a square window around each of their pixels.

    Args:
        shape: (H, W) of the maps.
        radius: Half the window's side; the frame's width.

    Attributes:
        lines: Three lines to work in.
    """

    def __init__(self, shape: tuple[int, ...], radius: int) -> None:
        self._shape = (shape[0] + 2 * radius, shape[1] + 2 * radius)
        self._radius = radius
        self._scratch = [self.line() for _ in range(3)]
        self.lines = tuple(self.line() for _ in range(3))

    def line(self, maps: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Give a map in its frame as one line, or zeros."""
        line = np.zeros(self._shape[0] * self._shape[1], dtype=np.float32)
        if maps is not None:
            self.inside(line)[:] = maps
        return line

    def inside(self, line: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give the (H, W) map in a line; writing into it changes the line."""
        inner = slice(self._radius, -self._radius) if self._radius else slice(None)
        return line.reshape(self._shape)[inner, inner]

    def sums(self, line: NDArray[np.float32], found: NDArray[np.float32]) -> NDArray[np.float32]:
        """Add up the window around each pixel; what comes to lie in the frame means nothing.

        Args:
            line: The map; its frame must be zeros.
            found: The line to write into, another one.
        """
        rows, *scratch = self._scratch
        stride, length = self._shape[1], 2 * self._radius + 1
        down = _sums_along(line, length, stride, rows, scratch)
        first = self._radius * (stride + 1)
        _sums_along(down, length, 1, found[first:], scratch)
        return found


def _sums_along(
    line: NDArray[np.float32],
    length: int,
    step: int,
    found: NDArray[np.float32],
    scratch: list[NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Add up each ``length`` numbers that are ``step`` apart, by sums of 2, 4, 8 ... of them.

    Args:
        line: The numbers.
        length: How many; it is odd, and at least 3.
        step: How far they are apart.
        found: Where to write; the part that was written is returned.
        scratch: Two other lines.
    """
    found = found[: len(line) - (length - 1) * step]
    so_far, done, size = line[: len(found)], 1, 1
    while done < length:
        shift = size * step
        line = np.add(line[:-shift], line[shift:], out=scratch[0][: len(line) - shift])
        scratch = scratch[::-1]
        size *= 2
        if length & size:
            so_far = np.add(so_far, line[done * step :][: len(found)], out=found)
            done += size
    return found
