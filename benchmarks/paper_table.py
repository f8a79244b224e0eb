"""Trains by both recipes, evaluates, and prints the paper's figures beside ours, with times.

    python benchmarks/paper_table.py DATA [--tasks disc,lesions,ridge] [--epochs 10] [--json]

DATA holds IDRiD/ and HVDROPDB-RIDGE/. The exact recipe begins at the photographs: nothing is cached
but the backbone's weights. Of the paper's recipe 10 of 150 epochs are run and its time is
extrapolated; ``--epochs 150`` runs all of it, which takes hours without a GPU, and only then its
figures are the recipe's.
"""

import argparse
import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from tasks import TASKS, Task

from retq_hub.backbone import Backbone
from retq_hub.cli.console import BarProgress
from retq_hub.errors import NotFoundError
from retq_hub.evaluation import evaluate
from retq_hub.query import Query
from retq_hub.recipe import PAPER_EPOCHS, Recipe
from retq_hub.storage import cache_dir
from retq_hub.training import train


@contextlib.contextmanager
def empty_cache() -> Iterator[None]:
    """Work in a cache that holds the backbone's weights and nothing else."""
    Backbone.asleep(progress=BarProgress())
    full = cache_dir()
    with tempfile.TemporaryDirectory(prefix="retq-") as folder:
        shutil.copytree(full / "weights", Path(folder) / "weights")
        before = os.environ.get("RETQ_CACHE")
        os.environ["RETQ_CACHE"] = folder
        try:
            yield
        finally:
            os.environ.pop("RETQ_CACHE")
            if before is not None:
                os.environ["RETQ_CACHE"] = before


def figures(query: Query | Path, task: Task, data: Path) -> dict[str, float]:
    found = evaluate(query, task.split(data, "test"), progress=BarProgress())
    return {name: found.metrics[name].mean for name in ("auroc", "auprc", "dice", "dice_at_0.5")}


def trained(task: Task, data: Path, recipe: Recipe, folder: Path) -> tuple[Path, float, int]:
    """Train from the photographs; give the artifact, seconds and backbone passes."""
    backbone = Backbone.asleep(progress=BarProgress())
    _ = backbone.reference
    began = time.perf_counter()
    output = folder / f"{task.name}-{recipe.kind}"
    done = train(
        task.split(data, "train"),
        output,
        name=output.name,
        recipe=recipe,
        backbone=backbone,
        progress=BarProgress(),
    )
    return output, time.perf_counter() - began, done.manifest.training.backbone_passes or 0


def rows_of(task: Task, data: Path, epochs: int, folder: Path) -> list[dict[str, Any]]:
    auc, dice, best = task.paper
    rows: list[dict[str, Any]] = [
        {"what": "paper (RETFound-Green)", "auroc": auc, "dice_at_0.5": dice, "dice": best}
    ]
    with empty_cache():
        path, seconds, passes = trained(task, data, Recipe(kind="paper", epochs=epochs), folder)
        scale = PAPER_EPOCHS / epochs
        what = "paper's recipe" + (f", {epochs} of {PAPER_EPOCHS} epochs" if scale > 1 else "")
        rows.append(
            {
                "what": what,
                "floats": Query.from_pretrained(path).vector.shape[1],
                **figures(path, task, data),
                "seconds": seconds * scale,
                "extrapolated": scale > 1,
                "passes": round(passes * scale),
            }
        )
    with empty_cache():
        recipe = Recipe(bases=(task.basis,), l2=1e-4 if task.name == "disc" else 1e-3)
        path, seconds, passes = trained(task, data, recipe, folder)
        rows.append(
            {
                "what": "exact recipe, one pass",
                "floats": Query.from_pretrained(path).vector.shape[1],
                **figures(path, task, data),
                "seconds": seconds,
                "extrapolated": False,
                "passes": passes,
            }
        )
    for name in (task.query, task.fine):
        try:
            query = Query.from_pretrained(name)
        except NotFoundError:
            continue
        title = f"{query.manifest.name} {query.manifest.version}"
        floats = query.vector.shape[1]
        rows.append({"what": title, "floats": floats, **figures(query, task, data)})
    return [{"task": task.name, **row} for row in rows]


def print_table(rows: list[dict[str, Any]]) -> None:
    columns = (
        "task",
        "what",
        "floats",
        "auroc",
        "auprc",
        "dice",
        "dice_at_0.5",
        "seconds",
        "passes",
    )
    table = Table(title="Test splits, 392 x 392 pixels, mean over images")
    for name in columns:
        table.add_column(name, justify="left" if name in ("task", "what") else "right")
    for row in rows:
        cells = []
        for name in columns:
            value = row.get(name)
            text = f"{value:.4f}" if isinstance(value, float) else str(value)
            text = f"{value:.0f}" if name == "seconds" and value is not None else text
            approximate = name == "seconds" and row.get("extrapolated")
            cells.append("" if value is None else ("~" if approximate else "") + text)
        table.add_row(*cells)
    Console(width=120).print(table)
    for paper, exact in zip(*(of(rows, word) for word in ("paper's", "exact")), strict=True):
        ratio = paper["seconds"] / exact["seconds"]
        print(f"{exact['task']}: the exact recipe is {ratio:.0f} x faster")


def of(rows: list[dict[str, Any]], word: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["what"].startswith(word)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Both recipes and the registry, on all tasks.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--tasks", default=",".join(task.name for task in TASKS))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--json", action="store_true", dest="as_json")
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="retq-") as folder:
        for task in TASKS:
            if task.name in args.tasks.split(","):
                rows += rows_of(task, args.data, args.epochs, Path(folder))
    if args.as_json:
        print(json.dumps(rows, indent=2))
    else:
        print_table(rows)


if __name__ == "__main__":
    main()
