"""Applying a pipeline to an archive: resumed where it was killed, complete, and nothing twice.

Images go to workers a few at a time; what comes back is kept here, in one process, so that no
worker's end can lose or double a result. Images that cannot be used are listed in ``failed.csv``.
"""

import csv
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol

from retq_hub.archives.ledger import held
from retq_hub.archives.sources import Entry, Sources
from retq_hub.archives.work import Failure, Item, K, Work, split
from retq_hub.errors import ImageError, storage_errors
from retq_hub.pools.cluster import Cluster
from retq_hub.pools.order import in_order
from retq_hub.pools.workers import Lost, outcomes
from retq_hub.progress import Progress
from retq_hub.storage import write_text

__all__ = ["FAILED", "Archived", "Form", "run"]

FAILED = "failed.csv"
"""The images that could not be used, with the reasons."""

_HEADING = "image,reason\n"
_AT_ONCE = 4
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

    def begin(self, sources: Sources) -> None:
        """Look at what is there, and refuse what is of something else.

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
    progress: Progress,
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
    with held(output):
        form.begin(sources)
        listing = _Listing(form, sources)
        tally = _Tally(output / FAILED, progress)
        answers = _answers(form.recipe(), listing.tasks(), cluster)
        with closing(answers):
            try:
                for answer in progress.steps(
                    in_order(answers), what="segmenting", total=listing.n_todo()
                ):
                    if isinstance(answer, Failure):
                        tally.failed(answer)
                    else:
                        form.keep(answer)
                        tally.done()
            finally:
                form.end()
        return Archived(
            done=tally.n_done,
            skipped=listing.skipped,
            repeated=listing.repeated,
            failed=tally.failures,
        )
