"""How many threads compute: one, where the same input shall give the same bytes."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["one_thread"]


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute in one thread inside the block.

    With several, the linear algebra library takes as many as the machine has to spare, and sums in
    another order on a busy one. A fit's steps are too small to gain much by them.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
