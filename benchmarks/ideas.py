"""What each idea gives in cross-validation on the training images: no test image has a part in it.

    python benchmarks/ideas.py DATA [--tasks disc,lesions,ridge] [--json]

DATA holds IDRiD/ and HVDROPDB-RIDGE/. What begins with a dash is added, by itself, to the idea
above it that has none.
What was tried before is remembered in the cache, so that a second run is quick.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from tasks import TASKS, Task

from retq_hub.backbone import Backbone
from retq_hub.calibration import overlap_curve
from retq_hub.cli.console import BarProgress
from retq_hub.exact import choose
from retq_hub.features import TokenCache
from retq_hub.heads import pixel_logits
from retq_hub.losses import CrossEntropy, SoftDice
from retq_hub.recipe import Recipe
from retq_hub.trainingset import TrainingSet

WIDE = "2x2:3,7+1x1:3,7"
LIGHTS = ("plain", "brighter", "darker")
IDEAS: tuple[tuple[str, Recipe], ...] = (
    ("last layer, as in the paper", Recipe(bases=("11",))),
    ("a better layer", Recipe(bases=("7",))),
    ("- mirrored views added", Recipe(bases=("7",), views=("plain", "mirrored"))),
    ("- lighter and darker views added", Recipe(bases=("7",), views=LIGHTS)),
    ("tiles", Recipe(bases=("2x2:7",))),
    ("tiles and context", Recipe(bases=("2x2:7+1x1:7",))),
    ("two layers of both", Recipe(bases=(WIDE,))),
    ("- flips averaged", Recipe(bases=(WIDE,), flips=True)),
    ("- pixel channels", Recipe(bases=(WIDE,), pixels=True)),
    ("- guided upsampling", Recipe(bases=(WIDE,), sharpen=True)),
    ("- positives x 4", Recipe(bases=(WIDE,), loss=CrossEntropy(positive_weight=4))),
    ("- soft Dice (not convex)", Recipe(bases=(WIDE,), loss=SoftDice())),
)
Calibration = Literal["none", "platt", "isotonic", "prior"]
HEADS: tuple[Calibration, ...] = ("none", "platt", "isotonic", "prior")


def tried(task: Task, data: Path) -> dict[str, Any]:
    progress = BarProgress()
    backbone = Backbone.asleep(progress=progress)
    cache = TokenCache(backbone=backbone)
    images = TrainingSet([task.split(data, "train")], seed=0, progress=progress)
    rows = []
    for idea, recipe in IDEAS:
        found, _ = choose(images, cache, backbone, replace(recipe, l2=1e-3), progress)
        best = max(found.trials[1:] or found.trials, key=lambda one: one.measure)
        rows.append({"idea": idea, "floats": best.floats, "dice": best.measure, "loss": best.loss})
    return {"ideas": rows, "heads": [head(images, cache, backbone, name) for name in HEADS]}


def head(
    images: TrainingSet, cache: TokenCache, backbone: Backbone, name: Calibration
) -> dict[str, Any]:
    """Give what a calibration does to held-out predictions of the widest basis."""
    recipe = Recipe(bases=(WIDE,), l2=1e-3, calibration=name)
    found, made = choose(images, cache, backbone, recipe, BarProgress())
    dice = []
    for grid, mask in zip(found.held_out.grids, images.masks, strict=True):
        logits = pixel_logits(made, grid, *mask.shape[1:], None)
        dice.append(float(overlap_curve(logits[0], mask[0], "dice")[99]))
    return {
        "calibration": name,
        "dice_at_0.5": sum(dice) / len(dice),
        "threshold": made.thresholds[0],
        "ece": made.calibration.ece[0] if made.calibration else None,
        "ece_before": made.calibration.ece_before[0] if made.calibration else None,
    }


def print_tables(results: dict[str, dict[str, Any]]) -> None:
    table = Table(title="Held-out Dice on the training images, 5 folds")
    table.add_column("idea")
    for name in ("floats", *results):
        table.add_column(name, justify="right")
    for number, (idea, _) in enumerate(IDEAS):
        rows = [one["ideas"][number] for one in results.values()]
        table.add_row(idea, str(rows[0]["floats"]), *(f"{row['dice']:.4f}" for row in rows))
    console = Console(width=110)
    console.print(table)
    table = Table(title=f"Heads of {WIDE}: held-out Dice at 0.5, and expected calibration error")
    table.add_column("calibration")
    for name in results:
        table.add_column(f"{name}: Dice", justify="right")
        table.add_column("error", justify="right")
    for number, name in enumerate(HEADS):
        cells = []
        for one in results.values():
            row = one["heads"][number]
            error = row["ece"] if row["ece"] is not None else one["heads"][1]["ece_before"]
            cells += [f"{row['dice_at_0.5']:.4f}", f"{error:.4f}"]
        table.add_row(name, *cells)
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description="What each idea gives in cross-validation.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--tasks", default=",".join(task.name for task in TASKS))
    parser.add_argument("--json", action="store_true", dest="as_json")
    args = parser.parse_args()
    results = {
        task.name: tried(task, args.data) for task in TASKS if task.name in args.tasks.split(",")
    }
    if args.as_json:
        print(json.dumps(results, indent=2))
    else:
        print_tables(results)


if __name__ == "__main__":
    main()
