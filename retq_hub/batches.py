"""Many squares through an engine, as many at a time as the memory holds.

What does not fit is halved and tried again, and what did not fit once is not tried any more.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from retq_hub.engines.engine import Engine
from retq_hub.errors import ImageError

__all__ = ["Batches"]

_AT_ONCE = 16
"""Squares at a time where free memory is not known: on a CPU more are no faster."""

_MOST = 256
_SHARE = 0.6
"""Of the free memory of a GPU."""

_REFUSALS = ("alloc", "out of memory", "not enough memory")
"""What runtimes say that raise no error of a kind of its own."""


class Batches:
    """Runs squares through an engine in batches.

    Args:
        engine: Runs each batch.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._limits: dict[int, int] = {}

    def __call__(
        self, squares: Tensor, layers: Sequence[int], *, norm: bool, embed: bool
    ) -> tuple[list[Tensor], Tensor | None]:
        """Run any number of squares; as `retq_hub.engines.engine.Engine` does.

        Raises:
            ImageError: The memory does not hold a single square.
        """
        parts: list[tuple[list[Tensor], Tensor | None]] = []
        side, done = squares.shape[1], 0
        while done < len(squares):
            some = squares[done : done + self._limits.get(side, self._first(side))]
            if found := self._tried(some, layers, norm, embed):
                parts.append(found)
                done += len(some)
        tokens = [torch.cat([part[0][number] for part in parts]) for number in range(len(layers))]
        return tokens, torch.cat([cast("Tensor", part[1]) for part in parts]) if embed else None

    def images(self, squares: int) -> int:
        """Say how many images are best run together.

        Args:
            squares: Of each image.
        """
        return max(1, _AT_ONCE * 4 // max(1, squares)) if self._on_gpu else 1

    @property
    def _on_gpu(self) -> bool:
        return self._engine.device.startswith("cuda")

    def _first(self, side: int) -> int:
        """Say how many squares to begin with: on a GPU one, whose memory is measured."""
        return 1 if self._on_gpu else _AT_ONCE

    def _tried(
        self, squares: Tensor, layers: Sequence[int], norm: bool, embed: bool
    ) -> tuple[list[Tensor], Tensor | None] | None:
        """Run a batch; None where the memory did not hold it, and the limit is lower now."""
        side = squares.shape[1]
        measured = self._on_gpu and side not in self._limits
        if measured:
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
        try:
            found = self._engine(squares, layers, norm=norm, embed=embed)
        except (MemoryError, RuntimeError) as error:
            if not _is_refusal(error):
                raise
            self._limits[side] = self._halved(squares, error)
        else:
            if measured:
                self._limits[side] = _room(torch.cuda.max_memory_allocated() - before)
            return found
        if self._on_gpu:
            torch.cuda.empty_cache()
        return None

    def _halved(self, squares: Tensor, error: Exception) -> int:
        if len(squares) > 1:
            return len(squares) // 2
        engine, side = self._engine, squares.shape[1]
        raise ImageError(
            f"the backbone does not fit the memory of {engine.device}, not even with one square of "
            f"{side} x {side} pixels ({engine.name} {engine.precision})",
            hint="end other programs, or use a query with smaller passes",
        ) from error


def _room(used: int) -> int:
    """Say how many squares a GPU holds, one of which has used so many bytes."""
    free, _ = torch.cuda.mem_get_info()
    return _AT_ONCE if used <= 0 else int(min(_MOST, max(1, _SHARE * free // used)))


def _is_refusal(error: Exception) -> bool:
    """Whether there was too little memory."""
    told = str(error).lower()
    return isinstance(error, MemoryError) or any(one in told for one in _REFUSALS)
