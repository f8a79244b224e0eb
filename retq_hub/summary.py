"""The summary of a segmentation run: its rows, as JSON lines and as CSV."""

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["Key", "Row", "as_csv", "as_lines", "key_of", "read_journal", "read_lines"]

R = TypeVar("R")

Key = tuple[str, str, str]
"""Image, query and target: what makes a line of the summary."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the summary: what one query says of one image.

    Attributes:
        image: The image's path as it was given.
        query: The query's name.
        target: What it marks.
        version: Its version.
        digest: The artifact's digest.
        weights_digest: The backbone's weights.
        image_sha256: The image's file.
        width: Of the image, in pixels.
        height: Of the image, in pixels.
        area: Share of the image that is marked.
        centroid_x: Of the largest component, in pixels; None where nothing is marked.
        centroid_y: Likewise.
        max_probability: The highest probability.
        threshold: The probability above which a pixel is marked.
        mask: The mask's file, relative to the output folder.
    """

    image: str
    query: str
    target: str
    version: str
    digest: str
    weights_digest: str
    image_sha256: str
    width: int
    height: int
    area: float
    centroid_x: float | None
    centroid_y: float | None
    max_probability: float
    threshold: float
    mask: str


def read_journal(path: Path) -> dict[Key, Row]:
    """Read what earlier runs did; a line that was cut is left out."""
    return {key_of(row): row for row in read_lines(path, Row)}


def read_lines(path: Path, kind: type[R]) -> list[R]:
    """Read the rows that `as_lines` gave; none if there is no file, and none that was cut.

    Args:
        path: The file.
        kind: The data class of its rows.
    """
    rows: list[R] = []
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for line in lines:
        try:
            rows.append(kind(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return rows


def key_of(row: Row) -> Key:
    """Give what makes a row the only one of its kind."""
    return row.image, row.query, row.target


def as_csv(rows: Iterable[Any], kind: type[Any] = Row) -> str:
    """Give rows of a data class as CSV with a heading."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(kind)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return text.getvalue()


def as_lines(rows: Iterable[Any]) -> str:
    """Give rows of a data class as JSON lines."""
    return "".join(json.dumps(asdict(row)) + "\n" for row in rows)
