"""From deep grey to 8 bits, by one scale for a whole volume, so that slices stay comparable."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retq_hub.errors import ImageError

__all__ = ["Scale", "Window", "eight_bits", "is_deep", "scale_of", "windowed"]

_DEPTHS = (8, 12, 16)
"""Bits that scanners write; the fewest that hold all values of a volume are taken for its own."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How grey values become 8 bits.

    Attributes:
        top: The value that becomes white; 0 becomes black.
        note: What the user should know of it; may be empty.
    """

    top: float
    note: str = ""

    def grey(self, image: Image.Image, *, inverted: bool = False) -> Image.Image:
        """Bring a deep grey image to mode L; ``inverted``: its 0 is white."""
        level = np.asarray(image, dtype=np.float64) / self.top
        return Image.fromarray(eight_bits(1 - level if inverted else level))


@dataclass(frozen=True, kw_only=True)
class Window:
    """Which values are shown, from black to white; ``function`` as DICOM names it."""

    centre: float
    width: float
    function: str = "LINEAR"


def is_deep(image: Image.Image) -> bool:
    """Whether an image is grey of more than 8 bits a pixel."""
    return image.mode.startswith("I") or image.mode == "F"


def scale_of(images: Iterable[Image.Image], name: str) -> Scale:
    """Find the scale of a volume of deep grey slices.

    Floats must lie within 0-1. Of integers the greatest value decides whether they have 8, 12 or
    16 bits.

    Args:
        images: Its slices.
        name: What the volume is called in messages.

    Returns:
        The scale that serves all slices.

    Raises:
        ImageError: Values are negative, not finite or too large.
    """
    lowest, highest, floats = np.float64(np.inf), np.float64(-np.inf), False
    for image in images:
        values = np.asarray(image)
        # Unlike Python's own, these keep NaN.
        lowest, highest = np.minimum(lowest, values.min()), np.maximum(highest, values.max())
        floats = floats or image.mode == "F"
    most = 1 if floats else 2 ** _DEPTHS[-1] - 1
    if not (lowest >= 0 and highest <= most):
        wanted = "0-1 for floats" if floats else f"0-{most} for integers"
        raise ImageError(
            f"{name} has values from {lowest:g} to {highest:g}, expected {wanted}",
            hint="rescale it first",
        )
    if floats:
        return Scale(top=1)
    bits = next(bits for bits in _DEPTHS if highest < 2**bits)
    fewer = f"{name}: its values end at {highest:g}, so it is read as {bits} bits deep"
    return Scale(top=2**bits - 1, note=fewer if bits < _DEPTHS[-1] else "")


def windowed(values: NDArray[Any], window: Window) -> NDArray[np.float64]:
    """Bring values to 0-1 by a window.

    Args:
        values: Of any shape and number type.
        window: Centre, width and function.

    Returns:
        float64 of the same shape: 0 is black, 1 white.

    Raises:
        ValueError: The window is too narrow to show anything, or there is no such function.

    Source: DICOM PS3.3, C.11.2.1.2 and C.11.2.1.3.
    """
    if window.function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise ValueError(f"a window of function {window.function!r}")
    moved = 1 if window.function == "LINEAR" else 0
    width = window.width - moved
    if not width > 0:
        raise ValueError(f"a window {window.width:g} wide")
    away = (np.asarray(values, dtype=np.float64) - (window.centre - moved / 2)) / width
    if window.function == "SIGMOID":
        from scipy.special import expit

        return np.asarray(expit(4 * away))
    return np.clip(away + 0.5, 0, 1)


def eight_bits(level: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Bring levels of 0-1 to 0-255, of the same shape."""
    return np.asarray(np.rint(np.clip(level, 0, 1) * 255), dtype=np.uint8)
