"""``retq segment``: apply queries to images and write masks."""

from dataclasses import asdict
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
from retq_hub.cli.options import json_option
from retq_hub.cli.running_options import Running, running_options
from retq_hub.cli.sections import SectionedCommand
from retq_hub.cli.stored_options import check_given, from_tokens_option
from retq_hub.cli.volumes import print_volumes, volume_document

if TYPE_CHECKING:
    from retq_hub.archives.run import Archived
    from retq_hub.outputs import Options
    from retq_hub.segment import Outcome
    from retq_hub.summary import Line, Row

__all__ = ["HEADINGS", "WRAPPED", "cells", "segment_command"]

HEADINGS = ("image", "query", "target", "area", "probability")
WRAPPED = ("image", "query", "target")
_SHOWN = 20
_SECTIONS = {
    "Queries and images": (
        "queries",
        "lock",
        "backbone",
        "allow_mismatch",
        "volume",
        "from_tokens",
    ),
    "Results": (
        "output",
        "areas",
        "overlay",
        "probability",
        "form",
        "embeddings",
        "force",
        "as_json",
    ),
    "Speed": ("engine", "precision", "decoding", "pool", "address", "workers"),
}


@click.command("segment", cls=SectionedCommand, sections=_SECTIONS)
@click.argument("images", nargs=-1)
@from_tokens_option
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
@running_options
@archive_options
@json_option
def segment_command(
    images: tuple[str, ...],
    from_tokens: Path | None,
    output: Path,
    probability: Literal["npy", "png"] | None,
    areas: bool,
    overlay: bool,
    volume: bool,
    force: bool,
    running: Running,
    archiving: Archiving,
    as_json: bool,
) -> None:
    """Segment and grade IMAGES: files, folders, patterns, volumes, lists, URLs.

    Done ones are skipped on a second run. docs/engines.md, docs/speed.md and
    docs/archives.md say what makes it faster.
    """
    check_given(
        from_tokens, images, volume=volume, **running.beside_store, **archiving.beside_store
    )
    running.check()
    archiving.check(volume=volume, probability=probability)
    from retq_hub.outputs import Options

    check_areas(areas, probability=probability, volumes=False)
    drawn = overlay and not areas and from_tokens is None
    options = Options(masks=not areas, probability=probability, overlays=drawn, force=force)
    if from_tokens is not None:
        _stored(from_tokens, running, output, options, as_json=as_json)
    elif archiving.is_meant(images):
        _archive(archiving, images, running, output, options, as_json=as_json)
    else:
        _files(images, running, output, options, volume=volume, as_json=as_json)


def _files(
    images: tuple[str, ...],
    running: Running,
    output: Path,
    options: "Options",
    *,
    volume: bool,
    as_json: bool,
) -> None:
    """Segment images and volumes in this process, and print what was found."""
    from retq_hub.segment import find_images, segment
    from retq_hub.volumes.run import divide, segment_volumes

    progress = BarProgress()
    jobs, scans = divide(find_images(images, volume=volume), output)
    check_areas(not options.masks, probability=options.probability, volumes=bool(scans))
    pipeline = running.pipeline(progress)
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
    running: Running,
    output: Path,
    options: "Options",
    *,
    as_json: bool,
) -> None:
    """Segment an archive, and print what was done."""
    from retq_hub.archives.filing import file_images
    from retq_hub.archives.run import run

    progress = BarProgress()
    sources = archiving.sources(images, output)
    pipeline = running.pipeline(progress, embed=archiving.embeddings)
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
        _print(done, output, as_json=as_json)
    tell_failures(found.failed, found.done + found.skipped, output, progress)


def _stored(
    folder: Path, running: Running, output: Path, options: "Options", *, as_json: bool
) -> None:
    """Apply queries to what is stored, and print what was found."""
    from retq_hub.store.answers import segment_store

    progress = BarProgress()
    pipeline = running.stored(folder, progress)
    done = segment_store(pipeline, output, options=options, progress=progress)
    _print(done, output, as_json=as_json)


def _print(done: "Outcome[Row]", output: Path, *, as_json: bool) -> None:
    if as_json:
        print_json(_document(done, output))
    else:
        _print_images(done, output)


def _document(done: "Outcome[Row]", output: Path) -> dict[str, Any]:
    """Give what machines read of images."""
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
