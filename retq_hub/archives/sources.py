"""Which images an archive has: folders, patterns, lists and object stores, listed as they are used.

Nothing here reads an image. A list is a CSV or Parquet file with a column ``image``; its other
columns are carried along. What stands in it is relative to the list.
"""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from retq_hub import objects
from retq_hub.errors import DatasetError, NotFoundError, UsageError
from retq_hub.images import SUFFIXES

__all__ = ["LIST_SUFFIXES", "Entry", "Sources", "is_list"]

LIST_SUFFIXES = (".csv", ".parquet")
"""Endings of files that are taken for lists of images."""

_IMAGE = "image"

Carried: TypeAlias = tuple[tuple[str, Any], ...]
"""The other columns of an image's line in a list."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An image of an archive.

    Attributes:
        location: Where it lies: an absolute path, or a URL.
        given: The same as the user named it.
        name: The path by which its files may be named, relative to what the user named.
        carried: Other columns of the list that it stands in.
    """

    location: str
    given: str
    name: str
    carried: Carried = ()


_Source: TypeAlias = Callable[[], Iterator[Entry]]


class Sources:
    """The images that a user named, in order; each going through lists them anew.

    Args:
        arguments: Files, folders, patterns, lists, URLs.
        output: Folder of the results: images in it are none of the archive's.

    Attributes:
        columns: What the lists carry: the type of each column, of pyarrow; None for text.

    Raises:
        NotFoundError: Something is not there, or has no images.
        DatasetError: A list has no column ``image``.
        UsageError: Two lists have one column with different types; a URL cannot be read here, or
            holds a password; all images lie in the output folder.
    """

    def __init__(self, arguments: Sequence[str], *, output: Path | None = None) -> None:
        self._output = None if output is None else str(output.absolute())
        self.columns: dict[str, Any] = {}
        self._is_remote = False
        self._sources = [self._source(argument) for argument in arguments]
        for argument, source in zip(arguments, self._sources, strict=True):
            if next(source(), None) is None:
                raise NotFoundError(
                    f"{argument} has no images", hint=f"they end in {', '.join(SUFFIXES)}"
                )

        if next(iter(self), None) is None:
            raise UsageError(
                f"the images lie in the output folder, {output}", hint="name another output folder"
            )

    def __iter__(self) -> Iterator[Entry]:
        """Go through the images; of those that lie in the output folder, none."""
        for source in self._sources:
            for entry in source():
                if self._output is None or not _is_below(entry.location, self._output):
                    yield entry

    def count(self) -> int | None:
        """Count the images; None where that would take long: in an object store."""
        return None if self._is_remote else sum(1 for _ in self)

    def _source(self, argument: str) -> _Source:
        location = objects.located(argument)
        remote, path = objects.is_url(location), Path(location)
        if is_list(argument):
            return self._list(location, argument)
        if not remote and path.is_file():
            return lambda: iter([Entry(location=location, given=argument, name=path.name)])
        if any(sign in argument for sign in "*?[") and not path.exists():
            found = objects.find(location)
            return lambda: (_entry(one, location, argument, flat=True) for one in found)
        if not remote and not path.is_dir():
            raise NotFoundError(f"there is no image {argument}", hint="check the path")
        if remote and location.lower().endswith(SUFFIXES):
            name = location.rpartition("/")[2]
            return lambda: iter([Entry(location=location, given=argument, name=name)])
        self._is_remote |= remote
        walk = objects.walk if remote else _local_walk
        return lambda: (_entry(one, location, argument) for one in walk(location, SUFFIXES))

    def _list(self, location: str, argument: str) -> _Source:
        """Read a list's heading, and give what reads its lines."""
        lines: Callable[[str], Iterator[dict[str, Any]]]
        if argument.lower().endswith(".csv"):
            types, lines = _csv_types(location), _csv_lines
        else:
            types, lines = _parquet_types(location), _parquet_lines
        if _IMAGE not in types:
            raise DatasetError(
                f"{argument} has no column {_IMAGE!r}, only {', '.join(types) or 'nothing'}",
                hint="one column holds the images' paths",
            )
        for name, kind in types.items():
            if name != _IMAGE and self.columns.setdefault(name, kind) != kind:
                raise UsageError(
                    f"column {name!r} is {_said(self.columns[name])} in one list and "
                    f"{_said(kind)} in {argument}",
                    hint="give it one type in all of them",
                )
        return lambda: (_listed(line, location) for line in lines(location))


