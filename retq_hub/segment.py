"""Segment and grade many images into a folder; a second run carries on where the first stopped.

For each image the files of `retq_hub.outputs`, and for all of them ``summary.csv`` and
``summary.jsonl``. A line of the latter is written once an image's files are there: it is what a
second run goes by.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

from PIL import Image

from retq_hub import objects
from retq_hub.backbone import Backbone
from retq_hub.digest import bytes_digest, file_digest
from retq_hub.errors import ImageError, NotFoundError, UsageError
from retq_hub.heatmap import photograph
from retq_hub.images import SUFFIXES, image_files
from retq_hub.journal import Journal
from retq_hub.outputs import Job, Options, Origin, write, written
from retq_hub.overlay import MAX_SIDE_PX
from retq_hub.photograph import Photograph
from retq_hub.pipeline import Pipeline
from retq_hub.pools.threads import Done, Stages, flow
from retq_hub.preparation import Prepared
from retq_hub.progress import Progress, Silent
from retq_hub.result import Result
from retq_hub.summary import Key, Row, key_of
from retq_hub.volumes import opening

__all__ = [
    "Job",
    "Options",
    "Outcome",
    "Ready",
    "Way",
    "Work",
    "check_owners",
    "find_images",
    "in_threads",
    "named",
    "outside",
    "segment",
]


R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Outcome(Generic[R]):
    """What a run over images or volumes did.

    Attributes:
        rows: The whole summary, of earlier runs too.
        done: So many were segmented now.
        skipped: So many were done before.
        failed: The reason for each that could not be used.
    """

    rows: tuple[R, ...]
    done: int
    skipped: int
    failed: dict[str, ImageError]


def find_images(arguments: Iterable[str], *, volume: bool = False) -> list[Job]:
    """Expand files, folders and patterns to images and volumes.

    Args:
        arguments: What the user named.
        volume: Take each folder for a volume, not for a folder of images.

    Raises:
        NotFoundError: There is no such file, or a folder or pattern has no images.
    """
    found: dict[Path, Path] = {}
    for argument in arguments:
        path = Path(argument).expanduser()
        if path.is_dir() and volume:
            found[path] = Path(path.resolve().name)
        elif path.is_dir():
            inside = image_files(path, (*SUFFIXES, *opening.SUFFIXES))
            if not inside:
                raise NotFoundError(
                    f"{path} has no images", hint=f"they end in {', '.join(SUFFIXES)}"
                )
            found.update({one: one.relative_to(path) for one in inside})
        elif path.exists():
            found[path] = Path(path.name)
        elif matches := _matches(path):
            found.update({one: Path(one.name) for one in matches})
        else:
            raise NotFoundError(f"there is no image {argument}", hint="check the path")
    return named(found)


def named(images: Mapping[Path, Path]) -> list[Job]:
    """Name what the files of images begin with.

    Args:
        images: Names of images, relative to what the user named, by their paths.
    """
    short = Counter(name.with_suffix("") for name in images.values())
    whole = Counter(images.values())
    return [
        Job(image=path, stem=_stem(path, name, short[name.with_suffix("")], whole[name]))
        for path, name in images.items()
    ]


def _stem(path: Path, name: Path, n_short: int, n_whole: int) -> str:
    """Name an image's files: by its stem; where several have it, by name; then by place too."""
    if n_short == 1:
        return str(name.with_suffix(""))
    if n_whole == 1:
        return str(name)
    place = bytes_digest(os.fsencode(path.resolve()))[:8]
    return f"{name.with_suffix('')}_{place}"


def _matches(pattern: Path) -> list[Path]:
    """Expand a pattern that the shell left alone."""
    root = Path(pattern.anchor)
    inner = str(pattern.relative_to(root)) if pattern.anchor else str(pattern)
    try:
        return sorted(path for path in root.glob(inner) if path.is_file())
    except ValueError:
        return []


def outside(jobs: Sequence[Job], output: Path) -> list[Job]:
    """Leave out what lies in the output folder: it is a result.

    Raises:
        UsageError: All of it does.
    """
    inside = output.resolve()
    found = [
        job for job in jobs if job.url is not None or not job.image.resolve().is_relative_to(inside)
    ]
    if jobs and not found:
        raise UsageError(
            f"the images lie in the output folder, {output}", hint="name another output folder"
        )
    return found


@dataclass(frozen=True)
class Ready:
    """An image between the stages.

    Attributes:
        prepared: For the backbone.
        digest: SHA-256 of its file.
        picture: What an overlay is drawn on; None where there is none.
    """

    prepared: Prepared
    digest: str
    picture: Image.Image | None


