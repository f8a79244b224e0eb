"""Applying a pipeline to an archive: resumed where it was killed, complete, and nothing twice.

Images go to workers a few at a time; what comes back is kept here, in one process, so that no
worker's end can lose or double a result. Images that cannot be used are listed in ``failed.csv``.
"""

import time
from collections.abc import Generator, Iterator, Set
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from retq_hub.archives.failures import Failures
from retq_hub.archives.ledger import FILE, Ledger, held
from retq_hub.archives.parts import Parts, check_columns, seal
from retq_hub.archives.sources import Sources
from retq_hub.archives.work import Failure, Found, Item, Reader
from retq_hub.errors import ImageError, UsageError
from retq_hub.pipeline import Pipeline
from retq_hub.pools.cluster import Cluster
from retq_hub.pools.order import worked
from retq_hub.pools.workers import Lost
from retq_hub.progress import Progress, Silent

__all__ = ["PART_IMAGES", "Archived", "run"]

PART_IMAGES = 64
"""So many images a part has; it is what a kill may cost."""

_AT_ONCE = 8
_MILESTONE_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Archived:
    """What a run over an archive did.

    Attributes:
        done: So many images were done now.
        skipped: So many were done before.
        repeated: So many places in lists name an image that another one names too.
        failed: The reason for each image that could not be used.
    """

    done: int
    skipped: int
    repeated: int
    failed: dict[str, ImageError]


def run(
    pipeline: Pipeline,
    sources: Sources,
    output: Path,
    *,
    cluster: Cluster | None = None,
    masks: bool = True,
    embeddings: bool = False,
    force: bool = False,
    part_images: int = PART_IMAGES,
    progress: Progress | None = None,
) -> Archived:
    """Apply a pipeline to an archive; what earlier runs did is not done again.

    Args:
        pipeline: The queries.
        sources: The images.
        output: The folder of the results.
        cluster: Where workers run; None: in this process.
        masks: Whether masks are kept, as runs.
        embeddings: Whether image embeddings are.
        force: Clear the folder of results first.
        part_images: So many images a part has.
        progress: Where to report.

    Raises:
        UsageError: The folder has results of something else, or another run is at work in it; a
            list has a column that results have themselves; pyarrow is not installed.
        Unreachable: The cluster cannot be reached.
        StorageError: The folder cannot be written.
    """
    if embeddings and not pipeline.needs.embed:
        raise UsageError("the pipeline gives no embeddings", hint="make it with embed=True")
    progress = progress or Silent()
    check_columns(sources.columns)
    parts = Parts(output, sources.columns, size=part_images)
    with held(output):
        _begin(parts, Ledger.of(pipeline, masks=masks, embeddings=embeddings), output, force)
        listing = _Listing(sources, parts.done())
        tally = _Tally(Failures(output), progress)
        reader = Reader(pipeline=pipeline, masks=masks, embeddings=embeddings)
        answers = _answers(reader, listing.items(), cluster)
        try:
            for answer in progress.steps(answers, what="segmenting", total=listing.count()):
                if isinstance(answer, Found):
                    parts.add(answer)
                tally.count(answer)
        finally:
            answers.close()
            parts.end()
    return Archived(
        done=tally.n_done,
        skipped=listing.n_skipped,
        repeated=listing.n_repeated,
        failed=tally.failures.found,
    )


def _begin(parts: Parts, ledger: Ledger, output: Path, force: bool) -> None:
    """Make a folder ready for results of a ledger, or refuse it."""
    if force:
        # The ledger goes last: parts without one would pass for those of whoever comes next.
        parts.clear()
        (output / FILE).unlink(missing_ok=True)
    ledger.check(output)
    ledger.write(output)
    parts.tidy()


class _Listing:
    """Goes through an archive, leaving out what is done and what was listed before."""

    def __init__(self, sources: Sources, done: Set[bytes]) -> None:
        self._sources = sources
        self._done = done
        self.n_skipped = 0
        self.n_repeated = 0

    def items(self) -> Iterator[Item]:
        """Give the images to work on."""
        listed: set[bytes] = set()
        for position, entry in enumerate(self._sources):
            mark = seal(entry.location)
            if mark in listed:
                self.n_repeated += 1
                continue
            listed.add(mark)
            if mark in self._done:
                self.n_skipped += 1
            else:
                yield Item(position=position, entry=entry)

    def count(self) -> int | None:
        """Give about how many images there are to work on, where that is known soon."""
        total = self._sources.count()
        return None if total is None else max(total - len(self._done), 0)


class _Tally:
    """Counts what is done, and says how far it is."""

    def __init__(self, failures: Failures, progress: Progress) -> None:
        self.n_done = 0
        self.failures = failures
        self._progress = progress
        self._began = self._said = 0.0

    def count(self, answer: Found | Failure) -> None:
        """Count an image; one that cannot be used is listed."""
        if isinstance(answer, Failure):
            self.failures.add(answer.item.entry.given, answer.error)
        else:
            self.n_done += 1
        self._say()

    def _say(self) -> None:
        now = time.monotonic()
        n_failed = len(self.failures.found)
        line = f"{self.n_done:,} done, {n_failed:,} failed"
        if self._began:
            line += _pace(self.n_done + n_failed - 1, now - self._began)
        else:
            self._began = self._said = now
        is_due = now - self._said >= _MILESTONE_S
        self._said = now if is_due else self._said
        self._progress.measure(line, milestone=is_due)


def _pace(n_images: int, seconds: float) -> str:
    """Say how many images a second; nothing within the first, when some come all at once."""
    return f", {n_images / seconds:.1f} images a second" if seconds >= 1.0 else ""


def _answers(
    reader: Reader, items: Iterator[Item], cluster: Cluster | None
) -> Generator[Found | Failure]:
    """Have the work done, here or by workers."""
    if cluster is None:
        yield from reader.each(items)
        return
    with closing(worked(reader, items, cluster=cluster, at_once=_AT_ONCE)) as answers:
        for answer in answers:
            yield _given_up(answer) if isinstance(answer, Lost) else answer


def _given_up(lost: Lost[Item]) -> Failure:
    error = ImageError(f"{lost.task.entry.given} was given up: {lost.reason}")
    return Failure(item=lost.task, error=error)
