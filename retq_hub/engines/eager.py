"""PyTorch, operation by operation: the engine that all others are measured against."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy

import torch
from torch import Tensor, nn

from retq_hub.encoder import Encoder
from retq_hub.engines.graph import Normalised

__all__ = ["TorchEngine"]

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class TorchEngine:
    """Runs an encoder with PyTorch.

    In half precision the products are computed in it, norms and sums in float32.

    Args:
        encoder: With its weights, in float32 in the main memory; it is left as it is.
        device: Where to run it: ``cpu``, ``cuda:0``, ``mps``.
        precision: ``float32``, ``bfloat16`` or ``float16``.
    """

    name = "torch"

    def __init__(
        self, encoder: Encoder, *, device: str = "cpu", precision: str = "float32"
    ) -> None:
        self.device, self.precision = device, precision
        plain = device == "cpu" and precision == "float32"
        self._encoder = encoder if plain else _moved(encoder, device, _DTYPES[precision])
        self._normalised = Normalised(encoder.spec).to(device)

    @torch.inference_mode()
    def __call__(
        self, squares: Tensor, layers: Sequence[int], *, norm: bool, embed: bool
    ) -> tuple[list[Tensor], Tensor | None]:
        """Run one pass; see `retq_hub.engines.engine.Engine`."""
        pixels = self._normalised(squares.to(self.device)).contiguous()
        with self._casting():
            tokens, embedding = self._encoder(pixels, layers, norm=norm, embed=embed)
        found = [one.float().cpu() for one in tokens]
        return found, None if embedding is None else embedding.float().cpu()

    def _casting(self) -> AbstractContextManager[object]:
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(torch.device(self.device).type, _DTYPES[self.precision])


def _moved(encoder: Encoder, device: str, dtype: torch.dtype) -> Encoder:
    """Copy an encoder to a device, the weights of its products cast once and not in each pass."""
    other = deepcopy(encoder).to(device)
    other.positions_to(device)
    for module in other.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.to(dtype)
    return other
