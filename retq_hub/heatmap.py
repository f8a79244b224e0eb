"""Colours over a grey photograph: probabilities, and where a query looked. No words, no files."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from retq_hub.images import decode

__all__ = ["colour_bar", "heatmap", "photograph"]

_VIRIDIS = (
    *("#440154", "#482576", "#414487", "#35608D", "#2A788E", "#21908C"),
    *("#22A884", "#43BF71", "#7AD151", "#BBDF27", "#FDE725"),
)
_GROUND = 72
_DIM = 0.72


def photograph(image: Image.Image, max_side_px: int) -> Image.Image:
    """Give an upright RGB copy of a photograph, scaled down to a longest side, never up."""
    upright = decode(image)
    scale = max_side_px / max(upright.size)
    if scale >= 1:
        return upright.copy()
    size = (max(1, round(upright.width * scale)), max(1, round(upright.height * scale)))
    # What is more than twice as large is first reduced by a whole number, which costs little.
    return upright.resize(size, Image.Resampling.LANCZOS, reducing_gap=1.0)


def heatmap(
    image: Image.Image,
    levels: Callable[[int, int], NDArray[np.floating[Any]]],
    *,
    max_side_px: int,
) -> Image.Image:
    """Lay colours over a photograph, which is dimmed and grey; `colour_bar` says what they mean.

    Args:
        image: The photograph.
        levels: Gives the (H, W) levels, 0-1, for a width and a height.
        max_side_px: A larger photograph is scaled down to this.

    Returns:
        A PIL image of mode RGB.
    """
    dimmed = photograph(image, max_side_px).convert("L").point([n * _DIM for n in range(256)])
    picture = dimmed.convert("RGB")
    level = (levels(picture.width, picture.height) * 255).round().astype(np.uint8)
    layer, alpha = _colour_table()
    picture.paste(Image.fromarray(layer[level]), (0, 0), Image.fromarray(alpha[level]))
    return picture


def colour_bar(width: int, height: int) -> Image.Image:
    """Show the colours of `heatmap` over mid-grey, from 0 at the left to 1 at the right.

    Args:
        width: In pixels.
        height: In pixels.

    Returns:
        A PIL image of mode RGB.
    """
    level = np.broadcast_to(np.linspace(0, 255, width).round().astype(np.uint8), (height, width))
    layer, alpha = _colour_table()
    bar = Image.new("RGB", (width, height), (_GROUND, _GROUND, _GROUND))
    bar.paste(Image.fromarray(layer[level]), (0, 0), Image.fromarray(alpha[level]))
    return bar


def _colour_table() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(256, 3) colour and (256,) opacity by level; what is low lets the picture through.

    Source: viridis by van der Walt and Smith (CC0), read at eleven points.
    """
    level = np.linspace(0, 1, 256)
    stops = np.array([ImageColor.getrgb(stop) for stop in _VIRIDIS], dtype=np.float64)
    places = np.linspace(0, 1, len(stops))
    channels = [np.interp(level, places, stops[:, channel]) for channel in range(3)]
    opacity = 0.8 * level**0.6
    return np.stack(channels, axis=1).round().astype(np.uint8), (opacity * 255).astype(np.uint8)
