"""Bringing what comes as it is ready back into the order in which it was asked for."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

__all__ = ["in_order"]

T = TypeVar("T")


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
