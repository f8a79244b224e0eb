"""A pipeline applied to many images by workers on Ray, in the order of the images."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import tee
from pathlib import Path
from typing import Protocol, TypeAlias

from retq_hub.errors import ImageError
from retq_hub.images import ImageLike
from retq_hub.pools.cluster import Cluster
from retq_hub.pools.order import worked
from retq_hub.pools.threads import Crew, Stages, flow
from retq_hub.pools.workers import Lost
from retq_hub.preparation import Prepared
from retq_hub.result import Mapped, Result

__all__ = ["Applied", "by_workers", "in_threads"]

_AT_ONCE = 4

_Answer: TypeAlias = tuple[Result | None, ImageError | None]
"""What became of an image; where it came from is known here."""


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
    given, sent = tee(images)
    work = worked(_Mapper(pipeline), map(_absolute, sent), cluster=cluster, at_once=_AT_ONCE)
    for source, found in zip(given, work, strict=True):
        if isinstance(found, Lost):
            error = ImageError(f"it was given up: {found.reason}")
            yield Mapped(source=source, result=None, error=error)
        else:
            yield Mapped(source=source, result=found[0], error=found[1])


@dataclass(frozen=True)
class _Mapper:
    """The recipe of a worker."""

    pipeline: Applied

    def __call__(self) -> Callable[[tuple[ImageLike, ...]], list[_Answer]]:
        """Give what works on some images at a time."""
        return self._some

    def _some(self, images: tuple[ImageLike, ...]) -> list[_Answer]:
        found = in_threads(self.pipeline, images, self.pipeline.crew())
        return [(one.result, one.error) for one in found]


def _absolute(image: ImageLike) -> ImageLike:
    return Path(image).absolute() if isinstance(image, str | Path) else image


def _result(_: ImageLike, result: Result) -> Result:
    return result
