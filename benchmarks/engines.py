"""Engines side by side: time, tokens, and what queries mark, on IDRiD's test images.

The engines take turns over each photograph, in an order that rotates: one pass of 392 x 392, whose
tokens both one-pass queries read. Times are of that pass alone. Dice is that of the paper, at
392 x 392, against the graders' masks; beside it stands the Dice of the masks with those of float32
PyTorch, over the pixels of all images.

    python benchmarks/engines.py --data FOLDER [--images N] [--json]
"""

import argparse
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tasks import TASKS

from retq_hub.application import Application
from retq_hub.dataset import Sample
from retq_hub.engines import hardware
from retq_hub.engines.choice import PLAIN, Choice, build, candidates
from retq_hub.metrics import dice_iou
from retq_hub.pipeline import Pipeline
from retq_hub.plans import TokenSet

COMPARED = [task for task in TASKS if task.dataset == "idrid"]
SIZE_PX = 392


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


def measure(data: Path, number: int) -> dict[Choice, Record]:
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


def row(record: Record, plain: Record) -> dict[str, object]:
    ratios = [one / other for one, other in zip(plain.ms, record.ms, strict=True)]
    tasks = {}
    for task in COMPARED:
        dice, before = record.dice[task.query], plain.dice[task.query]
        changes = [one - other for one, other in zip(dice, before, strict=True)]
        both, marked = (sum(part) for part in zip(*record.shared[task.query], strict=True))
        tasks[task.name] = {
            "dice": statistics.mean(dice),
            "change": statistics.mean(changes),
            "largest_change_of_an_image": max(map(abs, changes)),
            "dice_with_float32": both / marked,
        }
    return {
        "ms": [min(record.ms), statistics.median(record.ms), max(record.ms)],
        "times_faster": [min(ratios), statistics.median(ratios), max(ratios)],
        "tokens_off": max(record.apart),
        "tasks": tasks,
    }


def table(rows: Mapping[str, Mapping[str, object]]) -> str:
    heads = [f"{task.name}: Dice, change, with float32" for task in COMPARED]
    lines = [["engine", "ms an image (min-max)", "times faster (min-max)", "tokens off", *heads]]
    for name, one in rows.items():
        low, middle, high = one["ms"]
        slow, usual, fast = one["times_faster"]
        lines.append(
            [
                name,
                f"{middle:.0f} ({low:.0f}-{high:.0f})",
                f"{usual:.2f} ({slow:.2f}-{fast:.2f})",
                f"{one['tokens_off']:.1g}",
                *(
                    f"{task['dice']:.4f}, {task['change']:+.4f}, {task['dice_with_float32']:.4f}"
                    for task in one["tasks"].values()
                ),
            ]
        )
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=27)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    records = measure(given.data, given.images)
    rows = {str(one): row(record, records[PLAIN]) for one, record in records.items()}
    if given.json:
        print(json.dumps({"machine": hardware.machine(), "engines": rows}, indent=2))
    else:
        print(table(rows))


if __name__ == "__main__":
    main()
