"""A pipeline applied to many images by workers on Ray, in the order of the images."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeAlias

from retq_hub.errors import ImageError
from retq_hub.images import ImageLike
from retq_hub.pools.cluster import Cluster
from retq_hub.pools.order import in_order
from retq_hub.pools.threads import Crew, Stages, flow
from retq_hub.pools.workers import Lost, outcomes
from retq_hub.preparation import Prepared
from retq_hub.result import Mapped, Result

__all__ = ["Applied", "by_workers", "in_threads"]

_AT_ONCE = 4

_Task: TypeAlias = tuple[tuple[int, ImageLike], ...]
"""Some images with their numbers."""

_Answer: TypeAlias = list[tuple[int, Result | None, ImageError | None]]
"""What became of each, with its number."""


class Applied(Protocol):
    """A pipeline, as far as it is needed here; it can be pickled."""

    def prepare(self, source: ImageLike) -> Prepared:
        """Decode an image and make it ready."""
        ...

    def apply(self, images: Sequence[Prepared]) -> list[Result]:
        """Apply all queries."""
        ...

    def crew(self) -> Crew:
        """Say how many threads work beside the backbone."""
        ...


def in_threads(pipeline: Applied, images: Iterable[ImageLike], crew: Crew) -> Iterator[Mapped]:
    """Apply a pipeline in this process; the next images are decoded while the backbone runs.

    Args:
        pipeline: The pipeline.
        images: Any number of images.
        crew: Threads beside the one that applies.
    """
    stages = Stages(prepare=pipeline.prepare, apply=pipeline.apply, finish=_result)
    for one in flow(images, stages, crew=crew, kept=ImageError):
        yield Mapped(source=one.item, result=one.result, error=one.error)


def by_workers(
    pipeline: Applied, images: Iterable[ImageLike], cluster: Cluster
) -> Iterator[Mapped]:
    """Apply a pipeline by workers on Ray.

    Args:
        pipeline: The pipeline; it travels to each worker once.
        images: Any number of images; workers read those that are named by path.
        cluster: Where the workers run.

    Raises:
        Unreachable: The cluster cannot be reached.
    """
    return in_order(_numbered(pipeline, images, cluster))


@dataclass(frozen=True)
class _Mapper:
    """The recipe of a worker."""

    pipeline: Applied

    def __call__(self) -> Callable[[_Task], _Answer]:
        """Give what works on some images at a time."""
        return self._some

    def _some(self, task: _Task) -> _Answer:
        found = in_threads(self.pipeline, [one for _, one in task], self.pipeline.crew())
        return [
            (number, one.result, one.error) for (number, _), one in zip(task, found, strict=True)
        ]


def _numbered(
    pipeline: Applied, images: Iterable[ImageLike], cluster: Cluster
) -> Iterator[tuple[int, Mapped]]:
    """Give what became of each image as it is known; the images themselves stay here."""
    sources: dict[int, ImageLike] = {}
    tasks = _tasks(images, sources)
    for outcome in outcomes(_Mapper(pipeline), tasks, cluster=cluster, split=_split):
        for number, result, error in _given_up(outcome) if isinstance(outcome, Lost) else outcome:
            yield number, Mapped(source=sources.pop(number), result=result, error=error)


def _tasks(images: Iterable[ImageLike], sources: dict[int, ImageLike]) -> Iterator[_Task]:
    """Divide images into tasks; those that are on their way are kept in ``sources``."""
    numbered = enumerate(images)
    while some := tuple(islice(numbered, _AT_ONCE)):
        sources.update(some)
        yield tuple((number, _absolute(image)) for number, image in some)


def _absolute(image: ImageLike) -> ImageLike:
    return Path(image).absolute() if isinstance(image, str | Path) else image


def _split(task: _Task) -> list[_Task]:
    return [(one,) for one in task]


def _given_up(lost: Lost[_Task]) -> _Answer:
    return [
        (number, None, ImageError(f"it was given up: {lost.reason}")) for number, _ in lost.task
    ]


def _result(_: ImageLike, result: Result) -> Result:
    return result
