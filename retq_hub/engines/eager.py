"""PyTorch, operation by operation: the engine that all others are measured against."""

from collections.abc import Sequence

import torch
from torch import Tensor

from retq_hub.encoder import Encoder

__all__ = ["TorchEngine"]


class TorchEngine:
    """Runs an encoder in float32, on the CPU.

    Args:
        encoder: With its weights.
    """

    name = "torch"
    precision = "float32"
    device = "cpu"

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        preprocessing = encoder.spec.preprocessing
        self._mean = torch.tensor(preprocessing.mean)[:, None, None]
        self._std = torch.tensor(preprocessing.std)[:, None, None]

    def __call__(
        self, squares: Tensor, layers: Sequence[int], *, norm: bool, embed: bool
    ) -> tuple[list[Tensor], Tensor | None]:
        """Run one pass; see `retq_hub.engines.engine.Engine`."""
        pixels = squares.permute(0, 3, 1, 2).float()
        pixels = ((pixels / 255 - self._mean) / self._std).contiguous()
        found: tuple[list[Tensor], Tensor | None] = self._encoder(
            pixels, layers, norm=norm, embed=embed
        )
        return found
