"""Files of many images by workers: made where they live, and written here, once."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

from retq_hub.archives.failures import Failures
from retq_hub.archives.sources import Sources
from retq_hub.errors import ImageError
from retq_hub.objects import is_url
from retq_hub.outputs import Job, Options, wanted
from retq_hub.pipeline import Pipeline
from retq_hub.pools.cluster import Cluster
from retq_hub.pools.order import worked
from retq_hub.pools.threads import Done
from retq_hub.pools.workers import Lost
from retq_hub.progress import Progress
from retq_hub.segment import Outcome, Way, Work, in_threads, named, segment
from retq_hub.storage import whole_file
from retq_hub.summary import Row

__all__ = ["by_workers", "file_images", "jobs"]

_AT_ONCE = 4

_Outcome: TypeAlias = Done[Job, list[Row], ImageError]


def jobs(sources: Sources) -> list[Job]:
    """Name the files of an archive's images, as `retq_hub.segment.find_images` does."""
    entries = {entry.location: entry for entry in sources}
    found = named({_stand_in(one.given): Path(one.name) for one in entries.values()})
    return [
        replace(job, url=one.given if is_url(one.given) else None)
        for job, one in zip(found, entries.values(), strict=True)
    ]


def _stand_in(given: str) -> Path:
    """Give a path that stands for an image; URLs that differ have paths that do."""
    return Path(quote(given, safe="") if is_url(given) else given)


def file_images(
    pipeline: Pipeline,
    sources: Sources,
    output: Path,
    *,
    options: Options | None = None,
    cluster: Cluster | None = None,
    progress: Progress | None = None,
) -> Outcome[Row]:
    """Segment and grade an archive into files; images that cannot be used are listed in a CSV too.

    Args:
        pipeline: The queries.
        sources: The images.
        output: The folder.
        options: What to write.
        cluster: Where workers run; None: in this process.
        progress: Where to report.

    Raises:
        UsageError: The folder holds results of another image of the same name.
        Unreachable: The cluster cannot be reached.
        StorageError: The folder cannot be written.
    """
    way = None if cluster is None else by_workers(cluster)
    found = segment(pipeline, jobs(sources), output, options=options, progress=progress, way=way)
    failures = Failures(output)
    for image, error in found.failed.items():
        failures.add(image, error)
    return found


def by_workers(cluster: Cluster) -> Way:
    """Give a way of working for `retq_hub.segment.segment`: by workers on Ray.

    Args:
        cluster: Where they run.
    """

    def way(work: Work, jobs: Sequence[Job]) -> Iterator[_Outcome]:
        filer = _Filer(pipeline=work.pipeline, options=work.options)
        sent = [replace(job, image=job.image.absolute()) for job in jobs]
        found = worked(filer, sent, cluster=cluster, at_once=_AT_ONCE)
        for job, filed in zip(jobs, found, strict=True):
            if isinstance(filed, Lost):
                error = ImageError(f"{job.location} was given up: {filed.reason}")
                yield Done(item=job, result=None, error=error)
                continue
            for name, content in filed.files.items():
                with whole_file(work.output / name) as temporary:
                    temporary.write_bytes(content)
            rows = [replace(row, image=job.location) for row in filed.rows]
            yield Done(item=job, result=None if filed.error else rows, error=filed.error)

    return way


@dataclass(frozen=True, kw_only=True)
class _Filed:
    """Rows of an image and its files' content by name, or why there are none."""

    rows: Sequence[Row] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    error: ImageError | None = None


@dataclass(frozen=True, kw_only=True)
class _Filer:
    """The recipe of a worker."""

    pipeline: Pipeline
    options: Options

    def __call__(self) -> Callable[[tuple[Job, ...]], list[_Filed]]:
        """Give what works on some images at a time."""
        return self._some

    def _some(self, jobs: tuple[Job, ...]) -> list[_Filed]:
        with tempfile.TemporaryDirectory(prefix="retq-") as scratch:
            work = Work(self.pipeline, Path(scratch), self.options)
            return [self._filed(work, one) for one in in_threads(work, jobs)]

    def _filed(self, work: Work, outcome: _Outcome) -> _Filed:
        if outcome.error is not None:
            return _Filed(error=outcome.error)
        rows = outcome.result or []
        names = sorted(wanted(outcome.item, rows, self.options))
        return _Filed(rows=rows, files={one: (work.output / one).read_bytes() for one in names})
