"""From logit maps to answers: upsampling and activation. Pure tensors: no files, no names.

Axis letters: B batch, C targets, g grid side, H/W pixels.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

__all__ = ["cuts", "interpolation_matrix", "logit_map", "upsample"]


@lru_cache(maxsize=32)
def interpolation_matrix(size: int, grid: int) -> Tensor:
    """Give the matrix U of linear interpolation from ``grid`` to ``size`` samples.

    A map P of (g, g) upsampled bilinearly to (H, W) is ``U_H @ P @ U_W.T``, the same as
    `torch.nn.functional.interpolate` with ``align_corners=False``. Shrinking samples without
    averaging, as that function does.

    Args:
        size: Number of samples wanted, at least 1.
        grid: Number of samples there are, at least 1.

    Returns:
        (size, grid) float32; each row is non-negative and sums to 1.
    """
    position = ((torch.arange(size, dtype=torch.float64) + 0.5) * grid / size - 0.5).clamp(min=0)
    left = position.floor().long().clamp(max=grid - 1)
    right = (left + 1).clamp(max=grid - 1)
    fraction = position - left
    rows = torch.arange(size)
    matrix = torch.zeros(size, grid, dtype=torch.float64)
    matrix.index_put_((rows, left), 1 - fraction, accumulate=True)
    matrix.index_put_((rows, right), fraction, accumulate=True)
    return matrix.float()


def upsample(maps: Tensor, height: int, width: int) -> Tensor:
    """Upsample maps bilinearly.

    Args:
        maps: (..., g, g) float32.
        height: H.
        width: W.

    Returns:
        (..., H, W) float32.
    """
    rows = interpolation_matrix(height, maps.shape[-2])
    columns = interpolation_matrix(width, maps.shape[-1])
    return rows @ maps @ columns.T


def cuts(thresholds: Sequence[float]) -> Tensor:
    """Give the logits that belong to probability thresholds, to be compared with maps.

    Args:
        thresholds: C probabilities in (0, 1).

    Returns:
        (C, 1, 1) float32.
    """
    return torch.logit(torch.tensor(thresholds, dtype=torch.float64)).float()[:, None, None]


def logit_map(tokens: Tensor, vector: Tensor, bias: Tensor) -> Tensor:
    """Apply queries to tokens.

    Args:
        tokens: (B, N, D), N = g * g; brought to float32 whatever they are.
        vector: (C, D) float32.
        bias: (C,) float32.

    Returns:
        (B, C, g, g) float32 logits.
    """
    B, N, _ = tokens.shape
    g = round(N**0.5)
    logits = tokens.float() @ vector.T + bias
    return logits.transpose(1, 2).reshape(B, len(bias), g, g)
