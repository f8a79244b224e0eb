"""Workers in processes of their own: tasks in, outcomes out, and none lost when a worker dies.

Each outcome is taken by the driver, once, and a task whose worker died before that is given to
another. Ray's own pools do not promise it: its `ActorPool` ends with the first dead actor, and Ray
Data repeats blocks by lineage, in its own order and at its own pace. So the few lines that keep
count of who has what are here, on Ray's actors.
"""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

from retq_hub import __version__
from retq_hub.errors import NetworkError, UsageError
from retq_hub.pools.cluster import Cluster, connected

__all__ = ["Lost", "Recipe", "outcomes"]

T = TypeVar("T")
R = TypeVar("R")

Recipe: TypeAlias = Callable[[], Callable[[T], R]]
"""Makes what works on tasks; it is pickled once and called once in each worker."""

_AHEAD = 2
"""So many tasks a worker has at a time: one that it works on, one that waits for it."""

_SYSTEM = "System error: "

_LIVES = 3
"""So many workers may die of a task, and so many in a row while they start."""


@dataclass(frozen=True, kw_only=True)
class Lost(Generic[T]):
    """A task that no worker survived.

    Attributes:
        task: The task.
        reason: How the last worker ended, in a few words.
    """

    task: T
    reason: str


def outcomes(
    recipe: Recipe[T, R],
    tasks: Iterable[T],
    *,
    cluster: Cluster,
    split: Callable[[T], Sequence[T]] | None = None,
) -> Iterator[R | Lost[T]]:
    """Have workers do tasks; outcomes come as they are ready.

    Tasks are asked for as workers have room for them, two for each, so that memory does not grow
    with their number. What a worker raises ends the work and is raised here.

    Args:
        recipe: Makes the callable that each worker applies to tasks.
        tasks: The tasks; they are pickled.
        cluster: Where the workers run.
        split: Divides a task that a worker died of into smaller ones, so that only the guilty one
            is lost; one that cannot be divided it gives back alone.

    Yields:
        What a worker gave for a task; or the task itself, if three workers died of it.

    Raises:
        Unreachable: The cluster cannot be reached.
        NetworkError: Workers cannot start there, or die while they do.
        UsageError: The cluster has no room for a worker, or other code than ours.
    """
    with connected(cluster) as (ray, n_workers):
        sent = ray.put((__version__, recipe))
        work = _Work(iter(tasks), split or (lambda task: [task]))
        crew: _Crew[T, R] = _Crew(ray, sent, cluster, work)
        yield from crew.run(n_workers)


class _Worker:
    """What lives in a worker's process."""

    def start(self, sent: tuple[str, Recipe[Any, Any]], threads: int) -> None:
        """Make what works on tasks."""
        version, recipe = sent
        if version != __version__:
            raise UsageError(
                f"the cluster's workers have retq-hub {__version__}, this machine {version}",
                hint="install the same version everywhere",
            )
        self._work = recipe()
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(threads)

    def do(self, task: Any) -> Any:  # noqa: ANN401 - any task, any outcome
        """Do one task."""
        return self._work(task)


@dataclass(kw_only=True)
class _Held(Generic[T]):
    """A task on its way, and how many workers have died of it."""

    task: T
    deaths: int = 0


class _Work(Generic[T]):
    """What is still to do: what came back undone first, then new tasks."""

    def __init__(self, tasks: Iterator[T], split: Callable[[T], Sequence[T]]) -> None:
        self._tasks = tasks
        self._split = split
        self._again: deque[_Held[T]] = deque()
        self.is_over = False

    def take(self) -> _Held[T] | None:
        """Take a task; None: there is none now."""
        if self._again:
            return self._again.popleft()
        for task in self._tasks:
            return _Held(task=task)
        self.is_over = True
        return None

    def put_back(self, held: _Held[T], *, is_suspect: bool) -> Iterator[Lost[T]]:
        """Put a task back, in pieces if a worker died of it; give it up if that was the last."""
        self.is_over = False
        if not is_suspect:
            self._again.append(held)
            return
        deaths = held.deaths + 1
        if deaths >= _LIVES:
            yield Lost(task=held.task, reason=f"{_LIVES} workers died of it")
            return
        self._again.extend(_Held(task=one, deaths=deaths) for one in self._split(held.task))


