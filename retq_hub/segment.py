"""Segment and grade many images into a folder; a second run carries on where the first stopped.

For each image the files of `retq_hub.outputs`, and for all of them ``summary.csv`` and
``summary.jsonl``. A line of the latter is written once an image's files are there: it is what a
second run goes by.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from retq_hub.digest import bytes_digest, file_digest
from retq_hub.errors import ImageError, NotFoundError, UsageError, storage_errors
from retq_hub.images import SUFFIXES, decode, image_files
from retq_hub.outputs import Job, Options, Origin, lacks, wanted, write
from retq_hub.pipeline import Pipeline
from retq_hub.progress import Progress, Silent
from retq_hub.storage import write_text
from retq_hub.summary import Key, Row, as_csv, as_lines, key_of, read_journal
from retq_hub.volumes import opening

__all__ = ["Job", "Options", "Outcome", "check_owners", "find_images", "outside", "segment"]


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
    short = Counter(name.with_suffix("") for name in found.values())
    whole = Counter(found.values())
    return [
        Job(image=path, stem=_stem(path, name, short[name.with_suffix("")], whole[name]))
        for path, name in found.items()
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
    found = [job for job in jobs if not job.image.resolve().is_relative_to(inside)]
    if jobs and not found:
        raise UsageError(
            f"the images lie in the output folder, {output}", hint="name another output folder"
        )
    return found


def segment(
    pipeline: Pipeline,
    jobs: Sequence[Job],
    output: Path,
    *,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Outcome[Row]:
    """Segment and grade images into a folder; those that lie in it are results, and left out.

    Args:
        pipeline: The queries.
        jobs: The images, see `find_images`.
        output: The folder.
        options: What to write.
        progress: Where to report.

    Raises:
        UsageError: The folder holds all of the images, or results of another image of the same
            name.
        StorageError: The folder cannot be written.
    """
    options = options or Options()
    progress = progress or Silent()
    journal = output / "summary.jsonl"
    rows = read_journal(journal)
    jobs = outside(jobs, output)
    owners = {stem: row.image for row in rows.values() for stem in row.stems}
    check_owners(jobs, lambda job: owners.get(job.stem), output)
    todo = [
        job for job in jobs if options.force or not _is_done(job, rows, pipeline, output, options)
    ]
    failed: dict[str, ImageError] = {}
    for job in progress.steps(todo, what="segmenting", total=len(todo)):
        try:
            found = _one(pipeline, job, output, options)
        except ImageError as error:
            failed[str(job.image)] = error
            continue
        rows.update({key_of(row): row for row in found})
        with storage_errors(journal):
            output.mkdir(parents=True, exist_ok=True)
            with journal.open("a", encoding="utf-8") as stream:
                stream.write(as_lines(found))
    if rows:
        write_text(journal, as_lines(rows.values()))
        write_text(output / "summary.csv", as_csv(rows.values()))
    return Outcome(
        rows=tuple(rows.values()),
        done=len(todo) - len(failed),
        skipped=len(jobs) - len(todo),
        failed=failed,
    )


def _one(pipeline: Pipeline, job: Job, output: Path, options: Options) -> list[Row]:
    """Segment one image and write its files."""
    image = decode(job.image)
    result = pipeline(image)
    origin = Origin.of(pipeline.backbone, file_digest(job.image))
    picture = image if options.overlays else None
    return write(result, job, origin, output, options, image=picture)


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
        owner = owner_of(job) or str(job.image)
        if Path(owner).resolve() != job.image.resolve():
            raise UsageError(
                f"{output} has results of another {job.stem}: {owner}, not {job.image}",
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
    try:
        digest = file_digest(job.image)
    except OSError:
        return False
    found: list[Row] = []
    for name, query in pipeline.queries.items():
        for target in query.manifest.targets:
            row = rows.get((str(job.image), name, target.name))
            if row is None or row.digest != query.manifest.digest:
                return False
            if row.weights_digest != pipeline.backbone.weights_digest:
                return False
            if row.image_sha256 != digest:
                return False
            if row.preprocessing_digest not in (None, pipeline.backbone.spec.preprocessing_digest):
                return False
            if lacks(row, query.manifest, options):
                return False
            found.append(row)
    return all((output / file).is_file() for file in wanted(job, found, options))
