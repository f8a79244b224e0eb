"""The stages overlap, keep the order, bound what is under way, and end cleanly."""

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from retq_hub.pools.threads import Crew, Done, Stages, flow


class Odd(Exception):
    """An error of one item."""


class Works:
    """Stages that count what is under way."""

    def __init__(self) -> None:
        self.begun = 0
        self.batches: list[int] = []
        self.threads: set[str] = set()
        self._lock = threading.Lock()

    def prepare(self, item: int) -> int:
        with self._lock:
            self.begun += 1
            self.threads.add(threading.current_thread().name)
        time.sleep(0.002 * (item % 3))
        if item % 10 == 3:
            raise Odd(f"{item} cannot be prepared")
        return 2 * item

    def apply(self, some: Sequence[int]) -> list[int]:
        assert threading.current_thread() is threading.main_thread()
        self.batches.append(len(some))
        if any(one % 20 == 8 for one in some):
            raise Odd("a batch of " + ", ".join(map(str, some)))
        return [one + 1 for one in some]

    def finish(self, item: int, applied: int) -> tuple[int, int]:
        time.sleep(0.002 * (item % 2))
        if item % 10 == 5:
            raise Odd(f"{item} cannot be finished")
        return item, applied

    @property
    def stages(self) -> Stages[int, int, int, tuple[int, int]]:
        return Stages(prepare=self.prepare, apply=self.apply, finish=self.finish)


def plain(number: int) -> object:
    """What becomes of an item without any threads."""
    if number % 10 in (3, 4, 5):
        return None
    return number, 2 * number + 1


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("threads", [1, 3])
def test_results_come_in_order_whatever_fails(batch: int, threads: int) -> None:
    works = Works()
    crew = Crew(preparing=threads, finishing=threads, batch=batch)
    done = list(flow(range(50), works.stages, crew=crew, kept=Odd))
    assert [one.item for one in done] == list(range(50))
    assert [one.result for one in done] == [plain(number) for number in range(50)]
    told = [str(one.error) for one in done if one.error is not None]
    assert told[:3] == ["3 cannot be prepared", "a batch of 8", "5 cannot be finished"]
    assert len(told) == 15
    assert max(works.batches) == batch


def test_errors_keep_no_frames() -> None:
    def prepare(item: int) -> int:
        try:
            return item // 0
        except ZeroDivisionError as error:
            raise Odd("no number") from error

    works = Works()
    stages = Stages(prepare=prepare, apply=works.apply, finish=works.finish)
    (only,) = flow([1], stages, crew=Crew(), kept=Odd)
    assert only.error is not None
    assert only.error.__traceback__ is None
    assert only.error.__context__ is None


def test_stages_overlap() -> None:
    """Each of twelve items takes .03 s a stage: one after the other 1.08 s."""

    def slow(*given: Any) -> Any:
        time.sleep(0.03)
        return given[-1]

    began = time.perf_counter()
    stages = Stages(prepare=slow, apply=slow, finish=slow)
    assert len(list(flow(range(12), stages, crew=Crew(), kept=Odd))) == 12
    assert time.perf_counter() - began < 0.75


def test_no_more_is_under_way_than_the_crew_says() -> None:
    works = Works()
    crew = Crew(preparing=2, finishing=1, batch=3)
    taken = 0
    for _ in flow(iter(range(60)), works.stages, crew=crew, kept=Odd):
        taken += 1
        time.sleep(0.001)
        assert works.begun - taken <= 2 + 3 + 3 + 2
    assert taken == 60


def test_endless_items_are_asked_for_as_they_are_needed() -> None:
    def endless() -> Iterator[int]:
        number = 0
        while True:
            yield number
            number += 10

    works = Works()
    going = flow(endless(), works.stages, crew=Crew(), kept=Odd)
    assert next(going) == Done(item=0, result=(0, 1), error=None)
    going.close()  # type: ignore[attr-defined]
    begun = works.begun
    time.sleep(0.02)
    assert works.begun == begun < 10


@pytest.mark.parametrize("stage", ["prepare", "apply", "finish"])
def test_another_error_is_raised_in_its_turn(stage: str) -> None:
    def broken(*given: Any) -> Any:
        if given[0] in (6, [12]):
            raise ValueError("a bug")
        return getattr(works, stage)(*given)

    works = Works()
    parts = {name: getattr(works, name) for name in ("prepare", "apply", "finish")}
    stages = Stages(**parts | {stage: broken})
    seen: list[int] = []
    with pytest.raises(ValueError, match="a bug"):
        seen.extend(one.item for one in flow(range(40), stages, crew=Crew(), kept=Odd))
    assert seen == list(range(6))
    assert not [one for one in threading.enumerate() if one.name in works.threads]


def test_an_interrupt_ends_it_at_once() -> None:
    works = Works()

    def apply(some: Sequence[int]) -> list[int]:
        if 10 in some:
            raise KeyboardInterrupt
        return works.apply(some)

    stages = Stages(prepare=works.prepare, apply=apply, finish=works.finish)
    with pytest.raises(KeyboardInterrupt):
        list(flow(range(1000), stages, crew=Crew(), kept=Odd))
    assert works.begun < 20
    assert not [one for one in threading.enumerate() if one.name in works.threads]


def test_nothing_in_nothing_out() -> None:
    assert list(flow([], Works().stages, crew=Crew(), kept=Odd)) == []
