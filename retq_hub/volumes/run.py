"""Segment volumes into a folder of files; a second run carries on with the next volume.

For each volume and target a multi-frame TIFF with a mask for each slice, on request the
probabilities; for each volume a table of its slices and a contact sheet; for all of them
``volumes.csv`` and ``volumes.jsonl``. A line of the latter is written once a volume's files are
there: it is what a second run goes by. Slices are done one at a time, whatever their number.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from retq_hub.errors import ImageError
from retq_hub.journal import Journal
from retq_hub.kinds import CLASSIFICATION
from retq_hub.manifest import QueryManifest
from retq_hub.pipeline import Pipeline
from retq_hub.progress import Progress, Silent
from retq_hub.segment import Job, Options, Outcome, check_owners, outside
from retq_hub.storage import whole_file, write_text
from retq_hub.summary import as_csv
from retq_hub.volumes.montage import Montage
from retq_hub.volumes.opening import content_digest, is_volume
from retq_hub.volumes.stackfile import Writer, mask_file, probability_file
from retq_hub.volumes.table import (
    Origin,
    SliceRow,
    VolumeKey,
    VolumeRow,
    key_of,
    slice_rows,
    volume_rows,
)
from retq_hub.volumes.tally import Maps, Tally
from retq_hub.volumes.volume import Volume

__all__ = ["divide", "segment_volumes"]


def divide(jobs: Sequence[Job], output: Path) -> tuple[list[Job], list[Job]]:
    """Tell images from volumes; what lies in the output folder is a result, and left out.

    Args:
        jobs: Files, and folders that are volumes; see `retq_hub.segment.find_images`.
        output: The folder for the results.

    Returns:
        Images and volumes.

    Raises:
        UsageError: All of them lie in the output folder.
    """
    images: list[Job] = []
    volumes: list[Job] = []
    for job in outside(jobs, output):
        scan = job.image.is_dir() or is_volume(job.image)
        (volumes if scan else images).append(job)
    return images, volumes


def segment_volumes(
    pipeline: Pipeline,
    jobs: Sequence[Job],
    output: Path,
    *,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Outcome[VolumeRow]:
    """Segment volumes into a folder.

    Args:
        pipeline: The queries.
        jobs: The volumes, see `divide`.
        output: The folder.
        options: What to write. Probabilities as ``npy`` are one float32 array (n, H, W), as
            ``png`` a multi-frame TIFF of 16 bits.
        progress: Where to report.

    Raises:
        UsageError: The folder holds results of another volume of the same name; or one is DICOM
            and pydicom is missing.
        StorageError: The folder cannot be written.
    """
    options, progress = options or Options(), progress or Silent()
    journal = Journal(output, "volumes", VolumeRow, key_of)
    rows = journal.rows
    owners = {row.table: row.volume for row in rows.values()}
    check_owners(jobs, lambda job: owners.get(_table(job)), output)
    todo = [
        job for job in jobs if options.force or not _is_done(job, rows, pipeline, output, options)
    ]
    failed: dict[str, ImageError] = {}
    said: set[str] = set()
    for job in progress.steps(todo, what="volumes", total=len(todo)):
        try:
            scan = pipeline.volume(job.image)
            for note in (one for one in scan.notes if one not in said):
                progress.note(note)
            said.update(scan.notes)
            journal.add(_one(pipeline, scan.volume, _Files(job, output, options), progress))
        except ImageError as error:
            failed[str(job.image)] = error
    return Outcome(
        rows=journal.end(),
        done=len(todo) - len(failed),
        skipped=len(jobs) - len(todo),
        failed=failed,
    )


def _one(
    pipeline: Pipeline, volume: Volume, files: "_Files", progress: Progress
) -> list[VolumeRow]:
    """Segment one volume and write its files."""
    origin = Origin(
        volume=str(files.job.image),
        volume_sha256=content_digest(files.job.image),
        weights_digest=pipeline.backbone.weights_digest,
        slices=len(volume),
        width=volume.size[0],
        height=volume.size[1],
        table=_table(files.job),
    )
    tallies = {name: Tally(query.manifest, volume) for name, query in pipeline.queries.items()}
    montage = Montage(volume) if files.options.overlays else None
    slices = progress.steps(enumerate(volume), what=volume.path.name, total=len(volume))
    with ExitStack() as stack:
        writers = {
            name: files.opened(stack, name, tally.manifest, volume)
            for name, tally in tallies.items()
        }
        for index, image in slices:
            result = pipeline(image)
            for name, tally in tallies.items():
                _write(tally.take(result[name]), writers[name])
            if montage is not None:
                montage.add(index, image, result)
    if montage is not None:
        with whole_file(files.output / _sheet(files.job)) as temporary:
            montage.picture(tallies).save(temporary, "JPEG", quality=92, subsampling=0)
    parts = [row for name, tally in tallies.items() for row in slice_rows(origin, name, tally)]
    write_text(files.output / origin.table, as_csv(parts, SliceRow))
    return [
        row
        for name, tally in tallies.items()
        for row in volume_rows(origin, name, tally, _masks(files.job, name, tally.manifest))
    ]


def _write(maps: Maps | None, writers: Sequence[Sequence[Writer]]) -> None:
    """Write the maps of a slice, each target's into its own files."""
    if maps is not None:
        for mask, probability, files in zip(*maps, writers, strict=True):
            for write in files:
                write(mask, probability)


