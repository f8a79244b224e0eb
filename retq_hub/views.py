"""Views of an image, flipped, lighter or smaller, and how tokens come back to the plain places.

Over flips the tokens of an image may be averaged; any view may be trained on beside the plain one.
Arrays and tensors only. Axis letters: S pixels a side, G cells a side, D width.
"""

from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

__all__ = ["FLIPS", "VIEWS", "Pixels", "placed_back", "seen"]

Pixels: TypeAlias = NDArray[np.uint8 | np.float32]
"""RGB, 0-255; floats where they keep the fractions that resizing gave."""

FLIPS: dict[str, tuple[int, ...]] = {"mirrored": (1,), "upended": (0,), "turned": (0, 1)}
"""Left to right, upside down, and both (turned by 180 degrees): the axes that are reversed."""

_GAINS = {"brighter": 1.2, "darker": 0.8}
_CONTRASTS = {"contrasted": 1.25, "faded": 0.8}
_SHRINKAGE = 0.8

VIEWS = ("plain", *FLIPS, *_GAINS, *_CONTRASTS, "smaller")
"""All views; ``smaller`` is the image at 80 % in the middle of black."""


def seen(pixels: Pixels, view: str) -> Pixels:
    """Give what the backbone sees of an image in a view.

    Args:
        pixels: (H, W, 3) uint8 or float32, RGB, 0-255.
        view: One of `VIEWS`.

    Returns:
        (H, W, 3); whole numbers where it is lighter, darker or smaller.
    """
    if view in FLIPS:
        return np.flip(pixels, FLIPS[view])
    if view in _GAINS:
        return _rounded(pixels * np.float32(_GAINS[view]))
    if view in _CONTRASTS:
        mean = pixels.mean(axis=(0, 1), dtype=np.float32)
        return _rounded((pixels - mean) * np.float32(_CONTRASTS[view]) + mean)
    return _shrunk(_rounded(pixels)) if view == "smaller" else pixels


def placed_back(field: Tensor, view: str) -> Tensor:
    """Bring the tokens of a view, (G, G, D), to the places of the plain image."""
    if view in FLIPS:
        return field.flip(FLIPS[view])
    if view != "smaller":
        return field
    G = len(field)
    place = ((torch.arange(G) + 0.5 - G / 2) * _SHRINKAGE + G / 2 - 0.5).clamp(0, G - 1)
    left = place.floor().long().clamp(max=max(0, G - 2))
    right = (left + 1).clamp(max=G - 1)
    share = (place - left)[:, None, None]
    rows = field[left] * (1 - share) + field[right] * share
    share = share.transpose(0, 1)
    return rows[:, left] * (1 - share) + rows[:, right] * share


def _rounded(values: Pixels) -> NDArray[np.uint8]:
    return np.rint(values).clip(0, 255).astype(np.uint8)


def _shrunk(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = (round(side * _SHRINKAGE) for side in pixels.shape[:2])
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    canvas = np.zeros_like(pixels)
    small = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
    canvas[top : top + height, left : left + width] = np.asarray(small)
    return canvas
