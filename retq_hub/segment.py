"""Segment many images into a folder of files; a second run carries on where the first stopped.

For each image and query a mask at the image's own size, on request the probability, for each image
an overlay, and for all of them ``summary.csv`` and ``summary.jsonl``. A line of the latter is
written once an image's files are there: it is what a second run goes by.
"""

import io
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from retq_hub.digest import bytes_digest, file_digest
from retq_hub.errors import ImageError, NotFoundError, UsageError, storage_errors
from retq_hub.images import SUFFIXES, decode, image_files
from retq_hub.overlay import overlay
from retq_hub.pipeline import Pipeline
from retq_hub.progress import Progress, Silent
from retq_hub.result import AREA_PX, Segmentation
from retq_hub.storage import whole_file, write_text
from retq_hub.summary import Key, Row, as_csv, as_lines, key_of, read_journal

__all__ = ["Job", "Options", "Outcome", "find_images", "segment"]

_COMPONENT_PX = 1024
"""Longer side at which the largest component is looked for."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """An image to segment, and the name its files begin with, relative to the output folder."""

    image: Path
    stem: str


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to write.

    Attributes:
        probability: ``npy``: float32 of the image's size; ``png``: 16 bits, 65535 is certain.
        overlays: Whether to draw each image with its masks.
        force: Do again what is done.
    """

    probability: Literal["npy", "png"] | None = None
    overlays: bool = True
    force: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run did.

    Attributes:
        rows: The whole summary, of earlier runs too.
        done: Images segmented now.
        skipped: Images that were done before.
        failed: The reason for each image that could not be used.
    """

    rows: tuple[Row, ...]
    done: int
    skipped: int
    failed: dict[str, ImageError]


def find_images(arguments: Iterable[str]) -> list[Job]:
    """Expand files, folders and patterns to images.

    Raises:
        NotFoundError: There is no such file, or a folder or pattern has no images.
    """
    found: dict[Path, Path] = {}
    for argument in arguments:
        path = Path(argument).expanduser()
        if path.is_dir():
            inside = image_files(path)
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


def segment(
    pipeline: Pipeline,
    jobs: Sequence[Job],
    output: Path,
    *,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Segment images into a folder.

    Args:
        pipeline: The queries.
        jobs: The images, see `find_images`.
        output: The folder.
        options: What to write.
        progress: Where to report.

    Images that lie in the output folder are left out: they are results.

    Raises:
        UsageError: The folder holds all of the images, or results of another image of the same
            name.
        StorageError: The folder cannot be written.
    """
    options = options or Options()
    progress = progress or Silent()
    journal = output / "summary.jsonl"
    rows = read_journal(journal)
    inside = output.resolve()
    outside = [job for job in jobs if not job.image.resolve().is_relative_to(inside)]
    if jobs and not outside:
        raise UsageError(
            f"the images lie in the output folder, {output}", hint="name another output folder"
        )
    jobs = outside
    _check_owners(jobs, rows, output)
    todo = [
        job for job in jobs if options.force or not _is_done(job, rows, pipeline, output, options)
    ]
    failed: dict[str, ImageError] = {}
    for job in progress.steps(todo, what="segmenting", total=len(todo)):
        try:
            found = list(_one(pipeline, job, output, options))
        except ImageError as error:
            failed[str(job.image)] = error
            continue
        rows.update({key_of(row): row for row in found})
        with storage_errors(journal), journal.open("a", encoding="utf-8") as stream:
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


def _check_owners(jobs: Sequence[Job], rows: Mapping[Key, Row], output: Path) -> None:
    """Refuse to write over the masks of another image."""
    owners = {row.mask.rpartition(f"_{row.query}")[0]: row.image for row in rows.values()}
    for job in jobs:
        owner = owners.get(job.stem, str(job.image))
        if Path(owner).resolve() != job.image.resolve():
            raise UsageError(
                f"{output} has results of another {job.stem}: {owner}, not {job.image}",
                hint="name another output folder",
            )


