"""Items that workers are given some at a time; what became of each comes in the items' order."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeAlias, TypeVar

from retq_hub.pools.cluster import Cluster
from retq_hub.pools.workers import Lost, Recipe, outcomes

__all__ = ["in_order", "worked"]

T = TypeVar("T")
R = TypeVar("R")

_Task: TypeAlias = tuple[tuple[int, T], ...]
"""Some items with their numbers."""


def worked(
    recipe: Recipe[tuple[T, ...], Sequence[R]],
    items: Iterable[T],
    *,
    cluster: Cluster,
    at_once: int,
) -> Generator[R | Lost[T]]:
    """Have workers work on items; of those that a worker died of, only the guilty one is lost.

    Args:
        recipe: Makes the callable that each worker applies to some items; it gives one thing for
            each, in their order.
        items: Any number of them, asked for as workers have room; they are pickled.
        cluster: Where the workers run.
        at_once: So many items a worker is given at a time.

    Yields:
        What a worker gave for an item, in the order of the items; or the item itself, if three
        workers died of it.

    Raises:
        RetqError: As `retq_hub.pools.workers.outcomes`, or what a worker raised.
    """
    numbered = enumerate(items)
    tasks = iter(lambda: tuple(islice(numbered, at_once)), ())
    with closing(_numbered(_Numbering(recipe), tasks, cluster)) as found:
        yield from in_order(found)


def in_order(numbered: Iterable[tuple[int, T]]) -> Iterator[T]:
    """Give things by their numbers, which begin at 0 and leave none out.

    What comes early is kept until its turn, so the memory goes with how far things overtake.
    """
    early: dict[int, T] = {}
    turn = 0
    for number, thing in numbered:
        early[number] = thing
        while turn in early:
            yield early.pop(turn)
            turn += 1


@dataclass(frozen=True)
class _Numbering(Generic[T, R]):
    """The recipe of a worker that keeps the items' numbers."""

    recipe: Recipe[tuple[T, ...], Sequence[R]]

    def __call__(self) -> Callable[[_Task[T]], list[tuple[int, R]]]:
        work = self.recipe()

        def some(task: _Task[T]) -> list[tuple[int, R]]:
            numbers, items = zip(*task, strict=True)
            return list(zip(numbers, work(items), strict=True))

        return some


def _numbered(
    recipe: _Numbering[T, R], tasks: Iterable[_Task[T]], cluster: Cluster
) -> Generator[tuple[int, R | Lost[T]]]:
    """Give what became of each item as it is known."""
    for outcome in outcomes(recipe, tasks, cluster=cluster, split=_split):
        if not isinstance(outcome, Lost):
            yield from outcome
            continue
        for number, item in outcome.task:
            yield number, Lost(task=item, reason=outcome.reason)


def _split(task: _Task[T]) -> list[_Task[T]]:
    return [(one,) for one in task]
