"""Results as Parquet, in parts of some hundred images, each whole or absent.

A row is what one query says of one target in one image: a row of `retq_hub.summary` without files,
the mask as runs, and the columns of the list that the image stood in. Embeddings lie in parts of
their own, of the same names, one row an image.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from retq_hub.archives.work import Found
from retq_hub.digest import bytes_digest
from retq_hub.errors import IntegrityError, NotFoundError, UsageError
from retq_hub.storage import whole_file
from retq_hub.summary import Row

__all__ = ["EMBEDDINGS", "PARTS", "RUNS", "Parts", "check_columns", "read", "seal"]

PARTS = "parts"
EMBEDDINGS = "embeddings"
RUNS = "runs"

_FILES = ("mask", "attention", "overlay")
_DIGEST_SIZE = 16


class Parts:
    """The parts in a folder of results.

    Args:
        folder: Of the results.
        columns: What lists carry: the type of each column, of pyarrow; None for text.
        size: So many images a part has.

    Raises:
        UsageError: pyarrow is not installed.
    """

    def __init__(self, folder: Path, columns: Mapping[str, Any], *, size: int) -> None:
        self._arrow = _arrow()
        self._folder = folder
        self._columns = columns
        self._size = size
        self._found: list[Found] = []

    def done(self) -> set[bytes]:
        """Give the seals of all images that the parts hold.

        Raises:
            IntegrityError: A part is damaged.
        """
        found: set[bytes] = set()
        for path in _files(self._folder, PARTS):
            column = _table(path, ["image"]).column("image")
            found.update(seal(one) for one in column.unique().to_pylist())
        return found

    def clear(self) -> None:
        """Remove all parts, and what a killed run left half-written."""
        for kind in (PARTS, EMBEDDINGS):
            for path in _files(self._folder, kind):
                path.unlink()
        self.tidy()

    def tidy(self) -> None:
        """Remove what a killed run left half-written: embeddings without their part, too."""
        for kind in (PARTS, EMBEDDINGS):
            for path in (self._folder / kind).glob(".part-*"):
                path.unlink()
        for path in _files(self._folder, EMBEDDINGS):
            if not (self._folder / PARTS / path.name).is_file():
                path.unlink()

    def add(self, found: Found) -> None:
        """Keep what there is to say of the next image; a part is written once it is full.

        Raises:
            StorageError: The folder cannot be written.
        """
        self._found.append(found)
        if len(self._found) >= self._size:
            self.end()

    def end(self) -> None:
        """Write what is kept, embeddings first, so that a part that is there is complete.

        Raises:
            StorageError: The folder cannot be written.
        """
        found, self._found = self._found, []
        if not found:
            return
        name = _name(found[0].item.position, [one.item.entry.location for one in found])
        if found[0].embedding is not None:
            self._write(self._embeddings(found), EMBEDDINGS, name)
        self._write(self._rows(found), PARTS, name)

    @property
    def _parquet(self) -> Any:  # noqa: ANN401 - pyarrow is an extra
        from pyarrow import parquet

        return parquet

    def _write(self, table: Any, kind: str, name: str) -> None:  # noqa: ANN401
        with whole_file(self._folder / kind / name) as temporary:
            self._parquet.write_table(table, temporary, compression="zstd")

    def _rows(self, found: Sequence[Found]) -> Any:  # noqa: ANN401
        pa = self._arrow
        rows = [
            {**_members(row), RUNS: runs, **dict(one.item.entry.carried)}
            for one in found
            for row, runs in zip(one.rows, one.runs, strict=True)
        ]
        types = {name: getattr(pa, kind)() for name, kind in _row_types().items()}
        types[RUNS] = pa.list_(pa.uint32())
        return pa.Table.from_pylist(rows, schema=pa.schema({**types, **self._carried()}))

    def _embeddings(self, found: Sequence[Found]) -> Any:  # noqa: ANN401
        pa = self._arrow
        rows = [
            {"image": one.item.entry.location, "embedding": one.embedding}
            | dict(one.item.entry.carried)
            for one in found
        ]
        types = {"image": pa.string(), "embedding": pa.list_(pa.float32())}
        return pa.Table.from_pylist(rows, schema=pa.schema({**types, **self._carried()}))

    def _carried(self) -> dict[str, Any]:
        text = self._arrow.string()
        return {name: kind or text for name, kind in self._columns.items() if name != "image"}


def _name(position: int, locations: Iterable[str]) -> str:
    """Name a part: by the position of its first image, and by which images it has."""
    digest = bytes_digest("\0".join(locations).encode("utf-8", "surrogateescape"))
    return f"part-{position:09d}-{digest[:12]}.parquet"


def seal(location: str) -> bytes:
    """Give the few bytes by which an image is known."""
    return bytes.fromhex(bytes_digest(location.encode("utf-8", "surrogateescape")))[:_DIGEST_SIZE]


def check_columns(columns: Iterable[str]) -> None:
    """Refuse lists with columns that results have themselves.

    Raises:
        UsageError: There is such a column.
    """
    ours = {*_row_types(), RUNS, "embedding"} - {"image"}
    if taken := [name for name in columns if name in ours]:
        raise UsageError(
            f"the list has a column {taken[0]!r}, which results have too",
            hint="call it something else in the list",
        )


def read(folder: str | Path, *, kind: str = PARTS, columns: Sequence[str] | None = None) -> Any:  # noqa: ANN401
    """Read results back.

    Args:
        folder: Of the results.
        kind: ``parts``: rows with areas and masks; ``embeddings``: image embeddings.
        columns: Only these.

    Returns:
        A table of pyarrow in the order of the archive; ``to_pandas()`` makes a frame of it. A mask
        is ``runs.decode(row["runs"], row["height"], row["width"])``.

    Raises:
        NotFoundError: The folder has no such results.
        IntegrityError: A part is damaged.
        UsageError: pyarrow is not installed.
    """
    pa = _arrow()
    paths = _files(Path(folder), kind)
    if not paths:
        raise NotFoundError(
            f"{folder} has no {kind}", hint="`retq segment --format parquet` writes them"
        )
    wanted = None if columns is None else list(columns)
    tables = [_table(path, wanted) for path in paths]
    return pa.concat_tables(tables, promote_options="default")


def _table(path: Path, columns: list[str] | None) -> Any:  # noqa: ANN401
    """Read a part."""
    from pyarrow import ArrowException, parquet

    try:
        return parquet.read_table(path, columns=columns, partitioning=None)
    except (ArrowException, OSError) as error:
        raise IntegrityError(
            f"{path} is damaged: {str(error).splitlines()[0]}",
            hint="delete it and run the same command again: it makes anew what is missing",
        ) from error


def _files(folder: Path, kind: str) -> list[Path]:
    return sorted((folder / kind).glob("part-*.parquet"))


def _members(row: Row) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _row_types()}


@cache
def _row_types() -> dict[str, str]:
    """Give pyarrow's names of the types of a row's members that are no files."""
    names = {"str": "string", "int": "int64", "float": "float64", "bool": "bool_"}
    kinds = {field.name: str(getattr(field.type, "__name__", field.type)) for field in fields(Row)}
    return {
        name: names[kind.partition(" | ")[0]] for name, kind in kinds.items() if name not in _FILES
    }


def _arrow() -> Any:  # noqa: ANN401
    try:
        import pyarrow
    except ImportError as error:
        raise UsageError(
            "pyarrow is not installed, which reads and writes Parquet",
            hint='pip install "retq-hub[ray]"',
        ) from error
    return pyarrow
