"""From tokens to logit maps on a grid, and from a grid to pixels. Pure tensors, no files.

Axis letters: B batch, N tokens, D width, C targets, g grid side of a block, G that of the finest,
H/W pixels.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

__all__ = ["interpolation_matrix", "logit_map", "pick", "sampling_matrix", "upsample"]


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
    with torch.inference_mode(False):
        return _interpolation(size, grid)


def _interpolation(size: int, grid: int) -> Tensor:
    position = (torch.arange(size, dtype=torch.float64) + 0.5) * grid / size - 0.5
    return sampling_matrix(position, grid)


def sampling_matrix(position: Tensor, grid: int) -> Tensor:
    """Give the weights of linear interpolation at some positions.

    Args:
        position: (n,) float64, in samples, 0 the middle of the first; beyond the first and the
            last sample their values continue.
        grid: Number of samples there are, at least 1.

    Returns:
        (n, grid) float32; each row is non-negative and sums to 1.
    """
    position = position.clamp(min=0)
    left = position.floor().long().clamp(max=grid - 1)
    right = (left + 1).clamp(max=grid - 1)
    fraction = position - left
    rows = torch.arange(len(position))
    matrix = torch.zeros(len(position), grid, dtype=torch.float64)
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
    if maps.shape[-2:] == (height, width):
        return maps
    rows = interpolation_matrix(height, maps.shape[-2])
    columns = interpolation_matrix(width, maps.shape[-1])
    return rows @ maps @ columns.T


def logit_map(blocks: Sequence[Tensor], vector: Tensor, bias: Tensor) -> Tensor:
    """Apply queries to tokens.

    A block on a coarser grid gives a coarser map, which is brought to the finest grid bilinearly:
    the same as bringing its tokens there, at a fraction of the cost.

    Args:
        blocks: (B, N, D) each, N = g * g with a g of its own; brought to float32.
        vector: (C, D) float32, D that of all blocks together.
        bias: (C,) float32.

    Returns:
        (B, C, G, G) float32 logits, G the finest grid's side.
    """
    sides = [round(block.shape[1] ** 0.5) for block in blocks]
    G = max(sides)
    total = bias[:, None, None]
    parts = torch.split(vector, [block.shape[2] for block in blocks], dim=1)
    for block, part, g in zip(blocks, parts, sides, strict=True):
        logits = (part @ block.float().transpose(1, 2)).reshape(len(block), len(part), g, g)
        total = upsample(logits, G, G).add_(total)
    return total


def pick(blocks: Sequence[Tensor], cells: Tensor) -> Tensor:
    """Give the tokens at some cells of the finest grid, interpolated where a block is coarser.

    Args:
        blocks: (N, D) each.
        cells: (P,) integers, indices into the finest grid, row by row.

    Returns:
        (P, D) float32.
    """
    G = max(round(len(block) ** 0.5) for block in blocks)
    found = []
    for block in blocks:
        g = round(len(block) ** 0.5)
        matrix = interpolation_matrix(G, g)
        shares = torch.einsum("pi,pj->pij", matrix[cells // G], matrix[cells % G])
        found.append(shares.flatten(1) @ block.float())
    return torch.cat(found, dim=1)
