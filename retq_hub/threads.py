"""How many threads compute: one, where the same input shall give the same bytes."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

__all__ = ["one_thread", "spread"]

T = TypeVar("T")
R = TypeVar("R")


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


def spread(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Do the same with each item, in as many threads as torch computes with; results in order.

    For work that spends its time in arrays or files, where other threads can go on.
    """
    items = list(items)
    n_threads = min(torch.get_num_threads(), len(items))
    if n_threads <= 1:
        return [work(one) for one in items]
    with ThreadPoolExecutor(n_threads) as pool:
        return list(pool.map(work, items))