@dataclass(frozen=True)
class _Files:
    """The files of one volume's maps."""

    job: Job
    output: Path
    options: Options

    def opened(
        self, stack: ExitStack, query: str, manifest: QueryManifest, volume: Volume
    ) -> list[list[Writer]]:
        """Open the files of each target of a query."""
        shape = (len(volume), volume.size[1], volume.size[0])
        found: list[list[Writer]] = []
        for mask in filter(None, _masks(self.job, query, manifest)):
            writers = [stack.enter_context(mask_file(self.output / mask))]
            if probability := _probability(mask, self.options):
                path = self.output / probability
                writers.append(stack.enter_context(probability_file(path, shape)))
            found.append(writers)
        return found


def _masks(job: Job, query: str, manifest: QueryManifest) -> list[str | None]:
    """Name the file of each target's masks; none for what marks nothing."""
    if manifest.is_kind(CLASSIFICATION):
        return [None] * len(manifest.targets)
    if len(manifest.targets) == 1:
        return [f"{job.stem}_{query}_mask.tif"]
    return [f"{job.stem}_{query}_{target.name}_mask.tif" for target in manifest.targets]


def _probability(mask: str, options: Options) -> str | None:
    """Name the file of a target's probabilities by that of its masks."""
    if options.probability is None:
        return None
    ending = "npy" if options.probability == "npy" else "tif"
    return f"{mask.removesuffix('_mask.tif')}_probability.{ending}"


def _table(job: Job) -> str:
    return f"{job.stem}_slices.csv"


def _sheet(job: Job) -> str:
    return f"{job.stem}_overview.jpg"


def _is_done(
    job: Job,
    rows: Mapping[VolumeKey, VolumeRow],
    pipeline: Pipeline,
    output: Path,
    options: Options,
) -> bool:
    """Whether an earlier run has segmented this volume with these very queries."""
    try:
        digest = content_digest(job.image)
    except (OSError, ImageError):
        return False
    weights_digest = pipeline.backbone.weights_digest
    wanted = [_table(job)] + ([_sheet(job)] if options.overlays else [])
    for name, query in pipeline.queries.items():
        manifest = query.manifest
        for target, mask in zip(manifest.targets, _masks(job, name, manifest), strict=True):
            row = rows.get((str(job.image), name, target.name))
            if row is None or (row.digest, row.weights_digest, row.volume_sha256) != (
                manifest.digest,
                weights_digest,
                digest,
            ):
                return False
            if mask:
                wanted += filter(None, (mask, _probability(mask, options)))
    return all((output / file).is_file() for file in wanted)
