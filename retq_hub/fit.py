"""Fit queries on cached tokens: a convex objective, minimised by Newton's method.

The objective is the mean over images of a loss of the pixels' logits, plus an L2 term. A query
reads one or several blocks of tokens, each on a grid of its own; the logits of each block are
brought to the finest grid, added up, and upsampled bilinearly to the pixels. As all of that is
linear, no token is ever upsampled: only logits and slopes are. Tokens come image by image from
wherever they are kept; nothing here holds them all.

Axis letters: n images, N tokens, D width of all blocks together, C targets, g grid side of a block,
G that of the finest, S pixels a side of the mask.

Source: RETQuerySeg, section 2.1 (objective) and 2.3 (loss after bilinear upsampling).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor

from retq_hub.grids import interpolation_matrix, logit_map, upsample
from retq_hub.losses import Loss

__all__ = ["Objective", "Standardisation", "TokenSource", "moments"]

_SAMPLES = 8
"""Pixels that a curvature is estimated from, for each number to be learned."""

_FEWEST = 64
_STILL = 1e-5


class TokenSource(Protocol):
    """The tokens of some images, read one image at a time."""

    @property
    def widths(self) -> tuple[int, ...]:
        """Width of each block."""
        ...

    @property
    def grids(self) -> tuple[int, ...]:
        """Grid side of each block."""
        ...

    def __len__(self) -> int:
        """Count the images."""
        ...

    def __getitem__(self, image: int) -> Sequence[Tensor]:
        """Give the (N, D) tokens of each block of one image, any float type."""
        ...


@dataclass(frozen=True, kw_only=True)
class Standardisation:
    """Mean and standard deviation of the tokens, which fold back into vector and bias.

    Attributes:
        mean: (D,) float64.
        std: (D,) float64, positive; infinite where a channel says nothing.
    """

    mean: Tensor
    std: Tensor

    def fold(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Give what a solution on standardised tokens is on raw ones.

        Args:
            theta: (C, D + 1) float64: vectors, then biases.

        Returns:
            Vectors (C, D) float32 and biases (C,) float32.
        """
        vector = theta[:, :-1] / self.std
        return vector.float(), (theta[:, -1] - vector @ self.mean).float()


def moments(tokens: TokenSource) -> Standardisation:
    """Measure each channel over all images and tokens.

    A channel that hardly moves says nothing: its deviation is infinite, its weight becomes zero.
    """
    D = sum(tokens.widths)
    total = torch.zeros(D, dtype=torch.float64)
    squares = torch.zeros(D, dtype=torch.float64)
    for number in range(len(tokens)):
        blocks = [block.double() for block in tokens[number]]
        total += torch.cat([block.mean(0) for block in blocks])
        squares += torch.cat([block.square().mean(0) for block in blocks])
    mean = total / len(tokens)
    std = (squares / len(tokens) - mean.square()).clamp(min=0).sqrt()
    still = std < _STILL * (mean.abs() + 1e-3)
    return Standardisation(mean=mean, std=std.masked_fill(still, float("inf")))


