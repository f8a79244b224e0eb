"""What all engines have in common."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

__all__ = ["Engine", "label"]


class Engine(Protocol):
    """Runs an encoder over squares."""

    @property
    def name(self) -> str:
        """``torch``, ``openvino`` or ``onnx``."""
        ...

    @property
    def precision(self) -> str:
        """In which most is computed: ``float32``, ``bfloat16``, ``float16`` or ``int8``."""
        ...

    @property
    def device(self) -> str:
        """Where, such as ``cpu`` or ``cuda:0``."""
        ...

    def __call__(
        self, squares: Tensor, layers: Sequence[int], *, norm: bool, embed: bool
    ) -> tuple[list[Tensor], Tensor | None]:
        """Run one pass.

        Args:
            squares: (B, S, S, 3) uint8 or float32, RGB, 0-255; S a multiple of the patch size.
            layers: Blocks, counted from 0.
            norm: Apply the final norm to each block's tokens.
            embed: Also run the remaining blocks and pool an image embedding.

        Returns:
            For each layer (B, N, D) float32 patch tokens row by row, in the main memory; and the
            (B, D) float32 embedding or None.

        Raises:
            UsageError: There is no such layer, or it cannot run at such a size.
        """
        ...


def label(engine: Engine) -> str:
    """Say what results are made by: ``torch float32``."""
    return f"{engine.name} {engine.precision}"
