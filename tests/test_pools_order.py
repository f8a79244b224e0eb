import os
import signal
from collections.abc import Callable

import pytest

from retq_hub.pools.cluster import Cluster
from retq_hub.pools.order import in_order, worked
from retq_hub.pools.workers import Lost


@pytest.mark.parametrize("numbers", [[], [0, 1, 2], [2, 0, 1], [3, 2, 1, 0], [1, 0, 3, 2]])
def test_things_come_by_their_numbers(numbers: list[int]) -> None:
    assert list(in_order((n, str(n)) for n in numbers)) == [str(n) for n in range(len(numbers))]


def test_what_has_its_turn_does_not_wait_for_more() -> None:
    taken: list[int] = []

    def numbered():
        for number in range(3):
            taken.append(number)
            yield number, number

    found = in_order(numbered())
    assert next(found) == 0
    assert taken == [0]


class Halving:
    """Halves numbers, and dies of odd ones."""

    def __call__(self) -> Callable[[tuple[int, ...]], list[int]]:
        return lambda numbers: [self.one(number) for number in numbers]

    def one(self, number: int) -> int:
        if number % 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return number // 2


@pytest.mark.usefixtures("local_ray")
def test_what_became_of_each_item_comes_in_their_order() -> None:
    numbers = [0, 2, 7, 4, 8, 10]
    found = list(worked(Halving(), iter(numbers), cluster=Cluster(workers=2), at_once=3))
    assert found == [0, 1, Lost(task=7, reason="3 workers died of it"), 2, 4, 5]