class Objective:
    """The loss over some images, its slope and its curvature.

    Args:
        tokens: Where the tokens come from.
        masks: (n, C, S, S), bool, or floats 0-1 where labels are soft. Where there are more images
            than masks (several views of each), they begin anew.
        loss: What is minimised.
        l2: Weight of the squared norm of the vectors on standardised tokens; biases are free.
        scale: Moments of the tokens.
    """

    def __init__(
        self,
        *,
        tokens: TokenSource,
        masks: Tensor,
        loss: Loss,
        l2: float,
        scale: Standardisation,
    ) -> None:
        self.tokens, self.masks, self.loss, self.l2, self.scale = tokens, masks, loss, l2, scale
        self.C, self.D = masks.shape[1], sum(tokens.widths)
        self._finest = max(tokens.grids)
        self._up = interpolation_matrix(masks.shape[-1], self._finest)

    def start(self, images: Sequence[int]) -> Tensor:
        """Give the best constant: zero vectors with the log odds of the marked share.

        Returns:
            (C, D + 1) float64.
        """
        theta = torch.zeros(self.C, self.D + 1, dtype=torch.float64)
        marked = torch.stack([self._mask(image).mean((1, 2)) for image in images])
        theta[:, -1] = torch.logit(marked.double().mean(0).clamp(1e-9, 1 - 1e-9))
        return theta

    def slope(self, theta: Tensor, images: Sequence[int]) -> tuple[float, Tensor]:
        """Evaluate the objective over some of the images.

        Args:
            theta: (C, D + 1) float64.
            images: Their numbers.

        Returns:
            The loss, L2 term included, and its (C, D + 1) float64 slope.
        """
        vector, bias = self.scale.fold(theta)
        loss = 0.0
        raw = torch.zeros(self.C, self.D, dtype=torch.float64)
        rest = torch.zeros(self.C, dtype=torch.float64)
        for image in images:
            blocks = [block.float() for block in self.tokens[image]]
            pixels = self._pixels(blocks, vector, bias)
            value, residual = self.loss.slope(pixels, self._mask(image))
            loss += value
            field = self._up.T @ residual @ self._up
            rest += field.sum((1, 2), dtype=torch.float64)
            raw += torch.cat([self._down(field, block) for block in blocks], dim=1)
        slope = torch.cat(
            [(raw - rest[:, None] * self.scale.mean) / self.scale.std, rest[:, None]], dim=1
        )
        slope /= len(images)
        slope[:, :-1] += 2 * self.l2 * theta[:, :-1]
        return loss / len(images) + self.penalty(theta), slope

    def penalty(self, theta: Tensor) -> float:
        """Give the L2 term."""
        return self.l2 * float(theta[:, :-1].square().sum())

    def curvature(self, theta: Tensor, groups: Sequence[Sequence[int]]) -> list[Tensor]:
        """Estimate the loss's second derivatives, summed over each group of images, without L2.

        Each target by itself: between targets of a softmax nothing is estimated. Pixels are drawn
        by their weight, evenly along the image; the estimate is without bias and deterministic.

        Returns:
            One (C, D + 1, D + 1) float64 tensor a group; `hessian` puts them together.
        """
        vector, bias = self.scale.fold(theta)
        n_images = sum(len(group) for group in groups)
        n_samples = max(_FEWEST, -(-_SAMPLES * self.D // n_images))
        return [
            sum(
                (self._drawn(image, vector, bias, n_samples) for image in group),
                torch.zeros(self.C, self.D + 1, self.D + 1, dtype=torch.float64),
            )
            for group in groups
        ]

    def hessian(self, parts: Sequence[Tensor], n_images: int) -> Tensor:
        """Give the (C, D + 1, D + 1) Hessian from the curvature of ``n_images`` images."""
        total = torch.stack(list(parts)).sum(0) / n_images
        total.diagonal(dim1=1, dim2=2)[:, :-1] += 2 * self.l2
        total.diagonal(dim1=1, dim2=2)[:, -1] += 1e-12
        return total

    def grid_logits(self, theta: Tensor, image: int) -> Tensor:
        """Give one image's (C, G, G) logits on the finest grid."""
        vector, bias = self.scale.fold(theta)
        return self._grid([block.float() for block in self.tokens[image]], vector, bias)

    def _mask(self, image: int) -> Tensor:
        return self.masks[image % len(self.masks)].float()

    def _grid(self, blocks: Sequence[Tensor], vector: Tensor, bias: Tensor) -> Tensor:
        return logit_map([block[None] for block in blocks], vector, bias)[0]

    def _pixels(self, blocks: Sequence[Tensor], vector: Tensor, bias: Tensor) -> Tensor:
        size = self.masks.shape[-1]
        return upsample(self._grid(blocks, vector, bias), size, size)

    def _down(self, field: Tensor, block: Tensor) -> Tensor:
        """Bring a slope by the finest grid's logits, (C, G, G), to a block's vectors, (C, D)."""
        g = round(len(block) ** 0.5)
        if g != self._finest:
            up = interpolation_matrix(self._finest, g)
            field = up.T @ field @ up
        return (field.reshape(len(field), -1) @ block).double()

    def _drawn(self, image: int, vector: Tensor, bias: Tensor, count: int) -> Tensor:
        """Estimate one image's curvature from some of its pixels."""
        blocks = [block.float() for block in self.tokens[image]]
        weight = self.loss.weight(self._pixels(blocks, vector, bias), self._mask(image)).flatten(1)
        size = self.masks.shape[-1]
        found = []
        for one in weight:
            summed = one.double().cumsum(0)
            places = torch.searchsorted(
                summed, (torch.arange(count, dtype=torch.float64) + 0.5) / count * summed[-1]
            ).clamp_(max=one.numel() - 1)
            rows = torch.cat(
                [self._rows(block, places // size, places % size) for block in blocks], dim=1
            )
            rows = ((rows - self.scale.mean) / self.scale.std).float()
            rows = torch.cat([rows, torch.ones(count, 1)], dim=1)
            found.append((rows.T @ rows).double() * (summed[-1] / count))
        return torch.stack(found)

    def _rows(self, block: Tensor, y: Tensor, x: Tensor) -> Tensor:
        """Interpolate a block's tokens at some pixels, (m, D)."""
        g = round(len(block) ** 0.5)
        cells, shares = _support(self.masks.shape[-1], self._finest, g)
        rows = torch.zeros(len(y), block.shape[1])
        for down in range(cells.shape[1]):
            for right in range(cells.shape[1]):
                share = shares[y, down] * shares[x, right]
                rows += share[:, None] * block[cells[y, down] * g + cells[x, right]]
        return rows


@lru_cache(maxsize=32)
def _support(size: int, finest: int, grid: int) -> tuple[Tensor, Tensor]:
    """Give for each pixel along an axis the two or three cells that it is interpolated from."""
    matrix = interpolation_matrix(size, finest)
    if grid != finest:
        matrix = matrix @ interpolation_matrix(finest, grid)
    shares, cells = matrix.topk(min(2 if grid == finest else 3, grid), dim=1)
    return cells, shares
