"""Image-level labels in the layout in which they are published: IDRiD's part B, disease grading.

Source: Porwal et al., doi:10.3390/data3030025.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from retq_hub.dataset import read_rows
from retq_hub.errors import DatasetError
from retq_hub.labels.columns import Row, check_complete, integers
from retq_hub.labels.labelset import LabelledSample, LabelSet
from retq_hub.manifest import Target
from retq_hub.published import CC_BY, IDRID_CITATION, IDRID_SPLITS, concept

__all__ = ["PUBLISHED_LABELS", "LabelReader"]

LabelReader = Callable[[Path, str, str], LabelSet]
"""Reads a folder for a column and a split."""


@dataclass(frozen=True, kw_only=True)
class _Grading:
    """One column of IDRiD's part B: in the archive, in an index, and what its grades mean."""

    published: str
    indexed: str
    targets: tuple[Target, ...]


def _grade(name: str, label: str, code: str = "", display: str = "") -> Target:
    return Target(name=name, label=label, code=concept(code, display) if code else None)


_IDRID_GRADES = {
    "dr-grade": _Grading(
        published="Retinopathy grade",
        indexed="dr_grade",
        targets=(
            _grade("none", "no apparent retinopathy"),
            _grade(
                "mild",
                "mild non-proliferative diabetic retinopathy",
                "312903003",
                "Mild nonproliferative retinopathy due to diabetes mellitus",
            ),
            _grade(
                "moderate",
                "moderate non-proliferative diabetic retinopathy",
                "312904009",
                "Moderate nonproliferative retinopathy due to diabetes mellitus",
            ),
            _grade(
                "severe",
                "severe non-proliferative diabetic retinopathy",
                "312905005",
                "Severe nonproliferative retinopathy due to diabetes mellitus",
            ),
            _grade(
                "proliferative",
                "proliferative diabetic retinopathy",
                "59276001",
                "Proliferative retinopathy due to diabetes mellitus",
            ),
        ),
    ),
    "dme-risk": _Grading(
        published="Risk of macular edema",
        indexed="dme_risk",
        targets=(
            _grade("no-exudates", "no hard exudates"),
            _grade("distant", "hard exudates more than a disc diameter from the macula's centre"),
            _grade("central", "hard exudates within a disc diameter of the macula's centre"),
        ),
    ),
}

_IDRID_TWINS = frozenset({"train_IDRiD_118"})
"""The same file is test_IDRiD_064, with another grade."""

_CAVEAT = (
    "Six photographs are there twice, three of them with different grades; the one that is in both "
    "splits is left out of the training split. Most photographs of part A (segmentation) are "
    "among these too."
)

_IDRID_LABELS = {
    "train": "a. IDRiD_Disease Grading_Training Labels.csv",
    "test": "b. IDRiD_Disease Grading_Testing Labels.csv",
}


def _idrid(folder: Path, column: str, split: str) -> LabelSet:
    grading = _IDRID_GRADES[column]
    index = folder / "index.csv"
    read = _idrid_index if index.is_file() else _idrid_layout
    found = read(index if index.is_file() else folder, grading, split)
    if split == "train":
        found = tuple(one for one in found if one.id not in _IDRID_TWINS)
    return LabelSet(
        id=f"idrid-grading-{column}",
        title="IDRiD, part B (disease grading)",
        licence=CC_BY,
        split=split,
        scale="ordinal",
        targets=grading.targets,
        samples=found,
        doi="10.21227/H25W98",
        citation=IDRID_CITATION,
        caveat=_CAVEAT,
    )


def _idrid_index(index: Path, grading: _Grading, split: str) -> tuple[LabelledSample, ...]:
    rows = read_rows(index, ("id", "split", "image", grading.indexed))
    labels = _grades(index, rows, grading.indexed, grading)
    return tuple(
        LabelledSample(id=row["id"], image=index.parent / row["image"], label=(label,))
        for row, label in zip(rows, labels, strict=True)
        if split in ("all", row["split"])
    )


def _idrid_layout(folder: Path, grading: _Grading, split: str) -> tuple[LabelledSample, ...]:
    root = folder / "B. Disease Grading" if (folder / "B. Disease Grading").is_dir() else folder
    pictures, truths = root / "1. Original Images", root / "2. Groundtruths"
    if not pictures.is_dir() or not truths.is_dir():
        raise DatasetError(
            f"{folder} is not laid out like IDRiD's part B: it has no '1. Original Images' beside "
            "'2. Groundtruths'",
            hint="name the folder 'B. Disease Grading' of the archive, or the one above",
        )
    samples: list[LabelledSample] = []
    for part in [one for one in IDRID_SPLITS if split in ("all", one)]:
        table = truths / _IDRID_LABELS[part]
        rows = read_rows(table, ("Image name", grading.published))
        rows = [row | {"image": row["Image name"].strip()} for row in rows if row["Image name"]]
        labels = _grades(table, rows, grading.published, grading)
        samples += [
            LabelledSample(
                id=f"{part}_{row['image']}",
                image=pictures / IDRID_SPLITS[part] / f"{row['image']}.jpg",
                label=(label,),
            )
            for row, label in zip(rows, labels, strict=True)
        ]
    return tuple(samples)


def _grades(path: Path, rows: Sequence[Row], column: str, grading: _Grading) -> list[int]:
    check_complete(path, rows, (column,))
    most = len(grading.targets) - 1
    return integers(path, rows, column, f"a grade from 0 to {most}", most=most)


PUBLISHED_LABELS: Mapping[str, tuple[LabelReader, tuple[str, ...]]] = {
    "idrid-grading": (_idrid, tuple(_IDRID_GRADES))
}
"""Reader and columns of each data set that is read in its published layout."""
