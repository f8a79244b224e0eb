"""Sharper than the grid: a logit map is led by the image's edges. Pure tensors, no names.

The filter's weights do not depend on the query, so that it is applied to the one-channel logit map
and costs the same whatever the width of the tokens.

Source: He, Sun, Tang, Guided Image Filtering, 2013; He, Sun, Fast Guided Filter, 2015 (coefficients
at a working size, brought to the image's).
"""

import torch.nn.functional as F
from torch import Tensor

from retq_hub.grids import upsample

__all__ = ["sharpen"]


def sharpen(
    grid: Tensor, guide: Tensor, *, working_guide: Tensor, radius_px: int, epsilon: float
) -> Tensor:
    """Upsample logits so that they follow the guide.

    Args:
        grid: (C, g, g) float32 logits.
        guide: (H, W) float32, 0-1: the image at the size that is wanted.
        working_guide: (S, S) float32, 0-1: the image at the size at which the filter works.
        radius_px: Half the window's side at the working size.
        epsilon: Below this variance the window counts as flat and is averaged.

    Returns:
        (C, H, W) float32 logits.
    """
    logits = upsample(grid, *working_guide.shape)
    image = working_guide[None]
    mean_image, mean_logits = _mean(image, radius_px), _mean(logits, radius_px)
    shared = _mean(image * logits, radius_px) - mean_image * mean_logits
    spread = _mean(image * image, radius_px) - mean_image * mean_image
    factor = shared / (spread + epsilon)
    offset = mean_logits - factor * mean_image
    height, width = guide.shape
    factor = upsample(_mean(factor, radius_px), height, width)
    return factor * guide + upsample(_mean(offset, radius_px), height, width)


def _mean(maps: Tensor, radius: int) -> Tensor:
    """Average over a square window, cut at the border."""
    return F.avg_pool2d(maps, 2 * radius + 1, 1, radius, count_include_pad=False)
