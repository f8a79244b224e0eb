"""Columns of labels in a table: are they complete, and what their entries say.

Findings are 0 or 1; grades are whole numbers from 0 on; classes are such numbers, or words.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from retq_hub import names
from retq_hub.dataset import some
from retq_hub.errors import DatasetError
from retq_hub.manifest import Target

__all__ = ["Row", "check_complete", "integers", "read_labels"]

_MOST_CLASSES = 100

Row = dict[str, str]
"""The entries of one line by column."""


def check_complete(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> None:
    """Refuse a table in which an image or a label is missing.

    Raises:
        DatasetError: Some are missing; some of the rows are named.
    """
    for column in ("image", *columns):
        if bare := [_said(row, number) for number, row in enumerate(rows, 2) if not row[column]]:
            raise DatasetError(
                f"{path} lacks {column!r} for {len(bare)} of {len(rows)} images ({some(bare)})",
                hint="fill it in, or leave these rows out",
            )


def read_labels(
    path: Path, rows: Sequence[Row], columns: Sequence[str], scale: str
) -> tuple[tuple[Target, ...], list[tuple[int, ...]]]:
    """Give the targets, and the label of each row.

    Args:
        path: The table, named in messages.
        rows: All of its rows: the classes are what occurs in any of them.
        columns: The columns of labels; several for ``multilabel`` only.
        scale: One of `retq_hub.labels.labelset.SCALES`.

    Raises:
        DatasetError: Entries are not what the scale asks for, or classes cannot be told apart.
    """
    if scale == "multilabel":
        findings = [integers(path, rows, column, "0 or 1", most=1) for column in columns]
        targets = tuple(Target(name=names.slug(one), label=one) for one in columns)
        _check_names(path, targets)
        return targets, list(zip(*findings, strict=True))
    (column,) = columns
    if scale == "multiclass" and not all(_is_number(row[column]) for row in rows):
        words = sorted({row[column].strip() for row in rows})
        targets = tuple(Target(name=names.slug(word), label=word) for word in words)
        _check_names(path, targets)
        return targets, [(words.index(row[column].strip()),) for row in rows]
    classes = integers(path, rows, column, "a whole number from 0 on", most=_MOST_CLASSES - 1)
    numbers = range(max(classes, default=0) + 1)
    targets = tuple(
        Target(name=f"{names.slug(column)}-{number}", label=f"{column} {number}")
        for number in numbers
    )
    return targets, [(number,) for number in classes]


def integers(path: Path, rows: Sequence[Row], column: str, wanted: str, *, most: int) -> list[int]:
    """Give a column of whole numbers.

    Args:
        path: The table, named in messages.
        rows: Its rows.
        column: The column.
        wanted: What the entries have to be, in words.
        most: The greatest number.

    Raises:
        DatasetError: Entries are something else; some are named.
    """
    wrong = [
        f"{_said(row, number)}: {row[column]!r}"
        for number, row in enumerate(rows, 2)
        if not _is_integer(row[column]) or int(float(row[column])) > most
    ]
    if wrong:
        raise DatasetError(
            f"{path}: {column!r} is not {wanted} in {len(wrong)} rows ({some(wrong)})",
            hint="mend the labels, or say with --scale what they are"
            if most == 1
            else f"grades and numbered classes go from 0 to {most} at most",
        )
    return [int(float(row[column])) for row in rows]


def _check_names(path: Path, targets: Sequence[Target]) -> None:
    twins = Counter(one.name for one in targets)
    if alike := [one.label for one in targets if twins[one.name] > 1]:
        raise DatasetError(
            f"{path}: {', '.join(alike)} differ in upper case, accents or signs only",
            hint="write each class in one way",
        )
    if len(targets) > _MOST_CLASSES:
        raise DatasetError(
            f"{path} has {len(targets)} classes ({some([one.label for one in targets])}), at most "
            f"{_MOST_CLASSES} are expected",
            hint="check --column",
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_integer(text: str) -> bool:
    """Whether it is a whole number, also where a table writes it as ``3.0``."""
    head, _, tail = text.strip().partition(".")
    return head.isascii() and head.isdigit() and len(head) < 10 and not tail.strip("0")


def _said(row: Row, number: int) -> str:
    return row.get("id") or row["image"] or f"line {number}"
