"""Applying a pipeline to an archive: resumed where it was killed, complete, and nothing twice.

Images go to workers a few at a time; what comes back is kept here, in one process, so that no
worker's end can lose or double a result. Images that cannot be used are listed in ``failed.csv``.
"""

import csv
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Generic, Protocol

from retq_hub.archives.ledger import held
from retq_hub.archives.parts import seal
from retq_hub.archives.sources import Entry, Sources
from retq_hub.archives.work import Failure, Item, K, Work, split
from retq_hub.errors import ImageError, storage_errors
from retq_hub.pools.cluster import Cluster
from retq_hub.pools.order import in_order
from retq_hub.pools.workers import Lost, outcomes
from retq_hub.progress import Progress, Silent

__all__ = ["FAILED", "Archived", "Form", "run"]

FAILED = "failed.csv"
"""The images that could not be used, with the reasons."""

_HEADING = ("image", "reason")
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


class Form(Protocol[K]):
    """The form in which results are kept."""

    def recipe(self) -> Work[K]:
        """Give what workers do."""
        ...

    def begin(self, sources: Sources) -> int:
        """Look at what is there, and give of how many images it is.

        Raises:
            UsageError: The folder has results of something else.
        """
        ...

    def is_done(self, entry: Entry) -> bool:
        """Whether an earlier run has done an image."""
        ...

    def stem(self, entry: Entry) -> str:
        """Give what an image's files begin with; empty where it has none."""
        ...

    def keep(self, found: K) -> None:
        """Keep what there is of one image; called in the order of the archive.

        Raises:
            StorageError: The folder cannot be written.
        """
        ...

    def end(self) -> None:
        """Write what is still in memory; also when a run is cut short."""
        ...


def run(
    form: Form[K],
    sources: Sources,
    output: Path,
    *,
    cluster: Cluster | None = None,
    progress: Progress | None = None,
) -> Archived:
    """Apply a pipeline to an archive.

    Args:
        form: What is kept, and of which pipeline.
        sources: The images.
        output: The folder of the results.
        cluster: Where workers run; None: in this process.
        progress: Where to report.

    Raises:
        UsageError: The folder has results of something else, or another run is at work in it.
        Unreachable: The cluster cannot be reached.
        StorageError: The folder cannot be written.
    """
    progress = progress or Silent()
    with held(output):
        before = form.begin(sources)
        listing = _Listing(form, sources)
        tally = _Tally(output / FAILED, progress)
        total = sources.count()
        rest = None if total is None else max(total - before, 0)
        answers = _answers(form.recipe(), listing.items(), cluster)
        try:
            for answer in progress.steps(in_order(answers), what="segmenting", total=rest):
                if isinstance(answer, Failure):
                    tally.count_failure(answer.item.entry.given, answer.error)
                else:
                    form.keep(answer)
                    tally.count_done()
        finally:
            answers.close()
            form.end()
    return Archived(
        done=tally.n_done,
        skipped=listing.n_skipped,
        repeated=listing.n_repeated,
        failed=tally.failures,
    )


class _Listing(Generic[K]):
    """Goes through an archive, leaving out what is done and what was there before."""

    def __init__(self, form: Form[K], sources: Sources) -> None:
        self._form: Form[K] = form
        self._sources = sources
        self.n_skipped = 0
        self.n_repeated = 0

    def items(self) -> Iterator[Item]:
        """Give the images to work on."""
        listed: set[bytes] = set()
        for position, entry in enumerate(self._sources):
            mark = seal(entry.location)
            if mark in listed:
                self.n_repeated += 1
            elif self._form.is_done(entry):
                self.n_skipped += 1
            else:
                stem, number = self._form.stem(entry), len(listed)
                listed.add(mark)
                yield Item(number=number, position=position, entry=entry, stem=stem)


class _Tally:
    """Counts, lists failures, and says how far it is."""

    def __init__(self, path: Path, progress: Progress) -> None:
        path.unlink(missing_ok=True)
        self.n_done = 0
        self.failures: dict[str, ImageError] = {}
        self._path = path
        self._progress = progress
        self._began = self._said = time.monotonic()

    def count_done(self) -> None:
        """Count an image that is done."""
        self.n_done += 1
        self._say()

    def count_failure(self, image: str, error: ImageError) -> None:
        """Count an image that cannot be used, and list it."""
        with storage_errors(self._path), self._path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            if not self.failures:
                writer.writerow(_HEADING)
            writer.writerow((image, error.found))
        self.failures[image] = error
        self._say()

    def _say(self) -> None:
        now = time.monotonic()
        rate = (self.n_done + len(self.failures)) / max(now - self._began, 1e-9)
        line = f"{self.n_done:,} done, {len(self.failures):,} failed, {rate:.1f} images a second"
        is_due = now - self._said >= _MILESTONE_S
        self._said = now if is_due else self._said
        self._progress.measure(line, milestone=is_due)


def _answers(
    work: Work[K], items: Iterator[Item], cluster: Cluster | None
) -> Generator[tuple[int, K | Failure]]:
    """Have the work done, here or by workers; answers come with the numbers of their images."""
    if cluster is None:
        for answer in work.each(items):
            yield answer.item.number, answer
        return
    tasks = iter(lambda: tuple(islice(items, _AT_ONCE)), ())
    for outcome in outcomes(work, tasks, cluster=cluster, split=split):
        for answer in _given_up(outcome) if isinstance(outcome, Lost) else outcome:
            yield answer.item.number, answer


def _given_up(lost: Lost[tuple[Item, ...]]) -> list[Failure]:
    return [
        Failure(item=item, error=ImageError(f"{item.entry.given} was given up: {lost.reason}"))
        for item in lost.task
    ]
