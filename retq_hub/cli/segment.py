"""``retq segment``: apply queries to images and write masks."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from retq_hub.cli.archive_options import (
    Archiving,
    archive_options,
    print_archived,
    tell_failures,
)
from retq_hub.cli.areas_options import areas_option, check_areas
from retq_hub.cli.console import BarProgress, print_json, print_table
from retq_hub.cli.decoding_options import decoding_option
from retq_hub.cli.options import json_option
from retq_hub.cli.volumes import print_volumes, volume_document
from retq_hub.errors import UsageError

if TYPE_CHECKING:
    from retq_hub.archives.run import Archived
    from retq_hub.outputs import Options
    from retq_hub.pipeline import Pipeline
    from retq_hub.segment import Outcome
    from retq_hub.summary import Line, Row

__all__ = ["HEADINGS", "WRAPPED", "cells", "segment_command"]

HEADINGS = ("image", "query", "target", "area", "probability")
WRAPPED = ("image", "query", "target")
_SHOWN = 20


@click.command("segment")
@click.argument("images", nargs=-1, required=True)
@click.option("-q", "--query", "queries", multiple=True, help="A query; repeatable.")
@click.option("--lock", help="Instead: all queries of a lock, exactly as they are pinned.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder for the results."
)
@click.option(
    "--probability",
    type=click.Choice(["npy", "png"]),
    help="Also write probabilities: float32 .npy or 16-bit PNG.",
)
@areas_option
@click.option("--overlay/--no-overlay", default=True, help="Draw each image with what was found.")
@click.option("--volume", is_flag=True, help="Folders are volumes, one slice an image.")
@click.option("--force", is_flag=True, help="Do again what is done.")
@click.option("--backbone", help="Use this backbone instead of the queries' own.")
@click.option("--allow-mismatch", is_flag=True, help="Even if made for another backbone.")
@archive_options
@decoding_option
@json_option
def segment_command(
    images: tuple[str, ...],
    queries: tuple[str, ...],
    lock: str | None,
    output: Path,
    probability: Literal["npy", "png"] | None,
    areas: bool,
    overlay: bool,
    volume: bool,
    force: bool,
    backbone: str | None,
    allow_mismatch: bool,
    archiving: Archiving,
    decoding: str | None,
    as_json: bool,
) -> None:
    """Segment and grade IMAGES: files, folders, patterns, volumes, lists, URLs.

    Done ones are skipped on a second run.
    """
    _check_one(queries, lock, backbone, allow_mismatch)
    archiving.check(volume=volume, probability=probability)
    from retq_hub.segment import Options, find_images, segment
    from retq_hub.volumes.run import divide, segment_volumes

    progress = BarProgress()
    options = Options(
        masks=not areas, probability=probability, overlays=overlay and not areas, force=force
    )
    load = partial(_pipeline, queries, lock, backbone, allow_mismatch, decoding, progress)
    if archiving.is_meant(images):
        check_areas(areas, probability=probability, volumes=False)
        _archive(archiving, images, output, options, load, progress, as_json=as_json)
        return
    jobs, scans = divide(find_images(images, volume=volume), output)
    check_areas(areas, probability=probability, volumes=bool(scans))
    pipeline = load(embed=False)
    done = segment(pipeline, jobs, output, options=options, progress=progress)
    scanned = segment_volumes(pipeline, scans, output, options=options, progress=progress)
    failed = done.failed | scanned.failed
    for error in failed.values():
        progress.note(f"retq: {error}")
    if as_json:
        print_json(
            _document(done, output) | ({"volumes": volume_document(scanned)} if scans else {})
        )
    else:
        if jobs:
            _print_images(done, output)
        if scans:
            print_volumes(scanned, output)
    if failed:
        used = done.done + done.skipped + scanned.done + scanned.skipped
        raise SystemExit(1 if used else list(failed.values())[-1].exit_code)


def _archive(
    archiving: Archiving,
    images: tuple[str, ...],
    output: Path,
    options: "Options",
    load: "Callable[..., Pipeline]",
    progress: BarProgress,
    *,
    as_json: bool,
) -> None:
    """Segment an archive, and print what was done."""
    from retq_hub.archives.filing import file_images
    from retq_hub.archives.run import run

    sources = archiving.sources(images, output)
    pipeline = load(embed=archiving.embeddings)
    cluster = archiving.cluster(pipeline, progress)
    found: Archived | Outcome[Row]
    if archiving.form == "parquet":
        found = archived = run(
            pipeline,
            sources,
            output,
            cluster=cluster,
            masks=options.masks,
            embeddings=archiving.embeddings,
            force=options.force,
            progress=progress,
        )
        print_archived(archived, output, as_json=as_json)
    else:
        found = done = file_images(
            pipeline, sources, output, options=options, cluster=cluster, progress=progress
        )
        if as_json:
            print_json(_document(done, output))
        else:
            _print_images(done, output)
    tell_failures(found.failed, found.done + found.skipped, output, progress)


def _document(done: "Outcome[Row]", output: Path) -> dict[str, Any]:
    """Give what was found in images for ``--json``."""
    return {
        "output": str(output),
        "done": done.done,
        "skipped": done.skipped,
        "failed": {image: error.found for image, error in done.failed.items()},
        "rows": [asdict(row) for row in done.rows],
    }


def _print_images(done: "Outcome[Row]", output: Path) -> None:
    """Print what was found in images, the first lines of it."""
    from retq_hub.summary import told

    lines = told(done.rows)
    if lines:
        print_table(HEADINGS, [cells(one) for one in lines[:_SHOWN]], wrap=WRAPPED, right=2)
    more = f", the first {_SHOWN} lines are above" if len(lines) > _SHOWN else ""
    see = f"; see {output / 'summary.csv'}" if done.rows else ""
    click.echo(
        f"{done.done} segmented, {done.skipped} done before, {len(done.failed)} failed{more}{see}"
    )


def cells(line: "Line") -> tuple[str, ...]:
    """Give the cells of a line of the table of what was found."""
    area = "whole image" if line.area is None else f"{line.area:.2%}"
    return Path(line.image).name, line.query, line.target, area, f"{line.probability:.3f}"


def _check_one(
    queries: tuple[str, ...], lock: str | None, backbone: str | None, allow_mismatch: bool
) -> None:
    """Refuse neither queries nor a lock, both, and what a lock has decided already."""
    if (lock is None) == (not queries):
        raise UsageError("name queries with -q, or a lock with --lock", hint="one of the two")
    if lock is not None and (backbone or allow_mismatch):
        raise UsageError(
            "a lock pins its backbone", hint="leave --backbone and --allow-mismatch out"
        )


def _pipeline(
    queries: tuple[str, ...],
    lock: str | None,
    backbone: str | None,
    allow_mismatch: bool,
    decoding: str | None,
    progress: BarProgress,
    *,
    embed: bool,
) -> "Pipeline":
    """Load the queries that are named, or the lock's, and say what is to be known of them."""
    from retq_hub.pipeline import Pipeline

    if lock is None:
        pipeline = Pipeline.from_pretrained(
            queries,
            backbone=backbone,
            allow_mismatch=allow_mismatch,
            embed=embed,
            decoding=decoding,
            progress=progress,
        )
    else:
        pipeline = Pipeline.from_lock(lock, embed=embed, decoding=decoding, progress=progress)
    for note in pipeline.notes:
        progress.note(note)
    return pipeline