def is_list(argument: str) -> bool:
    """Whether an argument names a list of images."""
    return argument.lower().endswith(LIST_SUFFIXES)


def _entry(one: str, location: str, argument: str, *, flat: bool = False) -> Entry:
    """Make an entry of a file that was found below, or by, what the user named."""
    name = one.rpartition("/")[2] if flat else one.removeprefix(location).lstrip("/")
    given = argument.rstrip("/") + "/" + name
    if flat or objects.is_url(one):
        given = one
    return Entry(location=one, given=given, name=name)


def _listed(line: dict[str, Any], where: str) -> Entry:
    """Make an entry of a list's line; a path is relative to the list."""
    given = str(line.pop(_IMAGE) or "")
    name = given.rpartition("/")[2] if objects.is_url(given) or Path(given).is_absolute() else given
    full = given if objects.is_url(given) else _joined(where, given)
    return Entry(location=objects.located(full), given=full, name=name, carried=tuple(line.items()))


def _joined(where: str, path: str) -> str:
    folder = where.rpartition("/")[0]
    return f"{folder}/{path}" if objects.is_url(where) else str(Path(folder) / path)


def _local_walk(folder: str, suffixes: tuple[str, ...]) -> Iterator[str]:
    for path in sorted(Path(folder).iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _local_walk(str(path), suffixes)
        elif path.suffix.lower() in suffixes:
            yield str(path)


def _is_below(location: str, folder: str) -> bool:
    return not objects.is_url(location) and Path(location).is_relative_to(folder)


def _csv_types(location: str) -> dict[str, Any]:
    with objects.opened(location) as stream, _text(stream) as text:
        try:
            heading = next(csv.reader(text), [])
        except UnicodeDecodeError as error:
            raise DatasetError(f"{location} is no UTF-8 text", hint="save it as UTF-8") from error
    return dict.fromkeys(heading)


def _csv_lines(location: str) -> Iterator[dict[str, Any]]:
    with objects.opened(location) as stream, _text(stream) as text:
        try:
            for number, line in enumerate(csv.DictReader(text, restval=""), 2):
                if None in line:
                    raise DatasetError(
                        f"{location}, line {number}, has more cells than the heading",
                        hint="put cells that hold commas in quotes",
                    )
                yield dict(line)
        except (UnicodeDecodeError, csv.Error) as error:
            raise DatasetError(f"{location} is no CSV in UTF-8: {error}") from error


def _text(stream: Any) -> io.TextIOWrapper:  # noqa: ANN401 - any binary stream
    return io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")


def _parquet_types(location: str) -> dict[str, Any]:
    with objects.opened(location) as stream:
        schema = _parquet(stream, location).schema_arrow
        return {name: None if str(kind) == "string" else kind for name, kind in _pairs(schema)}


def _pairs(schema: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - pyarrow is not typed
    yield from zip(schema.names, schema.types, strict=True)


def _parquet_lines(location: str) -> Iterator[dict[str, Any]]:
    with objects.opened(location) as stream:
        for batch in _parquet(stream, location).iter_batches():
            yield from batch.to_pylist()


def _parquet(stream: Any, location: str) -> Any:  # noqa: ANN401
    """Open a Parquet file."""
    try:
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise UsageError(
            f"pyarrow is not installed, which reads {location}", hint='pip install "retq-hub[ray]"'
        ) from error
    try:
        return ParquetFile(stream)
    except ArrowInvalid as error:
        raise DatasetError(f"{location} is no Parquet file", hint="make it again") from error


def _said(kind: Any) -> str:  # noqa: ANN401
    return "text" if kind is None else str(kind)