@dataclass(frozen=True)
class Work:
    """What is done with each image, stage by stage.

    Attributes:
        pipeline: The queries.
        output: The folder for the results.
        options: What to write.
    """

    pipeline: Pipeline
    output: Path
    options: Options

    def prepare(self, job: Job) -> Ready:
        """Read the file once: what is hashed is what is decoded."""
        content = objects.read(job.location)
        decoding = self.pipeline.backbone.spec.preprocessing.decoding
        image = Photograph.from_bytes(content, job.location, decoding=decoding)
        prepared, picture = self.pipeline.prepare(image), None
        if self.options.overlays:
            scale = min(1, MAX_SIDE_PX / max(image.size))
            large = image.at_least(*(scale * side for side in image.size))
            picture = photograph(large, MAX_SIDE_PX)
        return Ready(prepared, bytes_digest(content), picture)

    def apply(self, some: Sequence[Ready]) -> list[tuple[Ready, Result]]:
        """Run the backbone and all queries."""
        results = self.pipeline.apply([one.prepared for one in some])
        return list(zip(some, results, strict=True))

    def finish(self, job: Job, applied: tuple[Ready, Result]) -> list[Row]:
        """Write the image's files."""
        ready, result = applied
        origin = Origin.of(self.pipeline.backbone, ready.digest)
        return write(result, job, origin, self.output, self.options, image=ready.picture)


Way: TypeAlias = Callable[[Work, Sequence[Job]], Iterator[Done[Job, list[Row], ImageError]]]
"""How the work is done: gives what became of each job, in their order."""


def in_threads(work: Work, jobs: Sequence[Job]) -> Iterator[Done[Job, list[Row], ImageError]]:
    """Do the work in threads of this process, as `retq_hub.pools.threads.flow` does."""
    stages = Stages(prepare=work.prepare, apply=work.apply, finish=work.finish)
    return flow(jobs, stages, crew=work.pipeline.crew(), kept=ImageError)


def segment(
    pipeline: Pipeline,
    jobs: Sequence[Job],
    output: Path,
    *,
    options: Options | None = None,
    progress: Progress | None = None,
    way: Way | None = None,
) -> Outcome[Row]:
    """Segment and grade images into a folder; those that lie in it are results, and left out.

    Args:
        pipeline: The queries.
        jobs: The images, see `find_images`.
        output: The folder.
        options: What to write.
        progress: Where to report.
        way: How the work is done; in threads of this process if not given.

    Raises:
        UsageError: The folder holds all of the images, or results of another image of the same
            name.
        StorageError: The folder cannot be written.
    """
    options = options or Options()
    progress = progress or Silent()
    journal = Journal(output, "summary", Row, key_of)
    rows = journal.rows
    jobs = outside(jobs, output)
    owners = {stem: row.image for row in rows.values() for stem in row.stems}
    check_owners(jobs, lambda job: owners.get(job.stem), output)
    todo = [
        job for job in jobs if options.force or not _is_done(job, rows, pipeline, output, options)
    ]
    failed: dict[str, ImageError] = {}
    work = Work(pipeline, output, options)
    outcomes = (way or in_threads)(work, todo)
    for one in progress.steps(outcomes, what="segmenting", total=len(todo)):
        if one.error is not None:
            failed[one.item.location] = one.error
            continue
        journal.add(one.result or [])
    return Outcome(
        rows=journal.end(),
        done=len(todo) - len(failed),
        skipped=len(jobs) - len(todo),
        failed=failed,
    )


def check_owners(jobs: Iterable[Job], owner_of: Callable[[Job], str | None], output: Path) -> None:
    """Refuse to write over the results of another image or volume.

    Args:
        jobs: What is to be segmented.
        owner_of: Gives what the results were made of that a job would write over, if there are any.
        output: The folder of the results.

    Raises:
        UsageError: It was something else.
    """
    for job in jobs:
        owner = owner_of(job) or job.location
        if owner != job.location and Path(owner).resolve() != job.image.resolve():
            raise UsageError(
                f"{output} has results of another {job.stem}: {owner}, not {job.location}",
                hint="name another output folder",
            )


def _is_done(
    job: Job,
    rows: dict[Key, Row],
    pipeline: Pipeline,
    output: Path,
    options: Options,
) -> bool:
    """Whether an earlier run has segmented this image with these very queries."""
    manifests = {name: query.manifest for name, query in pipeline.queries.items()}
    made_so = partial(_is_of, backbone=pipeline.backbone)
    found = written(job, rows, manifests, output, options, made_so=made_so)
    if found is None:
        return False
    if job.url is not None:
        return True
    try:
        digest = file_digest(job.image)
    except OSError:
        return False
    return all(row.image_sha256 == digest for row in found)


def _is_of(row: Row, backbone: Backbone) -> bool:
    """Whether a row comes from this very backbone; older ones do not say all of it."""
    here = Origin.of(backbone, row.image_sha256)
    return (
        row.weights_digest == here.weights_digest
        and row.preprocessing_digest in (None, here.preprocessing_digest)
        and row.engine in (None, here.engine)
    )
