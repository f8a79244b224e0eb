"""What one query costs, and 8, 64 and 512, on one photograph: grids, areas, runs, masks as PNG.

    python benchmarks/queries.py [QUERY ...] [--image PATH] [--counts 1 8 64 512] [--rounds 5]
                                 [--folder DIR] [--quick] [--json]

The queries are one of the registry with its vector shaken by 5 % and its threshold moved, so that
each marks something else. Without ``--image`` the example photograph is brought to 4288 x 2848
pixels, the size of IDRiD's.

In each round the image is decoded and the backbone is run once; then all counts are timed in turns
on what it gave. A ratio is that of the whole, decoding and backbone included, to the same with one
query in that round; given are the least, the median and the greatest of all rounds.
"""

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from ab import Report, Spread, figure, main
from PIL import Image

from retq_hub import Pipeline, Query
from retq_hub.embedded import EXAMPLE_IMAGE
from retq_hub.outputs import Job, Options, Origin, write
from retq_hub.result import Result
from retq_hub.threads import spread

SIZE = (4288, 2848)
PARTS = ("grids", "areas", "runs", "masks")
MOST = {"grids": 1.02, "areas": 1.02, "masks": 1.15}
"""What 64 queries may cost, with one query as 1."""
JOB = Job(image=Path("eye.jpg"), stem="eye")


def shaken(query: Query, count: int) -> dict[str, Query]:
    random = torch.Generator().manual_seed(0)
    found = {}
    for number in range(count):
        one, head = copy.copy(query), query.manifest.head
        noise = torch.randn(query.vector.shape, generator=random)
        moved = tuple(min(0.95, cut + number % 40 / 500) for cut in head.thresholds)
        one.vector = query.vector * (1 + 0.05 * noise * (number > 0))
        one.manifest = replace(
            query.manifest, name=f"q{number}", head=replace(head, thresholds=moved)
        )
        found[one.manifest.name] = one
    return found


def seconds(what: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    found = what()
    return time.perf_counter() - began, found


def runs(result: Result, size: tuple[int, int]) -> list[list[Any]]:
    marks = result.marks()
    return spread(lambda name: marks.pop(name).runs(*size), list(marks))


def parts(
    grids: Callable[[], Result], size: tuple[int, int], origin: Origin, folder: Path
) -> dict[str, float]:
    """Time what is asked of one result; each part holds the grids as well."""
    grids_s, result = seconds(grids)
    tasks: dict[str, Callable[[], Any]] = {
        "areas": result.areas,
        "runs": lambda: runs(result, size),
        "masks": lambda: write(result, JOB, origin, folder, Options(overlays=False)),
    }
    return {"grids": grids_s} | {name: grids_s + seconds(one)[0] for name, one in tasks.items()}


def rounds(
    query: Query, image: Path, counts: list[int], n_rounds: int, folder: Path
) -> Iterator[tuple[float, dict[int, dict[str, float]]]]:
    one = Pipeline.from_pretrained([query], embed=False)
    pipes = {
        count: Pipeline(backbone=one.backbone, queries=shaken(query, count), embed=False)
        for count in counts
    }
    origin = Origin.of(one.backbone, "0" * 64)
    for number in range(n_rounds + 1):
        ready_s, ready = seconds(lambda: one.prepare(image))
        run_s, given = seconds(partial(one.backbone.run, [ready], one.needs))
        found = {}
        for count, pipe in pipes.items():
            grids = applying(pipe, ready, *given[0])
            found[count] = parts(grids, ready.scene.size, origin, folder)
        if number:  # the first round warms up
            yield ready_s + run_s, found


def applying(pipe: Pipeline, ready: Any, tokens: Any, embedding: Any) -> Callable[[], Result]:  # noqa: ANN401
    return lambda: Result(pipe._application(ready.scene, tokens, embedding), embedding=None)


def measure(options: argparse.Namespace) -> Report:
    n_rounds = 2 if options.quick else options.rounds
    counts = options.counts[:3] if options.quick else options.counts
    names = options.query[:1] if options.quick else options.query
    report = Report(
        "Cost of many queries",
        what="One photograph, decoded and run through the backbone once, and what 1, 8, 64 and 512 "
        "queries cost on top: their grids, areas, masks as runs, and masks as PNG files.",
        how=f"{n_rounds} rounds; `total` is the whole, decoding and backbone included, with the "
        "same for one query in that round as 1.",
    )
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        image = options.image or photograph(Path(folder))
        for name in names:
            done = list(rounds(Query.from_pretrained(name), image, counts, n_rounds, Path(folder)))
            add(report, name, counts, done)
    return report


def add(report: Report, query: str, counts: list[int], done: list[Any]) -> None:
    """Add a query's table and targets."""
    rows = []
    for part in PARTS:
        for count in counts:
            ratio = Spread.of(
                (shared + found[count][part]) / (shared + found[counts[0]][part])
                for shared, found in done
            )
            ms = 1e3 * statistics.median(found[count][part] for _, found in done)
            shown = (ratio.min, ratio.median, ratio.max)
            rows.append((part, count, figure(ms), figure(ms / count), *map("{:.3f}".format, shown)))
            if count == 64 and part in MOST:
                report.add_target(
                    f"{query}: {part} of 64 queries / of one", ratio, at_most=MOST[part],
                    show="{:.3f}".format,
                )  # fmt: skip
    shared_ms = 1e3 * statistics.median(shared for shared, _ in done)
    report.add_table(
        ("asked for", "queries", "ms", "ms each", "total: min", "median", "max"),
        rows,
        caption=f"`{query}`, decoding and backbone {shared_ms:.0f} ms:",
    )


def photograph(folder: Path) -> Path:
    path = folder / "photograph.jpg"
    with Image.open(EXAMPLE_IMAGE) as image:
        image.convert("RGB").resize(SIZE, Image.Resampling.BICUBIC).save(path, quality=92)
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("query", nargs="*", default=["idrid-disc", "idrid-lesions", "rop-ridge"])
    parser.add_argument("--image", type=Path)
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 8, 64, 512])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where masks are written; a temporary one")
    main(measure, parser)
