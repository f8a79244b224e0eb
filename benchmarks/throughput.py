"""Photographs to masks on disk: the naive path against retq, in its precisions and decodings.

    python benchmarks/throughput.py [--images N] [--query NAME] [--tiled NAME] [--quick] [--json]

The naive path is that of RETFound-Green's README (`naive.py`). Photographs are IDRiD's test images,
4288 x 2848 pixels.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from ab import Comparison, Report, compare, data_folder, main
from naive import Naive, by_pillow, by_torchvision

from retq_hub.pipeline import Pipeline
from retq_hub.segment import Options, find_images, segment

FASTER = 5
FASTEST = {"engine": "auto", "precision": "auto"}
WAYS = {
    "retq": {},
    "retq, scaled decoding": {"decoding": "scaled"},
    "retq, fastest engine": FASTEST,
    "retq, fastest engine, scaled": {**FASTEST, "decoding": "scaled"},
}
BEST = list(WAYS)[-1]
PLAINEST = f"{BEST}, tokens alone"


def measure(options: argparse.Namespace) -> Report:
    files = photographs(2 if options.quick else options.images)
    naive = {
        "naive": Naive(options.query, by_pillow),
        "naive, torchvision's reader": Naive(options.query, by_torchvision),
    }
    with tempfile.TemporaryDirectory() as scratch:
        runs = {name: over(files, one, Path(scratch)) for name, one in naive.items()}
        used = []
        ways = {name: (options.query, how) for name, how in WAYS.items()}
        ways[PLAINEST] = (options.plain, WAYS[BEST])
        for number, (name, (query, how)) in enumerate(ways.items()):
            pipeline = Pipeline.from_pretrained([query], embed=False, **how)
            used.append(
                f"{name}: {pipeline.backbone.engine.name} {pipeline.backbone.engine.precision}"
            )
            runs[name] = ours(pipeline, files, Path(scratch) / str(number))
        found = compare(runs, repeat=2 if options.quick else 5, per=len(files))
        tiled = per_pass(options, files, Path(scratch))
    return reported(options, files, found, used, tiled)


def over(files: list[Path], naive: Naive, scratch: Path) -> Callable[[], None]:
    """Give a run of the naive path over photographs."""

    def run() -> None:
        for path in files:
            naive(path, scratch / f"{path.stem}.png")

    return run


def ours(pipeline: Pipeline, files: list[Path], output: Path) -> Callable[[], None]:
    """Give a run of `retq segment` over photographs: masks and summary, no overlays."""
    jobs = find_images(map(str, files))
    options = Options(overlays=False, force=True)

    def run() -> None:
        assert not segment(pipeline, jobs, output, options=options).failed

    return run


def per_pass(options: argparse.Namespace, files: list[Path], scratch: Path) -> Comparison:
    """Compare a query of one pass with one of tiles, seconds for each pass of an image."""
    runs, passes = {}, {}
    for name in (options.query, options.tiled):
        pipeline = Pipeline.from_pretrained([name], embed=False)
        passes[name] = sum(key.tiles**2 for key in pipeline.needs.plan)
        runs[name] = ours(pipeline, files[:2], scratch / name)
    found = compare(runs, repeat=1 if options.quick else 3, per=len(files[:2]))
    each = {name: [one / passes[name] for one in took] for name, took in found.samples.items()}
    return Comparison(each)


def photographs(number: int) -> list[Path]:
    """Give photographs of IDRiD's test split."""
    folder = data_folder() / "IDRiD/A. Segmentation/1. Original Images/b. Testing Set"
    return sorted(folder.glob("*.jpg"))[:number]


def reported(
    options: argparse.Namespace,
    files: list[Path],
    found: Comparison,
    used: list[str],
    tiled: Comparison,
) -> Report:
    report = Report(
        "Photographs to masks",
        what="From JPEGs of 4288 x 2848 pixels to masks of that size on disk: the naive path of "
        "RETFound-Green's README, one photograph at a time in float32, and `retq segment` with "
        f"`{options.query}`, which writes a summary, too.",
        how=f"{len(files)} photographs a round, {len(found.samples['naive'])} rounds, taking "
        "turns; seconds are for one photograph. " + "; ".join(used) + ".",
    )
    report.add_times(found, against="naive")
    report.add_times(tiled, against=options.query, cost=True, caption="For each pass of an image:")
    for name in (BEST, PLAINEST):
        report.add_target(f"{name}: times as fast", found.ratio("naive", name), at_least=FASTER)
    ratio = tiled.ratio(options.tiled, options.query)
    report.add_target(f"{options.tiled} / {options.query}, per pass", ratio, at_most=1.0)
    report.notes.append(
        f"`{options.query}` reads a layer, pixel channels and the image's edges; "
        f"`{options.plain}`, the last line, a layer alone, as the naive query does."
    )
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=12, help="photographs a round")
    parser.add_argument("--query", default="idrid-disc", help="a query of one pass")
    parser.add_argument("--plain", default="idrid-disc@1.0.0", help="one of tokens alone")
    parser.add_argument("--tiled", default="idrid-disc-fine", help="a query of tiles")
    main(measure, parser)
