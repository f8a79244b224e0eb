import os
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from retq_hub.errors import DigestMismatch, ImageError
from retq_hub.pools.cluster import Cluster
from retq_hub.pools.workers import Lost, outcomes

TWO = Cluster(workers=2)


@dataclass(frozen=True)
class Doubling:
    """Doubles numbers; one of them kills its worker, so many times as the folder says."""

    deadly: int = -1
    folder: Path | None = None
    times: int = 99

    def __call__(self) -> Callable[[tuple[int, ...]], list[int]]:
        return lambda numbers: [self.one(number) for number in numbers]

    def one(self, number: int) -> int:
        if number == self.deadly and self.folder is not None:
            deaths = len(list(self.folder.iterdir()))
            if deaths < self.times:
                (self.folder / str(deaths)).touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return 2 * number


@dataclass(frozen=True)
class Failing:
    """Raises an error, when it is made or when it works."""

    at_once: bool

    def __call__(self) -> Callable[[int], int]:
        if self.at_once:
            raise DigestMismatch("the weights", expected="a", actual="b", hint="again")
        return self.work

    def work(self, number: int) -> int:
        raise ImageError(f"{number} is no image", hint="take another")


def tasks(count: int) -> list[tuple[int, ...]]:
    return [tuple(range(first, first + 3)) for first in range(0, count, 3)]


def singly(task: tuple[int, ...]) -> list[tuple[int, ...]]:
    return [(one,) for one in task]


@pytest.mark.usefixtures("local_ray")
def test_a_worker_that_is_killed_loses_no_task_and_doubles_none(tmp_path: Path) -> None:
    recipe = Doubling(deadly=10, folder=tmp_path, times=1)
    found = list(outcomes(recipe, tasks(60), cluster=TWO))
    assert Counter(n for some in found for n in some) == Counter(range(0, 120, 2))
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.usefixtures("local_ray")
def test_only_the_guilty_part_of_a_task_is_lost(tmp_path: Path) -> None:
    recipe = Doubling(deadly=10, folder=tmp_path)
    found = list(outcomes(recipe, tasks(30), cluster=TWO, split=singly))
    lost = [one for one in found if isinstance(one, Lost)]
    assert lost == [Lost(task=(10,), reason="3 workers died of it")]
    kept = sorted(n for some in found if not isinstance(some, Lost) for n in some)
    assert kept == [n for n in range(0, 60, 2) if n != 20]


@pytest.mark.usefixtures("local_ray")
def test_work_goes_on_after_a_task_was_given_up(tmp_path: Path) -> None:
    recipe = Doubling(deadly=0, folder=tmp_path)
    one = Cluster(workers=1)
    found = list(outcomes(recipe, [(n,) for n in range(9)], cluster=one))
    assert found[0] == Lost(task=(0,), reason="3 workers died of it")
    assert found[1:] == [[2 * n] for n in range(1, 9)]


@pytest.mark.usefixtures("local_ray")
def test_tasks_are_asked_for_as_workers_have_room() -> None:
    asked: list[int] = []

    def numbers():
        for number in range(1000):
            asked.append(number)
            yield (number,)

    found = outcomes(Doubling(), numbers(), cluster=Cluster(workers=1))
    next(found)
    assert len(asked) <= 3
    found.close()


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize(
    ("at_once", "kind", "text"),
    [(True, DigestMismatch, "has digest b, expected a"), (False, ImageError, "1 is no image")],
)
def test_what_a_worker_raises_is_raised_here(at_once: bool, kind: type, text: str) -> None:
    with pytest.raises(kind, match=text) as caught:
        list(outcomes(Failing(at_once), [1], cluster=Cluster(workers=1)))
    assert caught.value.hint in ("again", "take another")


@pytest.mark.usefixtures("local_ray")
def test_nothing_to_do_starts_no_worker() -> None:
    assert list(outcomes(Failing(at_once=True), [], cluster=TWO)) == []
