"""How a fit came down: its loss step by step, the same form for every recipe, and as CSV."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from retq_hub.storage import write_text

__all__ = ["Curve", "CurveRow"]


@dataclass(frozen=True, kw_only=True)
class CurveRow:
    """One step of a fit.

    Attributes:
        step: Its number, from 1.
        loss: The training loss.
        gauge: What the curve says beside the loss.
        seconds: How long the step took.
    """

    step: int
    loss: float
    gauge: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The steps of a fit.

    Attributes:
        rows: One a step.
        step: What is counted, such as ``epoch``.
        gauge: What stands beside the loss, such as ``learning rate`` or ``decrement``.
    """

    rows: tuple[CurveRow, ...]
    step: str
    gauge: str

    @property
    def seconds(self) -> float:
        """How long all steps took together."""
        return sum(row.seconds for row in self.rows)

    def write(self, path: Path) -> None:
        """Write it as CSV, whole or not at all: step, loss, gauge, seconds, by their names.

        Raises:
            StorageError: The place cannot be written.
        """
        columns = [self.step, "loss", self.gauge, "seconds"]
        rows = [
            [str(row.step), repr(row.loss), repr(row.gauge), f"{row.seconds:.3f}"]
            for row in self.rows
        ]
        write_text(path, _csv([[name.replace(" ", "_") for name in columns], *rows]))


def _csv(rows: Sequence[Sequence[str]]) -> str:
    stream = StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()
