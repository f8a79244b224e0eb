"""Gaussian smoothing of square images, by matrices that are zero far from their diagonal.

What `scipy.ndimage.gaussian_filter` computes, ended at four standard deviations and mirrored at the
border, up to rounding: several times as fast, for the linear algebra library works on blocks where
a filter goes from pixel to pixel. No torch, no files.

Axis letters: S side in pixels.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["smoothed", "steepness"]

_REACH = 4
"""Standard deviations at which the bell ends."""

_ROWS = 28

_PRODUCTS = 1 << 18
"""So many multiplications are done at a time: few enough that the linear algebra library does not
share them among threads, so that the bits do not depend on how many it has."""


class _Band(NamedTuple):
    """Some rows of a matrix, without the columns that are zero in all of them."""

    rows: slice
    columns: slice
    weights: "NDArray[np.float32]"

    def parts(self, size: int) -> list[slice]:
        """Divide the other axis of an image, S pixels, so that each product is small."""
        step = max(1, _PRODUCTS // self.weights.size)
        return [slice(start, min(start + step, size)) for start in range(0, size, step)]


def smoothed(image: "NDArray[np.float32]", sigma: float) -> "NDArray[np.float32]":
    """Smooth an image.

    Args:
        image: (S, S) float32.
        sigma: Standard deviation of the bell in pixels.

    Returns:
        (S, S) float32.
    """
    return _filtered(image, sigma, (0, 0))


def steepness(image: "NDArray[np.float32]", sigma: float) -> "NDArray[np.float32]":
    """Give the length of the gradient of an image that is smoothed.

    Args:
        image: (S, S) float32.
        sigma: Standard deviation of the bell in pixels.

    Returns:
        (S, S) float32.
    """
    import numpy as np

    down, across = (_filtered(image, sigma, orders) for orders in ((1, 0), (0, 1)))
    return np.sqrt(down * down + across * across)


def _filtered(
    image: "NDArray[np.float32]", sigma: float, orders: tuple[int, int]
) -> "NDArray[np.float32]":
    """Smooth along both axes; of order 1 the derivative is taken along the axis."""
    import numpy as np

    down, across = (_bands(len(image), sigma, order) for order in orders)
    between, found = np.empty_like(image), np.empty_like(image)
    for one in down:
        for part in one.parts(len(image)):
            np.matmul(one.weights, image[one.columns, part], out=between[one.rows, part])
    for one in across:
        for part in one.parts(len(image)):
            np.matmul(between[part, one.columns], one.weights.T, out=found[part, one.rows])
    return found


@lru_cache(maxsize=32)
def _bands(size: int, sigma: float, order: int) -> tuple[_Band, ...]:
    """Give the matrix of smoothing along an axis of S pixels, or of the derivative."""
    import numpy as np

    radius = int(_REACH * sigma + 0.5)
    step = np.arange(-radius, radius + 1)
    bell = np.exp(-0.5 * (step / sigma) ** 2)
    bell /= bell.sum()
    if order == 1:
        bell *= step / sigma**2
    place = np.arange(size)[:, None] + step
    place %= 2 * size
    place = np.minimum(place, 2 * size - 1 - place)
    matrix = np.zeros((size, size))
    np.add.at(matrix, (np.arange(size)[:, None], place), bell)
    starts = range(0, size, _ROWS)
    rows = [slice(start, min(start + _ROWS, size)) for start in starts]
    columns = [slice(max(0, one.start - radius), min(size, one.stop + radius)) for one in rows]
    return tuple(
        _Band(one, reach, np.ascontiguousarray(matrix[one, reach], dtype=np.float32))
        for one, reach in zip(rows, columns, strict=True)
    )
