"""A pipeline applied to many images, by threads or by workers, in the order of the images."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import tee
from pathlib import Path
from typing import Protocol, TypeAlias

from retq_hub.errors import ImageError, UsageError
from retq_hub.images import ImageLike
from retq_hub.pools.cluster import ABSENT, Cluster, is_installed
from retq_hub.pools.order import worked
from retq_hub.pools.threads import Crew, Stages, flow
from retq_hub.pools.workers import Lost
from retq_hub.preparation import Prepared
from retq_hub.progress import tell
from retq_hub.result import Mapped, Result

__all__ = ["Applied", "mapped"]

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

    def crew(self, workers: int | None = None) -> Crew:
        """Say how many threads work beside the backbone."""
        ...

    def cluster(self, address: str | None = None, workers: int | None = None) -> Cluster:
        """Say what workers on Ray need."""
        ...


def mapped(
    pipeline: Applied,
    images: Iterable[ImageLike],
    *,
    pool: str,
    workers: int | None,
    cluster: str | None,
) -> Iterator[Mapped]:
    """Apply a pipeline to images; see `retq_hub.pipeline.Pipeline.map`."""
    if pool not in ("threads", "ray"):
        raise UsageError(f"there is no pool {pool!r}", hint="threads or ray")
    if pool == "threads":
        return _in_threads(pipeline, images, pipeline.crew(workers))
    if is_installed():
        return _by_workers(pipeline, images, pipeline.cluster(cluster, workers))
    tell(None, ABSENT)
    return _in_threads(pipeline, images, pipeline.crew())


def _in_threads(pipeline: Applied, images: Iterable[ImageLike], crew: Crew) -> Iterator[Mapped]:
    """Apply a pipeline in this process; the next images are decoded while the backbone runs."""
    stages = Stages(prepare=pipeline.prepare, apply=pipeline.apply, finish=_result)
    for one in flow(images, stages, crew=crew, kept=ImageError):
        yield Mapped(source=one.item, result=one.result, error=one.error)


def _by_workers(
    pipeline: Applied, images: Iterable[ImageLike], cluster: Cluster
) -> Iterator[Mapped]:
    """Apply a pipeline by workers; it travels to each once, and they read what a path names."""
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
        found = _in_threads(self.pipeline, images, self.pipeline.crew())
        return [(one.result, one.error) for one in found]


def _absolute(image: ImageLike) -> ImageLike:
    return Path(image).absolute() if isinstance(image, str | Path) else image


def _result(_: ImageLike, result: Result) -> Result:
    return result
