"""The head of a query: from its logits on the grid to logits, probabilities and masks of pixels.

Steps, each recorded in the manifest: upsample (led by the image where the head says so), calibrate,
activate, compare with the thresholds. Pure tensors.

Axis letters: C targets, g grid side, S side of the surface, H/W pixels, K knots.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from retq_hub.grids import upsample
from retq_hub.guided import Lead
from retq_hub.losses import softmax
from retq_hub.manifest import Calibration, Guided, Head

__all__ = ["Guide", "calibrate", "cuts", "lead", "margins", "pixel_logits", "probabilities"]

_SLOPE_BEYOND = 1e-3

_ENDS = (-0x7F7FFFFF, 0x7F7FFFFF)
"""The places of the least and the greatest finite number in the order of all float32 numbers."""

Guide = Callable[[int], Tensor]
"""Gives the image's green channel on a square of S pixels a side, (S, S) float32, 0-1."""


def pixel_logits(head: Head, grid: Tensor, width: int, height: int, guide: Guide | None) -> Tensor:
    """Give calibrated logits at a size.

    Args:
        head: The head.
        grid: (C, g, g) float32 logits.
        width: W.
        height: H.
        guide: The image; needed where the head is led by it.

    Returns:
        (C, H, W) float32.
    """
    logits = upsample(_surface(head, grid, guide), height, width)
    return logits if head.calibration is None else calibrate(head.calibration, logits)


def lead(guided: Guided, guide: NDArray[np.float32]) -> Lead:
    """Give the filter of a head that is led by an image.

    Args:
        guided: How.
        guide: (S, S) float32, 0-1, the image's green channel at the head's size.
    """
    assert len(guide) == guided.size_px, "the image is at the size at which the head works"
    return Lead(guide, radius_px=guided.radius_px, epsilon=guided.epsilon)


def _surface(head: Head, grid: Tensor, guide: Guide | None) -> Tensor:
    """Give the map between whose samples pixels are interpolated, before calibration."""
    if head.guided is None:
        return grid
    assert guide is not None, "a guided head needs the image"
    filtering = lead(head.guided, guide(head.guided.size_px).numpy())
    return torch.from_numpy(filtering(grid.numpy()))


def calibrate(calibration: Calibration, logits: Tensor) -> Tensor:
    """Give calibrated logits; the order of pixels stays, equal ones may be made of different ones.

    Args:
        calibration: How.
        logits: (C, H, W) float32.
    """
    if calibration.knots is None:
        scale = torch.tensor(calibration.scale)[:, None, None]
        return logits * scale + torch.tensor(calibration.offset)[:, None, None]
    return torch.stack(
        [
            _interpolated(one, torch.tensor(knots))
            for one, knots in zip(logits, calibration.knots, strict=True)
        ]
    )


def probabilities(head: Head, logits: Tensor) -> Tensor:
    """Give probabilities of pixels for logits of `pixel_logits`, (C, H, W) float32."""
    if head.activation == "sigmoid":
        return logits.sigmoid()
    return softmax(logits) if head.background is None else logits.softmax(0)


def margins(head: Head, logits: Tensor) -> Tensor:
    """Say by how much pixels are above the thresholds, in logits: what is positive is marked.

    Where targets exclude each other, a pixel must also be above all other targets there.

    Args:
        head: The head.
        logits: Those of `pixel_logits`, (C, H, W) float32.

    Returns:
        (C, H, W) float32.
    """
    thresholds = torch.tensor(head.thresholds, dtype=torch.float64)
    cuts = torch.logit(thresholds).float()[:, None, None]
    if head.activation == "sigmoid":
        return logits - cuts
    above = torch.logit(probabilities(head, logits)) - cuts
    for number in range(len(logits) if len(logits) > 1 else 0):
        others = torch.cat([logits[:number], logits[number + 1 :]])
        above[number] = above[number].minimum(logits[number] - others.amax(0))
    return above


@lru_cache(maxsize=1024)
def cuts(head: Head) -> tuple[float, ...] | None:
    """Give for each target the logit before calibration above which a pixel is marked.

    `calibrate` and `margins` keep the order of a target's pixels, so that one number says the same
    as they do. None where targets exclude each other: there the others count as well.
    """
    if head.activation != "sigmoid":
        return None
    low, high = (np.full(len(head.thresholds), end) for end in _ENDS)
    while (low + 1 < high).any():
        middle = (low + high) // 2
        marked = _marked(head, middle)
        low, high = np.where(marked, low, middle), np.where(marked, middle, high)
    return tuple(_ordered(low).tolist())


def _marked(head: Head, places: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a pixel of each target is marked whose logit has this place among all numbers."""
    logits = torch.from_numpy(_ordered(places))[:, None, None]
    if head.calibration is not None:
        logits = calibrate(head.calibration, logits)
    return np.asarray((margins(head, logits) > 0).flatten().numpy())


def _ordered(places: NDArray[np.int64]) -> NDArray[np.float32]:
    """Give the float32 numbers at some places in the order of all of them, 0 being 0."""
    sizes = np.abs(places).astype(np.uint32).view(np.float32)
    return np.copysign(sizes, places.astype(np.float32))


def _interpolated(values: Tensor, knots: Tensor) -> Tensor:
    """Interpolate linearly between (K, 2) knots; beyond them the curve is all but level.

    Were it level, a threshold beyond the last knot would mark nothing.
    """
    x, y = knots[:, 0].contiguous(), knots[:, 1]
    right = torch.searchsorted(x, values.contiguous()).clamp(1, len(x) - 1)
    share = ((values - x[right - 1]) / (x[right] - x[right - 1])).clamp(0, 1)
    beyond = values - values.clamp(x[0], x[-1])
    return y[right - 1] + share * (y[right] - y[right - 1]) + _SLOPE_BEYOND * beyond
