"""Memory of a long run: `retq segment` over thousands of photographs, most of them repeated.

    python benchmarks/memory.py [--images N] [--real N] [--quick] [--json]

Small photographs in great number, with an engine that makes tokens up, so that all but the backbone
is as it is; then some hundred of 4288 x 2848 pixels with the real one. The resident memory is read
after the first part of the run and to its end. Linux only.
"""

import argparse
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch
from ab import Report, Skipped, data_folder, main
from PIL import Image
from torch import Tensor

from retq_hub.backbone import Backbone
from retq_hub.embedded import EXAMPLE_IMAGE
from retq_hub.pipeline import Pipeline
from retq_hub.progress import Silent
from retq_hub.query import Query
from retq_hub.segment import Options, find_images, segment

QUERY = "idrid-disc"
GROWTH = 1.1
MIB = 2**20
T = TypeVar("T")


class MadeUp:
    """An engine that gives tokens which it has drawn once."""

    name, precision, device = "made up", "float32", "cpu"

    def __init__(self, tokens: int, width: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self._tokens = torch.randn(1, tokens, width, generator=generator)

    def __call__(
        self, squares: Tensor, layers: Sequence[int], *, norm: bool, embed: bool
    ) -> tuple[list[Tensor], Tensor | None]:
        """Give the same tokens for each square."""
        found = self._tokens.expand(len(squares), -1, -1)
        return [found for _ in layers], found[:, 0] if embed else None


@dataclass(frozen=True)
class Sample:
    """Resident memory in bytes after so many photographs."""

    images: int
    resident: int


class Watched(Silent):
    """Reads the resident memory while a run goes on."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.samples: list[Sample] = []

    def steps(self, items: Iterable[T], *, what: str, total: int | None = None) -> Iterator[T]:
        """Pass items through, and look every so often."""
        for number, item in enumerate(items, 1):
            yield item
            if number % self.every == 0:
                self.samples.append(Sample(number, resident()))


def resident() -> int:
    """Give the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def measure(options: argparse.Namespace) -> Report:
    if not Path("/proc/self/statm").is_file():
        raise Skipped("the resident memory is read as Linux tells it")
    report = Report(
        "Memory of a long run",
        what="Resident memory of `retq segment`, masks and summary written, no overlays.",
        how="Photographs are repeated under other names. In the long run they are 640 pixels wide "
        "and tokens are made up; in the other they are those of IDRiD, with the real backbone.",
    )
    many, real = (400, 4) if options.quick else (options.images, options.real)
    with tempfile.TemporaryDirectory() as scratch:
        backbone = Backbone.from_pretrained()
        tokens = backbone.spec.tokens
        made_up = backbone.with_engine(MadeUp(tokens.grid**2, tokens.width))
        sources = [small(Path(scratch))]
        add(report, "small", run(made_up, sources, many, Path(scratch) / "small"))
        originals = sorted((data_folder() / "IDRiD").rglob("*.jpg"))
        if real and originals:
            add(report, "4288 x 2848", run(backbone, originals, real, Path(scratch) / "real"))
    return report


def small(folder: Path) -> Path:
    """Write the photograph that ships at the size of a thumbnail."""
    with Image.open(EXAMPLE_IMAGE) as image:
        image.resize((640, 640)).save(folder / "small.jpg", quality=90)
    return folder / "small.jpg"


def run(backbone: Backbone, sources: list[Path], number: int, folder: Path) -> list[Sample]:
    """Segment so many photographs, and give the memory as it went."""
    (folder / "in").mkdir(parents=True)
    for count in range(number):
        (folder / "in" / f"{count:06}.jpg").symlink_to(sources[count % len(sources)])
    pipeline = Pipeline(backbone=backbone, queries={QUERY: lean(QUERY)}, embed=False)
    watched = Watched(max(1, number // 20))
    jobs, options = find_images([str(folder / "in")]), Options(overlays=False)
    done = segment(pipeline, jobs, folder / "out", options=options, progress=watched)
    assert done.done == number
    return watched.samples


def lean(name: str) -> Query:
    """Load a query, of which pixels are not looked at: that takes time, and no memory stays."""
    query = Query.from_pretrained(name)
    manifest = query.manifest
    basis = replace(manifest.basis, pixels=None)
    query.manifest = replace(
        manifest, basis=basis, head=replace(manifest.head, guided=None, calibration=None)
    )
    query.vector = query.vector[:, : len(basis.layers) * 384]
    return query


def add(report: Report, what: str, samples: list[Sample]) -> None:
    """Add a run: the memory after its first twentieth is compared with that at its end."""
    first, last = samples[0], samples[-1]
    highest = max(one.resident for one in samples[1:])
    rows = [(one.images, f"{one.resident / MIB:.0f} MiB") for one in samples[:: len(samples) // 4]]
    report.add_table(("photographs", "resident"), rows, caption=f"{what}:")
    report.add_target(
        f"{what}: highest after {first.images} / then", highest / first.resident, at_most=GROWTH
    )
    report.notes.append(
        f"{what}: {last.images} photographs, {last.resident / MIB:.0f} MiB at the end."
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=10_000, help="small photographs")
    parser.add_argument("--real", type=int, default=300, help="large ones")
    main(measure, parser)