@dataclass(kw_only=True, eq=False)
class _Hand(Generic[T]):
    """A worker as the driver sees it: its process, and what it has been given."""

    actor: Any
    is_ready: bool = False
    has: dict[Any, _Held[T] | None] = field(default_factory=dict)


class _Crew(Generic[T, R]):
    """Keeps count of who has what.

    Args:
        ray: The module.
        sent: Where the cluster holds the recipe.
        cluster: What a worker has.
        work: What is to do.
    """

    def __init__(
        self,
        ray: Any,  # noqa: ANN401 - ray is an extra
        sent: Any,  # noqa: ANN401
        cluster: Cluster,
        work: _Work[T],
    ) -> None:
        self._ray = ray
        self._sent = sent
        self._cluster = cluster
        self._work = work
        self._hands: list[_Hand[T]] = []
        self._stillborn = 0
        there = ray.exceptions
        # An outcome is lost with the machine that holds it, even if its worker has ended well.
        self._deaths = (there.RayActorError, there.OutOfMemoryError, there.ObjectLostError)
        options = {"num_cpus": cluster.cpus, "num_gpus": cluster.gpus}
        self._worker = ray.remote(_Worker).options(**options)

    def run(self, n_workers: int) -> Iterator[R | Lost[T]]:
        """Give the outcomes of all tasks."""
        try:
            if (first := self._work.take()) is None:
                return
            yield from self._work.put_back(first, is_suspect=False)
            for _ in range(n_workers):
                self._hire()
            while not self._work.is_over or any(self._busy(hand) for hand in self._hands):
                yield from self._next()
                self._deal()
        finally:
            for hand in self._hands:
                self._ray.kill(hand.actor)

    def _busy(self, hand: _Hand[T]) -> bool:
        return any(held is not None for held in hand.has.values())

    def _hire(self) -> None:
        """Start a worker; it is given tasks once it is ready, which may be never."""
        actor = self._worker.remote()
        hand: _Hand[T] = _Hand(actor=actor)
        hand.has[actor.start.remote(self._sent, self._cluster.cpus)] = None
        self._hands.append(hand)

    def _deal(self) -> None:
        """Give each worker that is ready what it has room for, the idle ones first."""
        for level in range(_AHEAD):
            for hand in self._hands:
                if hand.is_ready and len(hand.has) == level:
                    if (held := self._work.take()) is None:
                        return
                    hand.has[hand.actor.do.remote(held.task)] = held

    def _next(self) -> Iterator[R | Lost[T]]:
        """Wait until something is ready, and take it."""
        where = {ref: hand for hand in self._hands for ref in hand.has}
        (ref,), _ = self._ray.wait(list(where), num_returns=1)
        hand = where[ref]
        try:
            outcome = self._taken(ref)
        except self._deaths as death:
            yield from self._bury(hand, death)
            return
        if hand.has.pop(ref) is not None:
            yield outcome
        hand.is_ready, self._stillborn = True, 0

    def _taken(self, ref: Any) -> R:  # noqa: ANN401
        """Take an outcome; what the worker raised is raised here."""
        try:
            outcome: R = self._ray.get(ref)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, self._ray.exceptions.RaySystemError):
                raise UsageError(
                    f"the cluster's workers cannot load what is sent to them: {_line(error.cause)}",
                    hint="install the same version of retq-hub everywhere",
                ) from error
            raise error.cause or error from error
        return outcome

    def _bury(self, hand: _Hand[T], death: Exception) -> Iterator[R | Lost[T]]:
        """Take what a dead worker has done, queue what it has not, and start another one."""
        self._hands.remove(hand)
        self._ray.kill(hand.actor)
        self._stillborn += not hand.is_ready
        if self._stillborn >= _LIVES:
            raise NetworkError(
                f"{_LIVES} workers in a row died while they started: {_line(death)}",
                hint="they may lack memory: start fewer with --workers",
            )
        died_of = None
        for ref, held in hand.has.items():
            if held is None:
                continue
            try:
                yield self._taken(ref)
            except self._deaths:
                died_of = died_of or held
                yield from self._work.put_back(held, is_suspect=held is died_of)
        self._hire()


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].removeprefix(_SYSTEM)
