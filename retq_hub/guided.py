"""Sharper than the grid: a logit map is led by the image's edges. Pure tensors, no names.

The filter's weights do not depend on the query, so that it is applied to the one-channel logit map
and costs the same whatever the width of the tokens. It works at one size, that at which it was
chosen: led by the pixels of a larger image, outlines would follow its noise.

Source: He, Sun, Tang, Guided Image Filtering, 2013.
"""

import torch.nn.functional as F
from torch import Tensor

from retq_hub.grids import upsample

__all__ = ["sharpen"]


def sharpen(grid: Tensor, guide: Tensor, *, radius_px: int, epsilon: float) -> Tensor:
    """Upsample logits so that they follow the guide.

    Args:
        grid: (C, g, g) float32 logits.
        guide: (S, S) float32, 0-1: the image at the size at which the filter works.
        radius_px: Half the window's side there.
        epsilon: Below this variance the window counts as flat and is averaged.

    Returns:
        (C, S, S) float32 logits.
    """
    logits, image = upsample(grid, *guide.shape), guide[None]
    mean_image, mean_logits = _mean(image, radius_px), _mean(logits, radius_px)
    shared = _mean(image * logits, radius_px) - mean_image * mean_logits
    spread = _mean(image * image, radius_px) - mean_image * mean_image
    factor = shared / (spread + epsilon)
    offset = mean_logits - factor * mean_image
    return _mean(factor, radius_px) * image + _mean(offset, radius_px)


def _mean(maps: Tensor, radius: int) -> Tensor:
    """Average over a square window, cut at the border."""
    side = 2 * radius + 1
    rows = F.avg_pool2d(maps, (side, 1), 1, (radius, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, side), 1, (0, radius), count_include_pad=False)
