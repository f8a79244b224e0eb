"""Many squares through an engine, as many at a time as the memory holds.

What does not fit is halved and tried again, and what did not fit once is not tried any more.
"""

from collections.abc import Sequence
from typing import TypeAlias, cast

import torch
from torch import Tensor

from retq_hub.engines.engine import Engine, label
from retq_hub.errors import ImageError

__all__ = ["Batches", "images_at_once"]

_AT_ONCE = 16
"""Squares at a time where free memory is not known: on a CPU more are no faster."""

_FILLING, _MOST = 64, 256
"""So many squares keep a GPU busy; more than so many are of no use."""

_SHARE = 0.6
"""Of the free memory of a GPU."""

_REFUSALS = ("alloc", "out of memory", "not enough memory")
"""What runtimes say that raise no error of a kind of its own."""

_Found: TypeAlias = tuple[list[Tensor], Tensor | None]


class Batches:
    """Knows how many squares an engine runs at a time, and learns from what did not fit."""

    def __init__(self) -> None:
        self._limits: dict[tuple[str, str, str, int], int] = {}

    def run(
        self, engine: Engine, squares: Tensor, layers: Sequence[int], *, norm: bool, embed: bool
    ) -> _Found:
        """Run any number of squares, otherwise as an engine does.

        Raises:
            ImageError: The memory does not hold a single square.
        """
        key = (engine.name, engine.precision, engine.device, squares.shape[1])
        if key not in self._limits:
            self._limits[key] = _room(engine, squares[:1], layers) if _is_gpu(engine) else _AT_ONCE
        parts: list[_Found] = []
        done = 0
        while done < len(squares):
            some = squares[done : done + self._limits[key]]
            found = _tried(engine, some, layers, norm, embed)
            if found is None:
                self._limits[key] = _halved(engine, some)
                continue
            parts.append(found)
            done += len(some)
        tokens = [torch.cat([part[0][number] for part in parts]) for number in range(len(layers))]
        return tokens, torch.cat([cast("Tensor", part[1]) for part in parts]) if embed else None


def images_at_once(engine: Engine, squares: int) -> int:
    """Say how many images are best run together: on a CPU one, on a GPU as many as fill it.

    Args:
        engine: What runs them.
        squares: Of each image.
    """
    return max(1, _FILLING // max(1, squares)) if _is_gpu(engine) else 1


def _tried(
    engine: Engine, squares: Tensor, layers: Sequence[int], norm: bool, embed: bool
) -> _Found | None:
    """Run a batch; None where the memory does not hold it."""
    try:
        return engine(squares, layers, norm=norm, embed=embed)
    except (MemoryError, RuntimeError) as error:
        if not _is_refusal(error):
            raise
    return None


def _room(engine: Engine, square: Tensor, layers: Sequence[int]) -> int:
    """Say how many squares a GPU holds: one is run, and the memory that it takes is measured."""
    torch.cuda.reset_peak_memory_stats(engine.device)
    before = torch.cuda.memory_allocated(engine.device)
    if _tried(engine, square, layers, True, True) is None:
        return _halved(engine, square)
    used = torch.cuda.max_memory_allocated(engine.device) - before
    free, _ = torch.cuda.mem_get_info(engine.device)
    return _AT_ONCE if used <= 0 else int(min(_MOST, max(1, _SHARE * free // used)))


def _halved(engine: Engine, squares: Tensor) -> int:
    """Say how many are tried after so many did not fit."""
    if len(squares) > 1:
        return len(squares) // 2
    side = squares.shape[1]
    raise ImageError(
        f"the memory of {engine.device} does not hold the backbone with a single square of "
        f"{side} x {side} pixels ({label(engine)})",
        hint="end other programs, or use queries with smaller passes",
    )


def _is_gpu(engine: Engine) -> bool:
    return engine.device.startswith("cuda")


def _is_refusal(error: Exception) -> bool:
    """Whether there was too little memory."""
    told = str(error).lower()
    return isinstance(error, MemoryError) or any(one in told for one in _REFUSALS)
