"""A store segmented and graded into a folder, as `retq_hub.segment` does with photographs.

A second run carries on where the first stopped. No overlays are drawn: no photograph is read.
"""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path

from retq_hub.digest import bytes_digest
from retq_hub.journal import Journal
from retq_hub.outputs import Job, Options, Origin, write, written
from retq_hub.progress import Progress, Silent
from retq_hub.segment import Outcome, check_owners
from retq_hub.storage import check_writable
from retq_hub.store.pipeline import StoredPipeline
from retq_hub.store.shard import Entry
from retq_hub.store.store import Store
from retq_hub.summary import Key, Row, key_of
from retq_hub.threads import one_thread

__all__ = ["segment_store"]


def segment_store(
    pipeline: StoredPipeline,
    output: Path,
    *,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Outcome[Row]:
    """Apply queries to all images of a store, and write what they say of them.

    Args:
        pipeline: The queries.
        output: The folder.
        options: What to write; overlays are not drawn, whatever it says of them.
        progress: Where to report.

    Raises:
        UsageError: The folder holds results of another image of the same name.
        IntegrityError: The store is damaged.
        StorageError: The folder cannot be written.
    """
    options = replace(options or Options(), overlays=False)
    progress = progress or Silent()
    check_writable(output)
    journal = Journal(output, "summary", Row, key_of)
    rows = journal.rows
    jobs = _jobs(pipeline.store)
    owners = {stem: row.image for row in rows.values() for stem in row.stems}
    check_owners(jobs.values(), lambda job: owners.get(job.stem), output)
    origins = {entry.image: _origin(pipeline, entry) for entry in pipeline.store}
    todo = {
        image
        for image, job in jobs.items()
        if options.force or not _is_done(job, rows, pipeline, origins[image], output, options)
    }
    with one_thread():
        results = pipeline.results(todo)
        for entry, result in progress.steps(results, what="segmenting", total=len(todo)):
            job, origin = jobs[entry.image], origins[entry.image]
            journal.add(write(result, job, origin, output, options))
    return Outcome(rows=journal.end(), done=len(todo), skipped=len(jobs) - len(todo), failed={})


def _jobs(store: Store) -> dict[str, Job]:
    """Name each image's files: by the stem it was given; where several have it, by place too."""
    counts = Counter(entry.stem for entry in store)
    return {
        entry.image: Job(
            image=Path(entry.image),
            stem=entry.stem
            if counts[entry.stem] == 1
            else f"{entry.stem}_{bytes_digest(os.fsencode(entry.image))[:8]}",
        )
        for entry in store
    }


def _origin(pipeline: StoredPipeline, entry: Entry) -> Origin:
    contents = pipeline.store.contents
    return Origin(
        image_sha256=entry.sha256,
        weights_digest=contents.weights_digest,
        preprocessing_digest=contents.backbone.preprocessing_digest,
        engine=f"{contents.engine}, float16 tokens",
    )


def _is_done(
    job: Job,
    rows: Mapping[Key, Row],
    pipeline: StoredPipeline,
    origin: Origin,
    output: Path,
    options: Options,
) -> bool:
    """Whether an earlier run has applied these very queries to this image, and its files exist."""
    manifests = {name: query.manifest for name, query in pipeline.queries.items()}
    found = written(
        job, rows, manifests, output, options, made_so=lambda row: _origin_of(row) == origin
    )
    return found is not None


def _origin_of(row: Row) -> Origin:
    members = {field.name: getattr(row, field.name) for field in fields(Origin)}
    return Origin(**members)
