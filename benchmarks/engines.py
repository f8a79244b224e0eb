"""Engines side by side: time, tokens, and what queries mark, on IDRiD's test images.

The engines take turns over each photograph, in an order that rotates: one pass of 392 x 392, whose
tokens both one-pass queries read. Times are of that pass alone. Dice is that of the paper, at
392 x 392, against the graders' masks; beside it stands the Dice of the masks with those of float32
PyTorch, over the pixels of all images.

    python benchmarks/engines.py [--images N] [--quick] [--json]
"""

import argparse
import statistics
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ab import Comparison, Report, data_folder, main
from numpy.typing import NDArray
from tasks import TASKS

from retq_hub.application import Application
from retq_hub.dataset import Sample
from retq_hub.engines.choice import PLAIN, Choice, build, candidates
from retq_hub.metrics import dice_iou
from retq_hub.pipeline import Pipeline
from retq_hub.plans import TokenSet

COMPARED = [task for task in TASKS if task.dataset == "idrid"]
SIZE_PX = 392
MOST = 0.002
"""A mean Dice may change by so much."""


@dataclass
class Record:
    """What is gathered of one engine."""

    ms: list[float] = field(default_factory=list)
    apart: list[float] = field(default_factory=list)
    dice: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    shared: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))


def distance(one: TokenSet, other: TokenSet) -> float:
    """Give the relative distance of tokens in the layer where it is largest."""
    return max(float((one[key] - other[key]).norm() / other[key].norm()) for key in other)


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[int, int]:
    return 2 * int((one & other).sum()), int(one.sum()) + int(other.sum())


def samples(data: Path, number: int) -> dict[Path, dict[str, Sample]]:
    """Give the test images, each with its sample of every task."""
    found: dict[Path, dict[str, Sample]] = defaultdict(dict)
    for task in COMPARED:
        for one in task.split(data, "test").samples:
            found[one.image][task.query] = one
    return dict(list(found.items())[:number])


def records_of(data: Path, number: int) -> dict[Choice, Record]:
    pipeline = Pipeline.from_pretrained([task.query for task in COMPARED], embed=False)
    backbone = pipeline.backbone
    backbones = {
        one: backbone if one == PLAIN else backbone.with_engine(build(one, backbone.graphs))
        for one in candidates("auto", "auto")
    }
    apply = Application(pipeline.queries, backbone=backbone)
    records = {one: Record() for one in backbones}
    images = samples(data, number)
    first = pipeline.prepare(next(iter(images)))
    for one in backbones.values():
        one.run([first], pipeline.needs)
    order = list(backbones)
    for path, truth in images.items():
        prepared = pipeline.prepare(path)
        tokens: dict[Choice, TokenSet] = {}
        order = [*order[1:], order[0]]
        for one in order:
            began = time.perf_counter()
            ((tokens[one], _),) = backbones[one].run([prepared], pipeline.needs)
            records[one].ms.append(1000 * (time.perf_counter() - began))
        masks = {
            one: {
                name: found.mask_at(SIZE_PX, SIZE_PX)[0]
                for name, found in apply(prepared.scene, some, None).items()
            }
            for one, some in tokens.items()
        }
        for one, record in records.items():
            record.apart.append(distance(tokens[one], tokens[PLAIN]))
            for name, sample in truth.items():
                mask = masks[one][name]
                record.dice[name].append(dice_iou(mask, sample.mask(SIZE_PX))[0])
                record.shared[name].append(overlap(mask, masks[PLAIN][name]))
    return records


def measure(options: argparse.Namespace) -> Report:
    records = records_of(data_folder(), 3 if options.quick else options.images)
    found = Comparison({str(one): [ms / 1000 for ms in it.ms] for one, it in records.items()})
    plain = records[PLAIN]
    report = Report(
        "Engines",
        what="One pass of 392 x 392 by each engine and precision that is there, and what "
        "`idrid-disc` and `idrid-lesions` mark on its tokens.",
        how=f"{len(plain.ms)} test images of IDRiD, the engines taking turns over each. Dice is "
        "the mean over images against the graders' masks; the change is from float32 PyTorch.",
    )
    report.add_times(found, against=str(PLAIN))
    report.add_table(
        ("", "tokens off", *(head for task in COMPARED for head in heads(task.name))),
        [(str(one), f"{max(it.apart):.1g}", *cells(it, plain)) for one, it in records.items()],
        caption="What they compute:",
    )
    for one, it in records.items():
        worst = max(abs(change(it, plain, task.query)) for task in COMPARED)
        if one != PLAIN:
            report.add_target(f"{one}: largest change of a mean Dice", worst, at_most=MOST)
    return report


def heads(task: str) -> tuple[str, ...]:
    return f"{task}: Dice", "change", "largest of an image", "Dice with float32"


def cells(record: Record, plain: Record) -> list[str]:
    """Give an engine's figures, task by task."""
    found = []
    for task in COMPARED:
        pairs = zip(record.dice[task.query], plain.dice[task.query], strict=True)
        both, marked = (sum(part) for part in zip(*record.shared[task.query], strict=True))
        found += [
            f"{statistics.mean(record.dice[task.query]):.4f}",
            f"{change(record, plain, task.query):+.4f}",
            f"{max(abs(one - other) for one, other in pairs):.4f}",
            f"{both / marked:.4f}",
        ]
    return found


def change(record: Record, plain: Record, query: str) -> float:
    return statistics.mean(record.dice[query]) - statistics.mean(plain.dice[query])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=27)
    main(measure, parser)
