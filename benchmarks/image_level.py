"""Grading whole photographs of IDRiD by the ways that there are to make one vector of an image.

    python benchmarks/image_level.py DATA OUT [--column dr-grade ...] [--json FILE]

DATA holds IDRiD/ and IDRiD_grading/. All is chosen on the training split by cross-validation; the
test split is scored once for each artifact. The lesion queries that weigh tokens are trained here,
on the segmentation photographs that are not in the grading test split under another name. What OUT
has already is not trained again.
"""

import argparse
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from retq_hub import artifact, twins
from retq_hub.assessment.gradation import Figure
from retq_hub.assessment.scoring import assess
from retq_hub.cli.console import BarProgress
from retq_hub.dataset import Dataset
from retq_hub.datasets import open_dataset
from retq_hub.labels.labelset import LabelSet
from retq_hub.labels.recipe import LabelRecipe
from retq_hub.labels.sets import open_labels
from retq_hub.labels.training import train_labels
from retq_hub.query import Query
from retq_hub.recipe import Recipe
from retq_hub.training import train

FIGURES = ("quadratic_kappa", "auroc", "balanced_accuracy")
COLUMNS = ("dr-grade", "dme-risk")
LAYERS = ("3", "5")
"""Where the plain mean is best in cross-validation; lesion queries weigh these tokens."""

LESIONS = {"lesions": ("lesions",), "four": ("ma", "he", "ex", "se")}
LESION_BASIS = "1,3,5"


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to make one vector of an image.

    Attributes:
        name: Of the artifact.
        text: What the table calls it.
        recipe: How it is trained.
        lesions: The lesion query that weighs, if one does.
    """

    name: str
    text: str
    recipe: LabelRecipe = field(default_factory=LabelRecipe)
    lesions: str | None = None


WAYS = (
    Way(name="embedding", text="the backbone's own embedding (class token)"),
    Way(
        name="mean",
        text="mean of tokens, up to three layers",
        recipe=LabelRecipe(pooling="mean", max_layers=3),
    ),
    Way(
        name="lesions",
        text="weighted by a query for all lesions",
        recipe=LabelRecipe(bases=LAYERS),
        lesions="lesions",
    ),
    Way(
        name="four",
        text="weighted by queries for four lesions",
        recipe=LabelRecipe(bases=LAYERS),
        lesions="four",
    ),
    Way(
        name="attention",
        text="attention learned from the grades",
        recipe=LabelRecipe(pooling="attention", bases=("5",)),
    ),
)


def main() -> None:
    """Train what is missing, score it, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--column", action="append", choices=COLUMNS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    for column in options.column or COLUMNS:
        print(f"\n{column}\n\n{_HEAD}")
        for way in WAYS:
            rows.append(measured(options.data, options.out, column, way))
            print(line(rows[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


_HEAD = (
    "| one vector by | held-out log loss | quadratic kappa | AUROC | balanced accuracy |\n"
    "|---|---|---|---|---|"
)


def measured(data: Path, out: Path, column: str, way: Way) -> dict[str, Any]:
    """Train an artifact where there is none, and score it on the test split."""
    folder = out / f"{column}-{way.name}"
    if not (folder / artifact.MANIFEST).is_file():
        train_labels(
            grades(data, column, "train"),
            folder,
            name=folder.name,
            recipe=way.recipe,
            weigh_by=None if way.lesions is None else lesions(data, out, way.lesions),
            progress=BarProgress(),
        )
    found = assess(folder, grades(data, column, "test"), progress=BarProgress())
    trials = found.manifest.training.trials or ()
    return {
        "column": column,
        "way": way.text,
        "chosen": min(trials, key=lambda trial: trial.loss).basis,
        "loss": min(trial.loss for trial in trials),
        "n_images": len(found.images),
        "n_seen": found.n_trained_on + found.n_alike,
        **{name: _interval(found.figures[name]) for name in FIGURES},
    }


def line(row: dict[str, Any]) -> str:
    """Write a row of the table."""
    cells = [f"{row[name][0]:.3f} ({row[name][1]:.3f} to {row[name][2]:.3f})" for name in FIGURES]
    return f"| {row['way']}: {row['chosen']} | {row['loss']:.3f} | {' | '.join(cells)} |"


def grades(data: Path, column: str, split: str) -> LabelSet:
    """Open a split of the graded photographs."""
    return open_labels("idrid-grading", data / "IDRiD_grading", column=column, split=split)


def lesions(data: Path, out: Path, name: str) -> Query:
    """Give a lesion query that saw none of the photographs of the grading test split."""
    folder = out / f"lesions-{name}"
    if not (folder / artifact.MANIFEST).is_file():
        sets = [
            unseen(open_dataset("idrid", data / "IDRiD", target=one, split="train"), data)
            for one in LESIONS[name]
        ]
        recipe = Recipe(bases=(LESION_BASIS,), l2=1e-3)
        train(sets, folder, name=folder.name, recipe=recipe, progress=BarProgress())
    return Query.from_pretrained(folder)


def unseen(dataset: Dataset, data: Path) -> Dataset:
    """Leave out the photographs that the grading test split has too."""
    progress = BarProgress()
    test = twins.codes(grades(data, COLUMNS[0], "test").samples, progress=progress)
    found = twins.alike(twins.codes(dataset.samples, progress=progress), test)
    pairs = zip(dataset.samples, found, strict=True)
    return replace(dataset, samples=tuple(sample for sample, same in pairs if not same))


def _interval(figure: Figure) -> tuple[float, float, float]:
    return (figure.value, *figure.ci95)


if __name__ == "__main__":
    main()
