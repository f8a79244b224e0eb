"""Queries carried to other backbones without labels, and measured against masks.

    python benchmarks/porting.py DATA OUT [--tasks disc,lesions,ridge] [--to 518px,noisy,untrained]

DATA holds IDRiD/, HVDROPDB-RIDGE/ and IDRiD_grading/. Backbones are made in OUT of the default
one's weights: the same at another input size, the same with noise in each matrix, and random ones.
Queries are fitted to 120 photographs of IDRiD's grading part that its segmentation part has not.
"""

import argparse
import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import save_file
from tasks import TASKS, Task
from torch import Tensor

from retq_hub import index, registry, weights
from retq_hub.cli.console import BarProgress
from retq_hub.digest import bytes_digest, file_digest
from retq_hub.embedded import REGISTRY
from retq_hub.evaluation import evaluate
from retq_hub.porting import port
from retq_hub.progress import Silent
from retq_hub.schema import read_json
from retq_hub.storage import write_json

NOISE = 0.3
"""Standard deviation of the noise, of that of each matrix."""

N_IMAGES = 120


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What is not left to cross-validation."""

    bases: tuple[str, ...] = ()
    l2: float | None = None


CHOICES = {
    "disc": Choice(),
    "lesions": Choice(bases=("1,3,5",)),
    "ridge": Choice(bases=("1,3,5,7",), l2=1e-4),
}


def backbones(folder: Path) -> None:
    """Write the specs and weights of the other backbones."""
    spec = registry.backbone_spec(registry.DEFAULT_BACKBONE)
    state = dict(weights.load(weights.ensure(spec, progress=Silent())))
    state = {name: one.clone() for name, one in state.items()}
    generator = torch.Generator().manual_seed(0)

    def drawn(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator)

    noisy = {k: v + NOISE * v.std() * drawn(v) if v.ndim == 2 else v for k, v in state.items()}
    random = {k: 0.02 * drawn(v) if v.ndim >= 2 else v.clone() for k, v in state.items()}
    document = read_json(REGISTRY / "backbones" / f"{spec.id}.json")
    larger = {
        "preprocessing": document["preprocessing"] | {"size_px": 518},
        "tokens": document["tokens"] | {"grid": 37},
    }
    _write(folder, "518px", document | larger, state)
    _write(folder, "noisy", document, noisy)
    _write(folder, "untrained", document, random)
    index.write(folder, index.build(folder))


def _write(folder: Path, name: str, document: dict[str, Any], state: dict[str, Tensor]) -> None:
    path = (folder / f"{name}.safetensors").resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path)
    changes = {
        "id": name,
        "title": name,
        "checkpoint": {"format": "timm"},
        "sources": [{"kind": "file", "path": str(path)}],
        "weights_digest": None,
        "fingerprint": None,
    }
    write_json(folder / "backbones" / f"{name}.json", document | changes)


def unlabelled(data: Path, folder: Path) -> None:
    """Link photographs of the grading part that the segmentation part has not."""
    known = {file_digest(path) for path in (data / "IDRiD").rglob("*.jpg")}
    grading = data / "IDRiD_grading"
    with (grading / "index.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["sha256_original"] not in known]
    folder.mkdir(parents=True, exist_ok=True)
    for row in sorted(rows, key=lambda row: bytes_digest(row["id"].encode()))[:N_IMAGES]:
        link = folder / Path(row["image"]).name
        if not link.exists():
            link.symlink_to((grading / row["image"]).resolve())


def measured(task: Task, to: str, data: Path, out: Path) -> Iterator[str]:
    """Carry a task's query over, and give a row of the table."""
    choice, progress = CHOICES[task.name], BarProgress()
    query = f"{task.query}@1.0.0"
    name = f"{task.name}-{to}"
    done = port(
        query, to, out / "images", out / name, name=name, bases=choice.bases, l2=choice.l2,
        progress=progress,
    )  # fmt: skip
    found = evaluate(done.folder, task.split(data, "test"), progress=progress).metrics
    source = evaluate(registry.locate(query), task.split(data, "test"), progress=progress).metrics
    (agreed,) = done.manifest.agreement or ()
    yield from (query, to)
    for value in agreed.values.values():
        yield f"{value.value:.4f} [{value.ci95[0]:.4f}, {value.ci95[1]:.4f}]"
    for one in (found["auroc"], found["dice"], source["dice"]):
        yield f"{one.mean:.4f} [{one.ci95[0]:.4f}, {one.ci95[1]:.4f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tasks", default="disc,lesions,ridge")
    parser.add_argument("--to", default="518px,noisy,untrained")
    options = parser.parse_args()
    backbones(options.out / "registry")
    unlabelled(options.data, options.out / "images")
    os.environ["RETQ_REGISTRY"] = str((options.out / "registry").resolve())
    columns = ("query", "to", "agreement: Dice", "correlation", "AUROC", "Dice", "Dice of source")
    table = Table(*columns)
    tasks = [task for task in TASKS if task.name in options.tasks.split(",")]
    for task in tasks:
        for to in options.to.split(","):
            table.add_row(*measured(task, to, options.data, options.out))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
