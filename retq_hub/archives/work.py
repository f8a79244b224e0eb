"""What a worker does with images of an archive: read, decode, apply, and say what was found.

It writes nothing, so that a worker that dies leaves nothing behind: whoever gave the task keeps
what comes back.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retq_hub.archives.sources import Entry
from retq_hub.errors import ImageError
from retq_hub.objects import is_url
from retq_hub.outputs import Job, Options
from retq_hub.pipeline import Pipeline
from retq_hub.pools.threads import Stages, flow
from retq_hub.result import Result, Segmentation
from retq_hub.segment import Ready, Work
from retq_hub.summary import Row

__all__ = ["Failure", "Found", "Item", "Reader"]

_ROWS = Options(masks=False, overlays=False)
_NOWHERE = Path()


@dataclass(frozen=True, kw_only=True)
class Item:
    """An image to work on.

    Attributes:
        position: Its place in the archive, counted from 0.
        entry: The image.
    """

    position: int
    entry: Entry


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An image that cannot be used, and why."""

    item: Item
    error: ImageError


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """What queries say of one image.

    Attributes:
        item: The image.
        rows: A row for each query and target.
        runs: The mask of each row as runs; None where it has none.
        embedding: (D,) float32; None if not asked for.
    """

    item: Item
    rows: tuple[Row, ...]
    runs: tuple[NDArray[np.uint32] | None, ...]
    embedding: NDArray[np.float32] | None


@dataclass(frozen=True, kw_only=True)
class Reader:
    """The recipe of a worker; it travels to where the worker lives.

    Attributes:
        pipeline: The queries.
        masks: Whether masks are wanted.
        embeddings: Whether image embeddings are.
    """

    pipeline: Pipeline
    masks: bool = True
    embeddings: bool = False

    def __call__(self) -> Callable[[tuple[Item, ...]], list[Found | Failure]]:
        """Give what works on some images at a time."""
        return lambda items: list(self.each(items))

    def each(self, items: Iterable[Item]) -> Iterator[Found | Failure]:
        """Work on one image after the other, while the next ones are read."""
        work = Work(self.pipeline, _NOWHERE, _ROWS)

        def prepare(item: Item) -> Ready:
            _check_name(item.entry.location)
            return work.prepare(_job(item))

        def finish(item: Item, applied: tuple[Ready, Result]) -> Found:
            return self._found(item, work.finish(_job(item), applied), applied[1])

        stages = Stages(prepare=prepare, apply=work.apply, finish=finish)
        for one in flow(items, stages, crew=self.pipeline.crew(), kept=ImageError):
            if one.error is not None:
                yield Failure(item=one.item, error=one.error)
            elif one.result is not None:
                yield one.result

    def _found(self, item: Item, rows: Sequence[Row], result: Result) -> Found:
        masks: list[NDArray[np.uint32] | None] = []
        for found in result.values():
            if self.masks and isinstance(found, Segmentation):
                masks += found.runs_at(*found.size)
            else:
                masks += [None] * len(found.manifest.targets)
        return Found(
            item=item,
            rows=tuple(rows),
            runs=tuple(masks),
            embedding=result.embedding if self.embeddings else None,
        )


def _check_name(location: str) -> None:
    """Refuse a name that a table cannot hold, so that it costs no other image its rows."""
    try:
        location.encode()
    except UnicodeEncodeError as error:
        raise ImageError(
            f"the name of {location} is no UTF-8 text, tables hold no other", hint="rename it"
        ) from error


def _job(item: Item) -> Job:
    location = item.entry.location
    return Job(image=Path(location), stem="", url=location if is_url(location) else None)
