"""Shards: the tensors of some images in one file, and the index that says whose they are.

``shard-000000.safetensors`` holds each tensor of all its images in one piece, so that a query reads
what its basis names and nothing else. ``shard-000000.jsonl`` is written last: without it there is
no shard. Its first line has the check sum of the other lines, one an image; these have a check sum
of each tensor's row. Damage is found when something is read.
"""

import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from retq_hub.errors import IntegrityError, StorageError
from retq_hub.storage import whole_file
from retq_hub.store.contents import Contents

__all__ = ["Entry", "Shard", "numbers", "write_shard"]

_SPEC = "retq-shard/1"
_INDEX = re.compile(r"shard-(\d{6,})\.jsonl")
_DTYPES = {"float16": torch.float16, "float32": torch.float32, "uint8": torch.uint8}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One image of a store.

    Attributes:
        image: Its path as it was given.
        sha256: Of its file.
        width: In pixels.
        height: In pixels.
        stem: What the files of its results begin with.
    """

    image: str
    sha256: str
    width: int
    height: int
    stem: str

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.width, self.height


@dataclass(frozen=True)
class _Line:
    entry: Entry
    sums: tuple[int, ...]


def numbers(folder: Path) -> list[int]:
    """Give the numbers of a folder's shards, in the order in which they were written."""
    found = (_INDEX.fullmatch(path.name) for path in folder.iterdir())
    return sorted(int(one[1]) for one in found if one)


def write_shard(
    folder: Path, number: int, entries: Sequence[Entry], tensors: Mapping[str, Tensor]
) -> None:
    """Write a shard, whole or not at all.

    Args:
        folder: The store's.
        number: The shard's; what has that number is replaced.
        entries: Its images.
        tensors: By name; their first axis goes over the images.

    Raises:
        StorageError: The folder cannot be written.
    """
    data, index = _paths(folder, number)
    with whole_file(data) as temporary:
        try:
            save_file(dict(tensors), temporary)
        except SafetensorError as error:
            raise StorageError(
                f"cannot write {data}: {error}", hint="free some space or choose another place"
            ) from error
    rows = [
        asdict(entry) | {"crc32": [_check_sum(tensors[name][place]) for name in sorted(tensors)]}
        for place, entry in enumerate(entries)
    ]
    body = "".join(json.dumps(row) + "\n" for row in rows).encode()
    head = {
        "spec": _SPEC,
        "images": len(entries),
        "tensors": sorted(tensors),
        "crc32": zlib.crc32(body),
    }
    with whole_file(index) as temporary:
        temporary.write_bytes(json.dumps(head).encode() + b"\n" + body)


class Shard:
    """A shard that is read.

    Args:
        folder: The store's.
        number: The shard's.
        contents: What the store holds of each image.

    Raises:
        IntegrityError: The index is not what was written.
    """

    def __init__(self, folder: Path, number: int, contents: Contents) -> None:
        self._data, self._index = _paths(folder, number)
        self._contents = contents
        self._names = sorted(contents.tensors)
        self._lines = self._read_index()

    def __len__(self) -> int:
        """Count the images."""
        return len(self._lines)

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """The images, in the order of their rows."""
        return tuple(line.entry for line in self._lines)

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        """Give a tensor's rows, mapped from the file and compared with their check sums.

        Args:
            name: One of the tensors that the store holds.
            start: The first image.
            stop: Behind the last image.

        Returns:
            (stop - start, ...) of the type and shape that `Contents.tensors` says; not to be
            written to.

        Raises:
            IntegrityError: They are not what was written.
        """
        column = self._names.index(name)
        found = self._mapped(name)[start:stop]
        for place, row in enumerate(found, start):
            if _check_sum(row) != self._lines[place].sums[column]:
                raise self._damaged(self._data, f"its {name} of {self.entries[place].image}")
        return found

    def _mapped(self, name: str) -> Tensor:
        try:
            with safe_open(self._data, framework="pt") as stored:
                found: Tensor = stored.get_tensor(name)
        except (OSError, SafetensorError) as error:
            raise self._damaged(self._data, "it") from error
        row = self._contents.tensors[name]
        if found.shape != (len(self), *row.shape) or found.dtype != _DTYPES[row.dtype]:
            raise self._damaged(self._data, f"its {name}")
        return found

    def _read_index(self) -> list[_Line]:
        first, _, body = self._index.read_bytes().partition(b"\n")
        try:
            head = json.loads(first)
            if head != {
                "spec": _SPEC,
                "images": body.count(b"\n"),
                "tensors": self._names,
                "crc32": zlib.crc32(body),
            }:
                raise self._damaged(self._index, "it")
            return [_line(json.loads(line)) for line in body.splitlines()]
        except (ValueError, TypeError, KeyError) as error:
            raise self._damaged(self._index, "it") from error

    def _damaged(self, path: Path, what: str) -> IntegrityError:
        return IntegrityError(
            f"{path} is damaged: {what} is not what was written",
            hint=f"delete {self._index.name} and run `retq embed` again: it makes anew what is "
            "missing",
        )


def _line(document: dict[str, object]) -> _Line:
    members = {field.name: document[field.name] for field in fields(Entry)}
    sums = document["crc32"]
    assert isinstance(sums, list), "the check sum of the index covers it"
    stem = Path(str(members["stem"]))
    if stem.is_absolute() or ".." in stem.parts:
        raise ValueError("files of results lie in their folder")
    return _Line(Entry(**members), tuple(sums))  # type: ignore[arg-type]


def _check_sum(row: Tensor) -> int:
    return zlib.crc32(row.numpy().data)


def _paths(folder: Path, number: int) -> tuple[Path, Path]:
    stem = f"shard-{number:06d}"
    return folder / f"{stem}.safetensors", folder / f"{stem}.jsonl"
