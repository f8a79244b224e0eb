"""Small fits: tokens in memory, masks that depend on them, and the objective as it is read."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from retq_hub.fit import Objective, Standardisation, moments
from retq_hub.losses import CrossEntropy, Loss


class Held:
    """Tokens in memory, see `retq_hub.fit.TokenSource`.

    Args:
        blocks: (n, N, D) for each block.
    """

    def __init__(self, *blocks: Tensor) -> None:
        self._blocks = blocks
        self.widths = tuple(block.shape[2] for block in blocks)
        self.grids = tuple(round(block.shape[1] ** 0.5) for block in blocks)

    def __len__(self) -> int:
        return len(self._blocks[0])

    def __getitem__(self, image: int) -> list[Tensor]:
        return [block[image] for block in self._blocks]


def plain(width: int) -> Standardisation:
    """A standardisation that changes nothing."""
    return Standardisation(
        mean=torch.zeros(width, dtype=torch.float64), std=torch.ones(width, dtype=torch.float64)
    )


@dataclass(frozen=True)
class Problem:
    """Blocks (n, N, D) of tokens and (n, C, S, S) masks."""

    blocks: tuple[Tensor, ...]
    masks: Tensor

    @property
    def source(self) -> Held:
        return Held(*self.blocks)

    def objective(
        self, *, l2: float = 1e-3, loss: Loss | None = None, scale: Standardisation | None = None
    ) -> Objective:
        source = self.source
        return Objective(
            tokens=source,
            masks=self.masks,
            loss=loss or CrossEntropy(),
            l2=l2,
            scale=scale or moments(source),
        )


def brought(block: Tensor, grid: int) -> Tensor:
    """Bring (n, N, D) tokens to another grid bilinearly, (n, grid * grid, D)."""
    g = round(block.shape[1] ** 0.5)
    maps = block.transpose(1, 2).reshape(len(block), -1, g, g)
    maps = F.interpolate(maps, (grid, grid), mode="bilinear", align_corners=False)
    return maps.flatten(2).transpose(1, 2)


def make_problem(
    *,
    n: int = 4,
    grids: Sequence[int] = (3,),
    widths: Sequence[int] = (4,),
    targets: int = 1,
    size: int = 12,
    noise: float = 1.0,
    exclusive: bool = False,
    seed: int = 0,
) -> Problem:
    """Random tokens and noisy masks that depend on them, so that no separation is perfect."""
    generator = torch.Generator().manual_seed(seed)
    blocks = tuple(
        2 * torch.randn(n, g * g, D, generator=generator) + 1
        for g, D in zip(grids, widths, strict=True)
    )
    G = max(grids)
    tokens = torch.cat([brought(block, G) for block in blocks], dim=2)
    hidden = torch.randn(targets, tokens.shape[2], generator=generator) / tokens.shape[2] ** 0.5
    maps = (tokens @ hidden.T).transpose(1, 2).reshape(n, targets, G, G)
    maps = F.interpolate(maps, (size, size), mode="bilinear", align_corners=False)
    maps = maps + noise * torch.randn(maps.shape, generator=generator)
    masks = maps > 0.5
    if exclusive:
        masks &= maps == maps.amax(1, keepdim=True)
    return Problem(blocks, masks)


def naive_logits(theta: Tensor, tokens: Tensor, size: int) -> Tensor:
    """Pixel logits of (n, N, D) standardised tokens that were brought to one grid, (n, C, S, S)."""
    g = round(tokens.shape[1] ** 0.5)
    grid = tokens.double() @ theta[:, :-1].T + theta[:, -1]
    maps = grid.transpose(1, 2).reshape(len(tokens), len(theta), g, g)
    return F.interpolate(maps, (size, size), mode="bilinear", align_corners=False)


def standard_tokens(problem: Problem) -> Tensor:
    """All blocks, standardised channel by channel and brought to the finest grid, (n, N, D)."""
    G = max(problem.source.grids)
    parts = []
    for block in problem.blocks:
        flat = block.double().reshape(-1, block.shape[2])
        standard = (block.double() - flat.mean(0)) / flat.std(0, correction=0)
        parts.append(brought(standard, G))
    return torch.cat(parts, dim=2)


def naive_loss(theta: Tensor, problem: Problem, l2: float, images: Sequence[int]) -> Tensor:
    """The paper's objective in float64, summed over targets, written down as it is read."""
    tokens = standard_tokens(problem)[list(images)]
    masks = problem.masks[[image % len(problem.masks) for image in images]].double()
    logits = naive_logits(theta, tokens, masks.shape[-1])
    losses = F.binary_cross_entropy_with_logits(logits, masks, reduction="none")
    return losses.mean((0, 2, 3)).sum() + l2 * theta[:, :-1].square().sum()
