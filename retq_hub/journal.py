"""The rows of a run, kept as they come: lines that a killed run leaves, and a table at its end."""

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from retq_hub.errors import storage_errors
from retq_hub.storage import write_text
from retq_hub.summary import as_csv, as_lines, read_lines

__all__ = ["Journal"]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


class Journal(Generic[K, R]):
    """Rows in ``<name>.jsonl`` and, once the run has ended, in ``<name>.csv``.

    Args:
        output: The folder.
        name: What both files are called.
        kind: The data class of the rows.
        key: Gives what makes a row the only one of its kind; a later row takes its place.

    Attributes:
        rows: All rows by their keys, of earlier runs too; a line that was cut is left out.
    """

    def __init__(self, output: Path, name: str, kind: type[R], key: Callable[[R], K]) -> None:
        self._lines, self._table = output / f"{name}.jsonl", output / f"{name}.csv"
        self._kind, self._key = kind, key
        self.rows: dict[K, R] = {key(row): row for row in read_lines(self._lines, kind)}
        self._is_cut = self._lines.is_file() and not self._lines.read_bytes().endswith(b"\n")

    def add(self, rows: Sequence[R]) -> None:
        """Keep rows; they are in the file when this returns.

        Raises:
            StorageError: The folder cannot be written.
        """
        self.rows.update({self._key(row): row for row in rows})
        with storage_errors(self._lines):
            self._lines.parent.mkdir(parents=True, exist_ok=True)
            with self._lines.open("a", encoding="utf-8") as stream:
                stream.write("\n" * self._is_cut + as_lines(rows))
        self._is_cut = False

    def end(self) -> tuple[R, ...]:
        """Write lines and table anew, without rows that others took the place of; give all rows.

        Raises:
            StorageError: The folder cannot be written.
        """
        if self.rows:
            write_text(self._lines, as_lines(self.rows.values()))
            write_text(self._table, as_csv(self.rows.values(), self._kind))
        return tuple(self.rows.values())
