"""The summary of a segmentation run: its rows, as JSON lines and as CSV."""

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

__all__ = [
    "Key",
    "Line",
    "Row",
    "as_csv",
    "as_lines",
    "key_of",
    "read_lines",
    "told",
]

R = TypeVar("R")

Key = tuple[str, str, str]
"""Image, query and target: what makes a line of the summary."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the summary: what one query says of one target in one image.

    What marks no pixels leaves what is said of them None; what says nothing of the whole image
    leaves `probability`, `predicted` and `attention` None.

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
        max_probability: The highest probability of a pixel.
        threshold: The probability above which a pixel is marked, or, where there is no mask, the
            target is said to be there; None where the most probable one counts.
        mask: The mask's file, relative to the output folder; None where none was written.
        probability: Of the target in the whole image.
        predicted: Whether it is what the query says of the whole image, or among that.
        attention: File of how much each place counted, relative to the output folder.
        overlay: File of the image with what all queries say of it, likewise.
        preprocessing_digest: What the backbone saw of the image; None in rows of older runs.
        engine: What ran the backbone, and the precision; likewise.
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
    area: float | None
    centroid_x: float | None
    centroid_y: float | None
    max_probability: float | None
    threshold: float | None
    mask: str | None
    probability: float | None = None
    predicted: bool | None = None
    attention: str | None = None
    overlay: str | None = None
    preprocessing_digest: str | None = None
    engine: str | None = None

    @property
    def stems(self) -> set[str]:
        """What the image's files begin with, as far as the row names any."""
        own = (one for one in (self.mask, self.attention) if one is not None)
        stems = {one.rpartition(f"_{self.query}")[0] for one in own}
        return stems | ({self.overlay.removesuffix("_overlay.jpg")} if self.overlay else set())


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line for people: one that marks pixels, or all that a query says of a whole image.

    Attributes:
        image: The image's path as it was given.
        query: The query's name.
        target: What is marked, or said.
        area: Share of the image that is marked; None: it is said of the whole image.
        probability: The highest of a pixel, or the target's.
    """

    image: str
    query: str
    target: str
    area: float | None
    probability: float


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


def told(rows: Iterable[Row]) -> list[Line]:
    """Give what rows say in few lines: of those on a whole image, the predicted one alone."""
    lines: list[Line] = []
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.image, row.query), []).append(row)
    for group in groups.values():
        lines += [
            _line(row, row.target, row.area, row.max_probability)
            for row in group
            if row.area is not None
        ]
        whole = [row for row in group if row.probability is not None]
        highest = sorted(whole, key=lambda row: row.probability or 0.0)[-1:]
        said = [row for row in whole if row.predicted] or highest
        lines += [
            _line(row, row.target if row.predicted else "none of them", None, row.probability)
            for row in said
        ]
    return lines


def _line(row: Row, target: str, area: float | None, probability: float | None) -> Line:
    return Line(
        image=row.image,
        query=row.query,
        target=target,
        area=area,
        probability=probability or 0.0,
    )


def as_csv(rows: Iterable[Any], kind: type[Any] = Row) -> str:
    """Give rows of a flat data class as CSV with a heading."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(kind)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(vars(row) for row in rows)
    return text.getvalue()


def as_lines(rows: Iterable[Any]) -> str:
    """Give rows of a flat data class as JSON lines."""
    return "".join(json.dumps(vars(row)) + "\n" for row in rows)
