"""The head of a query: from its logits on the grid to logits, probabilities and masks of pixels.

Steps, each recorded in the manifest: upsample (led by the image where the head says so), calibrate,
activate, compare with the thresholds. Pure tensors.

Axis letters: C targets, g grid side, H/W pixels, K knots.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from retq_hub.grids import upsample
from retq_hub.guided import sharpen
from retq_hub.losses import softmax
from retq_hub.manifest import Calibration, Head

__all__ = ["Guide", "calibrate", "margins", "pixel_logits", "probabilities"]

_SLOPE_BEYOND = 1e-3

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
    if head.guided is None:
        logits = upsample(grid, height, width)
    else:
        assert guide is not None, "a guided head needs the image"
        one = head.guided
        led = sharpen(
            grid,
            guide(one.size_px),
            radius_px=one.radius_px,
            epsilon=one.epsilon,
        )
        logits = upsample(led, height, width)
    return logits if head.calibration is None else calibrate(head.calibration, logits)


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


def _interpolated(values: Tensor, knots: Tensor) -> Tensor:
    """Interpolate linearly between (K, 2) knots; beyond them the curve is all but level.

    Were it level, a threshold beyond the last knot would mark nothing.
    """
    x, y = knots[:, 0].contiguous(), knots[:, 1]
    right = torch.searchsorted(x, values.contiguous()).clamp(1, len(x) - 1)
    share = ((values - x[right - 1]) / (x[right] - x[right - 1])).clamp(0, 1)
    beyond = values - values.clamp(x[0], x[-1])
    return y[right - 1] + share * (y[right] - y[right - 1]) + _SLOPE_BEYOND * beyond