def _one(pipeline: Pipeline, job: Job, output: Path, options: Options) -> Iterator[Row]:
    """Segment one image and write its files."""
    image = decode(job.image)
    digest = file_digest(job.image)
    result = pipeline(image).segmentations
    for name, found in result.items():
        masks = found.mask_at(*found.size)
        for number, target in enumerate(found.manifest.targets):
            marks = _file(job, name, target.name, len(masks))
            _save_png(masks[number].astype(np.uint8) * 255, output / f"{marks}_mask.png")
            if options.probability:
                _save_probability(found, number, output / f"{marks}_probability", options)
            mask = f"{marks}_mask.png"
            yield _row(job, name, found, number, mask, pipeline.backbone.weights_digest, digest)
    if options.overlays:
        _save(overlay(image, result), output / f"{job.stem}_overlay.jpg")


def _file(job: Job, query: str, target: str, count: int) -> str:
    return f"{job.stem}_{query}" if count == 1 else f"{job.stem}_{query}_{target}"


def _row(
    job: Job,
    name: str,
    found: Segmentation,
    number: int,
    mask: str,
    weights_digest: str,
    image_sha256: str,
) -> Row:
    manifest = found.manifest
    x, y = _centroid(found, number) or (None, None)
    highest = float(found.probability_at(AREA_PX, AREA_PX)[number].max())
    area = float(found.mask_at(AREA_PX, AREA_PX)[number].mean())
    return Row(
        image=str(job.image),
        query=name,
        target=manifest.targets[number].name,
        version=manifest.version,
        digest=manifest.digest,
        weights_digest=weights_digest,
        image_sha256=image_sha256,
        width=found.size[0],
        height=found.size[1],
        area=round(area, 6),
        centroid_x=x,
        centroid_y=y,
        max_probability=round(highest, 6),
        threshold=manifest.head.thresholds[number],
        mask=mask,
    )


def _centroid(found: Segmentation, number: int) -> tuple[float, float] | None:
    """Give the centroid of the largest 8-connected component, in pixels of the image."""
    from scipy import ndimage

    width, height = found.size
    scale = min(1.0, _COMPONENT_PX / max(width, height))
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    mask = found.mask_at(*small)[number]
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    if count == 0:
        return None
    largest = int(np.bincount(labels.ravel())[1:].argmax()) + 1
    y, x = ndimage.center_of_mass(labels == largest)
    return (
        round((x + 0.5) * width / small[0] - 0.5, 1),
        round((y + 0.5) * height / small[1] - 0.5, 1),
    )


def _save_probability(found: Segmentation, number: int, stem: Path, options: Options) -> None:
    probability = found.probability_at(*found.size)[number]
    if options.probability == "png":
        deep = np.rint(probability * 65535).astype(np.uint16)
        _save_png(deep, stem.with_name(stem.name + ".png"))
        return
    with (
        whole_file(stem.with_name(stem.name + ".npy")) as temporary,
        temporary.open("wb") as stream,
    ):
        np.save(stream, probability)


def _save_png(pixels: "np.ndarray[Any, Any]", path: Path) -> None:
    _save(Image.fromarray(pixels), path)


def _save(image: Image.Image, path: Path) -> None:
    with whole_file(path) as temporary:
        buffer = io.BytesIO()
        image.save(buffer, "PNG" if path.suffix == ".png" else "JPEG", **_SAVING[path.suffix])
        temporary.write_bytes(buffer.getbuffer())


_SAVING: dict[str, dict[str, Any]] = {
    ".png": {"compress_level": 3},
    ".jpg": {"quality": 92, "subsampling": 0},
}


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
    wanted = [f"{job.stem}_overlay.jpg"] if options.overlays else []
    for name, query in pipeline.queries.items():
        for target in query.manifest.targets:
            row = rows.get((str(job.image), name, target.name))
            if row is None or row.digest != query.manifest.digest:
                return False
            if row.weights_digest != pipeline.backbone.weights_digest:
                return False
            if row.image_sha256 != digest:
                return False
            wanted.append(row.mask)
            if options.probability:
                stem = row.mask.removesuffix("_mask.png")
                wanted.append(f"{stem}_probability.{options.probability}")
    return all((output / file).is_file() for file in wanted)
