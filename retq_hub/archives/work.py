"""What a worker does with images of an archive: read, decode, apply, and give what is to be kept.

It writes nothing where results lie, so that a worker that dies leaves nothing behind: whoever
gave the task keeps what comes back.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retq_hub import runs
from retq_hub.archives import objects
from retq_hub.archives.sources import Entry
from retq_hub.digest import bytes_digest
from retq_hub.errors import ImageError
from retq_hub.images import decode_bytes
from retq_hub.outputs import Job, Options, Origin, write
from retq_hub.pipeline import Pipeline
from retq_hub.pools.threads import Crew, Stages, flow
from retq_hub.preparation import Prepared
from retq_hub.result import Result, Segmentation
from retq_hub.summary import Row

__all__ = ["Failure", "Filed", "Filing", "Found", "Item", "Reading", "Tabling", "Work", "split"]


@dataclass(frozen=True, kw_only=True)
class Item:
    """An image to work on.

    Attributes:
        number: Its place among those to work on, counted from 0.
        position: Its place in the archive, counted from 0.
        entry: The image.
        stem: What its files begin with, where it has files.
    """

    number: int
    position: int
    entry: Entry
    stem: str = ""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An image that cannot be used, and why."""

    item: Item
    error: ImageError


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """An image as it was read, before and after the queries were applied.

    Attributes:
        item: The image.
        image: The photograph, RGB, where it is drawn on.
        origin: Where the result comes from.
        prepared: For the backbone.
    """

    item: Item
    image: Image.Image | None
    origin: Origin
    prepared: Prepared


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """What goes into tables of one image.

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
class Filed:
    """The files of one image.

    Attributes:
        item: The image.
        rows: A row for each query and target.
        files: Their content by name, relative to the folder of the results.
    """

    item: Item
    rows: tuple[Row, ...]
    files: Mapping[str, bytes]


K = TypeVar("K", Found, Filed)
"""What is kept of an image."""

_CREW = Crew(preparing=1, finishing=1)

Keep: TypeAlias = Callable[[Reading, Result], K]


@dataclass(frozen=True, kw_only=True)
class Tabling:
    """Makes of a result what goes into tables.

    Attributes:
        embeddings: Whether the image embedding is kept.
    """

    embeddings: bool = False

    def __call__(self, reading: Reading, result: Result) -> Found:
        """Give rows, masks as runs and the embedding."""
        location = reading.item.entry.location
        rows, _ = _written(reading, result, Options(overlays=False))
        masks: list[NDArray[np.uint32] | None] = []
        for found in result.values():
            if isinstance(found, Segmentation):
                masks += [runs.encode(mask) for mask in found.mask_at(*found.size)]
            else:
                masks += [None] * len(found.manifest.targets)
        return Found(
            item=reading.item,
            rows=tuple(replace(row, image=location) for row in rows),
            runs=tuple(masks),
            embedding=result.embedding if self.embeddings else None,
        )


@dataclass(frozen=True, kw_only=True)
class Filing:
    """Makes of a result the files of `retq_hub.outputs`.

    Attributes:
        options: What to write.
    """

    options: Options

    def __call__(self, reading: Reading, result: Result) -> Filed:
        """Give rows and files."""
        rows, files = _written(reading, result, self.options)
        named = tuple(replace(row, image=reading.item.entry.given) for row in rows)
        return Filed(item=reading.item, rows=named, files=files)


@dataclass(frozen=True, kw_only=True)
class Work(Generic[K]):
    """The recipe of a worker; it travels to where the worker lives.

    Attributes:
        pipeline: The queries.
        keep: Makes of a result what is kept.
        draws: Whether that needs the photograph.
        crew: Threads that read and keep beside the one that applies.
    """

    pipeline: Pipeline
    keep: Keep[K]
    draws: bool
    crew: Crew = _CREW

    def __call__(self) -> Callable[[tuple[Item, ...]], list[K | Failure]]:
        """Give what works on some images at a time."""
        return lambda items: list(self.each(items))

    def each(self, items: Iterable[Item]) -> Iterator[K | Failure]:
        """Work on one image after the other, while the next ones are read."""
        stages = Stages(prepare=self._read, apply=self._applied, finish=self._kept)
        for one in flow(items, stages, crew=self.crew, kept=ImageError):
            if one.error is not None:
                yield Failure(item=one.item, error=one.error)
            else:
                assert one.result is not None, "what has no error has a result"
                yield one.result

    def _read(self, item: Item) -> Reading:
        content = objects.read(item.entry.location)
        image = decode_bytes(content, item.entry.given)
        return Reading(
            item=item,
            image=image if self.draws else None,
            origin=Origin.of(self.pipeline.backbone, bytes_digest(content)),
            prepared=self.pipeline.prepare(image),
        )

    def _applied(self, read: Sequence[Reading]) -> list[tuple[Reading, Result]]:
        results = self.pipeline.apply([one.prepared for one in read])
        return list(zip(read, results, strict=True))

    def _kept(self, _: Item, applied: tuple[Reading, Result]) -> K:
        return self.keep(*applied)


def split(items: tuple[Item, ...]) -> list[tuple[Item, ...]]:
    """Divide a task into tasks of one image each."""
    return [(item,) for item in items]


def _written(
    reading: Reading, result: Result, options: Options
) -> tuple[list[Row], dict[str, bytes]]:
    """Write the files of an image to a folder of no duration, and give their content."""
    item = reading.item
    with tempfile.TemporaryDirectory(prefix="retq-") as scratch:
        folder = Path(scratch)
        job = Job(image=Path(item.entry.name), stem=item.stem or "image")
        rows = write(result, job, reading.origin, folder, options, image=reading.image)
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
    return rows, files
