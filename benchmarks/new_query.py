"""A new query over cached images: from stored tokens against through the backbone.

    python benchmarks/new_query.py [--images 1000] [--photographs 20] [--json] [--quick]

IDRiD's photographs pass through the backbone once (`retq embed`); their rows are then repeated
under other names until the store has so many images, each with bytes of its own on the disk. In
each round some photographs are segmented with the backbone (decoding, backbone, rows) and all
images of the store without it (opening the store, check sums, products, rows), areas only; the
ratio is of seconds an image. Loading the backbone's weights and PyTorch counts for neither.
"""

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from ab import Comparison, Report, compare, data_folder, main

from retq_hub.outputs import Job, Options
from retq_hub.pipeline import Pipeline
from retq_hub.preparation import Needs
from retq_hub.segment import find_images, segment
from retq_hub.store.answers import segment_store
from retq_hub.store.contents import Contents
from retq_hub.store.intake import embed, holding
from retq_hub.store.pipeline import StoredPipeline
from retq_hub.store.store import Store
from retq_hub.store.writer import Writer

QUERIES = {
    "one layer, bilinear (idrid-disc 1.0.0)": "idrid-disc@1.0.0",
    "one layer and pixel channels, guided filter (idrid-disc 1.1.0)": "idrid-disc@1.1.0",
    "three layers (idrid-lesions 1.0.0)": "idrid-lesions@1.0.0",
}
TARGET = 200
AREAS = Options(masks=False, overlays=False)


def measure(options: argparse.Namespace) -> Report:
    n_images = 60 if options.quick else options.images
    n_photographs = 6 if options.quick else options.photographs
    rounds = 2 if options.quick else 5
    files = sorted(data_folder().joinpath("IDRiD").rglob("*.jpg"))[:n_photographs]
    jobs = find_images([str(file) for file in files])
    report = Report(
        "A new query over cached images",
        what="Areas of a query by `retq segment --areas`: from a store that `retq embed` filled, "
        "against through the backbone (float32, PyTorch).",
        how=f"{n_images:,} stored images, made of {len(jobs)} photographs of 4288 x 2848 pixels "
        f"under other names, and those photographs (a fifth of them for all but the first query) "
        f"through the backbone, in {rounds} rounds that take turns. Seconds an image; opening the "
        "store counts, loading PyTorch and weights for neither.",
    )
    pipelines = {
        title: Pipeline.from_pretrained([name], embed=False) for title, name in QUERIES.items()
    }
    backbone = next(iter(pipelines.values())).backbone
    manifests = [query.manifest for one in pipelines.values() for query in one.queries.values()]
    deviations = []
    with tempfile.TemporaryDirectory(prefix="retq-") as scratch:
        folder = Path(scratch)
        embed(backbone, jobs, folder / "few", Needs.of(manifests, embed=True))
        few = Store(folder / "few")
        for number, (title, pipeline) in enumerate(pipelines.items()):
            repeat(few, holding(backbone, pipeline.needs), folder / "many", n_images)
            some = jobs if number == 0 else jobs[: max(rounds, len(jobs) // 5)]
            found = turns(pipeline, some, folder, n_images, rounds)
            report.add_times(found, against="backbone", caption=f"{title}:")
            if number == 0:
                ratio = found.ratio("backbone", "store")
                report.add_target("times as fast as the backbone", ratio, at_least=TARGET)
            deviations.append((title, *deviation(pipeline, few, jobs)))
            shutil.rmtree(folder / "many")
    report.add_table(
        ("", "greatest logit deviation", "pixels marked otherwise, per million"),
        [(title, f"{logits:.2g}", f"{pixels:.2g}") for title, logits, pixels in deviations],
        caption="Float16 tokens beside the backbone's, at the photographs' size:",
    )
    report.notes.append(
        "Stored images are read from memory once the operating system has them there; from a disk, "
        "600 kB an image and layer are to be read first."
    )
    return report


def repeat(few: Store, contents: Contents, folder: Path, count: int) -> None:
    """Make a store of so many images with the rows of few."""
    whole = [(entry, few.rows(entry.image)) for entry in few]
    with Writer(folder, contents) as writer:
        for number, (entry, rows) in enumerate(islice(cycle(whole), count)):
            own = {name: rows[name] for name in contents.tensors}
            name = f"{number:06d}"
            writer.add(replace(entry, image=f"archive/{name}.jpg", stem=name), own)


def turns(
    pipeline: Pipeline, jobs: Sequence[Job], folder: Path, n_images: int, rounds: int
) -> Comparison:
    """Let backbone and store take turns; seconds an image."""
    n_each = len(jobs) // rounds
    parts = iter([jobs[:1], *(jobs[n : n + n_each] for n in range(0, len(jobs), n_each))])

    def backbone() -> None:
        segment(pipeline, next(parts), fresh(folder / "a"), options=AREAS)

    def store() -> None:
        stored = StoredPipeline(Store(folder / "many"), pipeline.queries)
        segment_store(stored, fresh(folder / "b"), options=AREAS)

    found = compare({"backbone": backbone, "store": store}, repeat=rounds)
    return Comparison(
        {
            "backbone": [one / n_each for one in found.samples["backbone"]],
            "store": [one / n_images for one in found.samples["store"]],
        }
    )


def fresh(folder: Path) -> Path:
    """Give an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def deviation(pipeline: Pipeline, few: Store, jobs: Sequence[Job]) -> tuple[float, float]:
    """Compare with the backbone: the greatest deviation of a logit, and the mask's pixels."""
    stored = StoredPipeline(few, pipeline.queries)
    (name,) = pipeline.queries
    worst, differing, total = 0.0, 0, 0
    for job in jobs[:8]:
        ours, theirs = stored(str(job.image))[name], pipeline(job.image)[name]
        worst = max(worst, float(np.abs(ours.logits - theirs.logits).max()))
        differing += int((ours.mask != theirs.mask).sum())
        total += ours.mask.size
    return worst, 1e6 * differing / total


if __name__ == "__main__":
    described = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    described.add_argument("--images", type=int, default=1000)
    described.add_argument("--photographs", type=int, default=20)
    main(measure, described)
