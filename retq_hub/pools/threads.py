"""Stages that overlap: threads prepare ahead, the caller's thread applies, threads finish behind.

The stage in the middle is the one that must not run twice at a time, such as a network that uses
all cores. Results come in the order of the items. No more items are under way than the crew says:
who takes results slowly slows down the stages, so that memory does not grow with the number of
items.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

__all__ = ["Crew", "Done", "Stages", "flow"]

I = TypeVar("I")  # noqa: E741 - an item
P = TypeVar("P")
A = TypeVar("A")
R = TypeVar("R")
E = TypeVar("E", bound=Exception)


@dataclass(frozen=True, kw_only=True)
class Stages(Generic[I, P, A, R]):
    """What is done with each item.

    Attributes:
        prepare: Makes an item ready; called in any thread.
        apply: Works on what is prepared, as many as are given; called in the caller's thread, one
            call at a time.
        finish: Makes the result, from the item and what was applied; called in any thread.
    """

    prepare: Callable[[I], P]
    apply: Callable[[Sequence[P]], Sequence[A]]
    finish: Callable[[I, A], R]


@dataclass(frozen=True, kw_only=True)
class Crew:
    """How many work at a stage.

    Attributes:
        preparing: Threads that prepare; so many items are ready or being made so, and a batch.
        finishing: Threads that finish; twice as many items wait for it at most.
        batch: So many items are applied together. Batches do not depend on the clock: all but the
            last are full.
    """

    preparing: int = 2
    finishing: int = 2
    batch: int = 1


@dataclass(frozen=True, kw_only=True)
class Done(Generic[I, R, E]):
    """What became of an item: a result, or the error that kept it from one.

    Attributes:
        item: The item.
        result: What its last stage gave.
        error: What a stage raised, without the frames that it passed through.
    """

    item: I
    result: R | None
    error: E | None


def flow(
    items: Iterable[I], stages: Stages[I, P, A, R], *, crew: Crew, kept: type[E]
) -> Iterator[Done[I, R, E]]:
    """Pass items through stages that overlap.

    Items are asked for in the caller's thread, as they are needed. When the caller stops, by an
    error, an interrupt or by closing the iterator, what has not begun is dropped, and what has
    begun is waited for.

    Args:
        items: Any number of them.
        stages: What is done with each.
        crew: How many work at each stage.
        kept: Errors of this kind concern one item: they are part of its outcome, and the others
            go on. A batch that fails so is applied item by item.

    Yields:
        One outcome an item, in the order of the items.

    Raises:
        Exception: What a stage raised beside ``kept``, when the item's turn has come.
    """
    waiting = iter(items)
    prepared: deque[tuple[I, Future[P]]] = deque()
    behind: deque[tuple[I, Future[R]]] = deque()
    with _threads(crew.preparing) as ahead, _threads(crew.finishing) as after:
        while True:
            for item in islice(waiting, crew.preparing + crew.batch - len(prepared)):
                prepared.append((item, ahead.submit(stages.prepare, item)))
            batch = [prepared.popleft() for _ in range(min(crew.batch, len(prepared)))]
            if not batch:
                break
            applied = _applied([one for _, one in batch], stages.apply, kept)
            for (item, _), one in zip(batch, applied, strict=True):
                behind.append((item, _finishing(after, stages.finish, item, one)))
            del batch, applied, one
            while len(behind) > 2 * crew.finishing or (behind and behind[0][1].done()):
                yield _outcome(*behind.popleft(), kept)
        while behind:
            yield _outcome(*behind.popleft(), kept)


@contextmanager
def _threads(number: int) -> Iterator[ThreadPoolExecutor]:
    """Give threads; what they have not begun when the block ends never is."""
    pool = ThreadPoolExecutor(number)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _applied(
    batch: Sequence[Future[P]], apply: Callable[[Sequence[P]], Sequence[A]], kept: type[E]
) -> list[A | Exception]:
    """Apply to what was prepared without an error; each error takes the place of its item."""
    errors = [one.exception() for one in batch]
    ready = [one.result() for one, error in zip(batch, errors, strict=True) if error is None]
    found = iter(_tried(ready, apply, kept))
    return [next(found) if error is None else _raised(error) for error in errors]


def _tried(
    ready: Sequence[P], apply: Callable[[Sequence[P]], Sequence[A]], kept: type[E]
) -> list[A | Exception]:
    if not ready:
        return []
    try:
        return list(apply(ready))
    except kept as error:
        if len(ready) == 1:
            return [error]
    except Exception as error:  # noqa: BLE001 - raised again when its item's turn has come
        return [error] * len(ready)
    return [found for one in ready for found in _tried([one], apply, kept)]


def _raised(error: BaseException) -> Exception:
    """Give an error of a stage; what is none, such as an interrupt, is raised at once."""
    if not isinstance(error, Exception):
        raise error
    return error


def _finishing(
    pool: ThreadPoolExecutor, finish: Callable[[I, A], R], item: I, applied: A | Exception
) -> Future[R]:
    if not isinstance(applied, Exception):
        return pool.submit(finish, item, applied)
    failed: Future[R] = Future()
    failed.set_exception(applied)
    return failed


def _outcome(item: I, future: Future[R], kept: type[E]) -> Done[I, R, E]:
    try:
        return Done(item=item, result=future.result(), error=None)
    except kept as error:
        # Frames hold all that a stage had in its hands: of a million failures too much.
        error.__cause__ = error.__context__ = None
        return Done(item=item, result=None, error=error.with_traceback(None))
