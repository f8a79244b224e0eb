"""Open data sets with image-level labels: a published one by name, anything else from a CSV.

A CSV has the columns image, one or several of labels and, if wanted, split, id and group. Columns
of findings hold 0 and 1; a column of grades whole numbers from 0 on; one of classes such numbers,
or words.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from retq_hub import names
from retq_hub.dataset import check_files, listed, read_rows
from retq_hub.errors import DatasetError, UsageError
from retq_hub.labels.columns import check_complete, read_labels
from retq_hub.labels.labelset import SCALES, LabelledSample, LabelSet
from retq_hub.labels.published import PUBLISHED_LABELS
from retq_hub.manifest import Licence

__all__ = ["from_csv", "open_labels"]


def from_csv(path: Path, *, columns: Sequence[str], split: str, scale: str, name: str) -> LabelSet:
    """Read images with their labels from a CSV.

    Paths are relative to the CSV. The classes are those of the whole file, whatever the split. The
    data set is named after the column too, where there is one, since a table may have several.

    Args:
        path: The file.
        columns: The columns of labels: one, or one for each finding of a ``multilabel`` set.
        split: A value of the column ``split``, or ``all``.
        scale: One of `retq_hub.labels.labelset.SCALES`.
        name: What the data set is called.

    Raises:
        UsageError: The scale is unknown, or does not go with the number of columns.
        NotFoundError: There is no such file.
        DatasetError: Columns, labels or files are missing, labels are not what the scale asks for,
            the split is empty or has one class only, or one image has two labels.
    """
    _check_scale(columns, scale)
    rows = read_rows(path, ("image", *columns))
    if split != "all" and rows and "split" not in rows[0]:
        raise DatasetError(f"{path} has no column 'split'", hint="add one, or use --split all")
    wanted = [row for row in rows if split in ("all", row.get("split"))]
    check_complete(path, wanted, columns)
    known = [row for row in rows if all(row[column] for column in columns)]
    targets, labels = read_labels(path, known, columns, scale)
    twins = Counter(Path(row["image"]).stem for row in rows)
    found = LabelSet(
        id=f"{name}-{names.slug(columns[0])}" if len(columns) == 1 else name,
        title=name,
        licence=Licence(id="LicenseRef-unknown"),
        split=split,
        scale=scale,
        targets=targets,
        samples=tuple(
            LabelledSample(
                id=row.get("id") or _short(row["image"], twins),
                image=path.parent / row["image"],
                label=label,
                group=row.get("group") or row.get("camera") or "",
            )
            for row, label in zip(known, labels, strict=True)
            if split in ("all", row.get("split"))
        ),
    )
    return _checked(found, path)


def open_labels(name: str, folder: Path, *, column: str, split: str) -> LabelSet:
    """Read a data set of labelled images in its published layout.

    Args:
        name: One of `retq_hub.labels.published.PUBLISHED_LABELS`.
        folder: Where it lies: the archive's folder, or one with an ``index.csv``.
        column: Which of its labels.
        split: ``train``, ``test`` or ``all``.

    Raises:
        UsageError: There is no such data set, column or split.
        DatasetError: The folder is not laid out as published, or labels or images are missing.
    """
    if name not in PUBLISHED_LABELS:
        raise UsageError(
            f"there is no data set {name!r} with image-level labels",
            hint=f"there is {listed(PUBLISHED_LABELS)}; or name a CSV with --labels",
        )
    reader, columns = PUBLISHED_LABELS[name]
    slug = names.slug(column)
    if slug not in columns:
        raise UsageError(f"{name} has no column {column!r}", hint=f"it has {listed(columns)}")
    if split not in ("train", "test", "all"):
        raise UsageError(f"there is no split {split!r}", hint="there are train, test and all")
    if not folder.is_dir():
        raise DatasetError(f"there is no folder {folder}", hint="check --data")
    return _checked(reader(folder, slug, split), folder)


def _checked(found: LabelSet, origin: Path) -> LabelSet:
    if not found.samples:
        raise DatasetError(f"{origin} has no images in split {found.split!r}", hint="check --split")
    check_files(((one.image,) for one in found.samples), origin)
    found.check()
    return found


def _check_scale(columns: Sequence[str], scale: str) -> None:
    if scale not in SCALES:
        raise UsageError(f"there is no scale {scale!r}", hint=f"there are {listed(SCALES)}")
    if len(set(columns)) != len(columns):
        raise UsageError(f"a column is named twice: {', '.join(columns)}", hint="name each once")
    if len(columns) != 1 and scale != "multilabel":
        raise UsageError(
            f"{len(columns)} columns are no {scale} label",
            hint="name one --column; several are findings, --scale multilabel",
        )


def _short(image: str, twins: Mapping[str, int]) -> str:
    """Name an image by its stem, where no other has it."""
    stem = Path(image).stem
    return image if twins[stem] > 1 else stem
