"""The outline of a mask drawn on a picture, smooth because it follows logits and not pixels.

Only the part of the picture around the mask is touched.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

__all__ = ["draw"]

_CASING = "#101418"

_Box: TypeAlias = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels."""


def draw(picture: Image.Image, margin: NDArray[np.float32], colour: str, *, tint: float) -> None:
    """Draw where a margin is positive: the line is centred on the edge, in a thin dark casing.

    Args:
        picture: Mode RGB, W x H; it is drawn upon.
        margin: (H, W), positive where it is marked, such as logits above a threshold.
        colour: ``#RRGGBB`` of the line.
        tint: Opacity of the colour inside, 0-1.
    """
    line_px = max(1.6, max(picture.size) / 300)
    casing_px = line_px * 1.6
    radius = round(casing_px / 2 + 1)
    left, top, right, bottom = _around(margin > 0, radius)
    near = _dilated(margin[top:bottom, left:right] > 0, radius=radius)
    if not near.any():
        return
    distance = _distance(margin, (left, top, right, bottom))
    inside = np.clip(distance + 0.5, 0, 1) * near
    _paint(picture, (left, top), colour, inside * tint)
    for ink, width, strength in ((_CASING, casing_px, 0.5), (colour, line_px, 1.0)):
        level = np.clip((width + 1) / 2 - np.abs(distance), 0, 1) * near * strength
        _paint(picture, (left, top), ink, level)


def _around(mask: NDArray[np.bool_], radius: int) -> _Box:
    """Give the box around what is marked and ``radius`` pixels more; an empty one for nothing."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return 0, 0, 0, 0
    first = max(0, int(columns[0]) - radius), max(0, int(rows[0]) - radius)
    return *first, int(columns[-1]) + radius + 1, int(rows[-1]) + radius + 1


def _distance(margin: NDArray[np.float32], box: _Box) -> NDArray[np.float32]:
    """(h, w) pixels from the contour, to first order: the margin by its slope; inside positive."""
    left, top, right, bottom = box
    padded = np.pad(margin, 1, mode="edge")[top : bottom + 2, left : right + 2]
    across = (padded[1:-1, 2:] - padded[1:-1, :-2]) / 2
    down = (padded[2:, 1:-1] - padded[:-2, 1:-1]) / 2
    return np.asarray(padded[1:-1, 1:-1] / np.maximum(np.hypot(across, down), 1e-6))


def _dilated(mask: NDArray[np.bool_], *, radius: int) -> NDArray[np.bool_]:
    """(h, w) where a marked pixel is within a square; keeps the first order near the mask."""
    from scipy import ndimage

    side = 2 * radius + 1
    widened = ndimage.maximum_filter(mask.view(np.uint8), side, mode="constant")
    return np.asarray(widened.view(np.bool_))


def _paint(
    picture: Image.Image, corner: tuple[int, int], colour: str, alpha: NDArray[np.floating[Any]]
) -> None:
    layer = Image.fromarray((alpha * 255).round().astype(np.uint8))
    left, top = corner
    box = (left, top, left + layer.width, top + layer.height)
    picture.paste(ImageColor.getrgb(colour), box, layer)
