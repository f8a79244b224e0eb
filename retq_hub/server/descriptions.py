"""What a commit's files say of it: card, tags, library, number of parameters; kept with it."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from retq_hub.inspection import GOLDEN, QUERY
from retq_hub.server import cards
from retq_hub.server.trees import Tree

__all__ = ["Description", "decode", "describe"]

_MAX_CARD = 2**20
_MAX_HEADER = 2**20
_MAX_FILES = 100
_MAX_DTYPE = 16


class Description(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of a commit without opening its files again.

    Attributes:
        card: The head of its README.
        tags: What it can be filtered by.
        parameters: Number of elements of its tensors by dtype; None: no tensors.
    """

    card: dict[str, Any] = {}
    tags: list[str] = []
    parameters: dict[str, int] | None = None

    def encode(self) -> str:
        """Give it as it is kept."""
        return msgspec.json.encode(self).decode()


_decoder = msgspec.json.Decoder(Description)


def decode(text: str) -> Description:
    """Read what `Description.encode` gave."""
    return _decoder.decode(text)


def describe(tree: Tree, locate: Callable[[str], Path]) -> Description:
    """Describe the files of a commit.

    Args:
        tree: The files.
        locate: Gives the place of the content of the file at a path.

    Raises:
        BadCard: The README's head cannot be used.
    """
    card: dict[str, Any] = {}
    entry = tree.get(cards.CARD)
    if entry is not None:
        if entry.size > _MAX_CARD:
            raise cards.BadCard("the README is larger than 1 MiB")
        card = cards.read(locate(cards.CARD).read_text(encoding="utf-8", errors="replace"))
    parameters = _parameters(tree, locate)
    found = cards.tags(card)
    if parameters is not None and "safetensors" not in found:
        found.append("safetensors")
    return Description(card=card, tags=found, parameters=parameters)


def _parameters(tree: Tree, locate: Callable[[str], Path]) -> dict[str, int] | None:
    """Count the elements of the query, or of all tensor files at the top."""
    names = [path for path in tree if path.endswith(".safetensors") and "/" not in path]
    names = [QUERY] if QUERY in names else [name for name in names if name != GOLDEN]
    total: dict[str, int] = {}
    for name in names[:_MAX_FILES]:
        for dtype, count in _elements(locate(name)).items():
            total[dtype] = total.get(dtype, 0) + count
    return total or None


def _elements(path: Path) -> dict[str, int]:
    """Count the elements of a file by its header alone; a header that lies counts nothing."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= min(_MAX_HEADER, size - 8):
            return {}
        header = stream.read(length)
    try:
        counts = _counted(json.loads(header))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    return counts if sum(counts.values()) <= 8 * size else {}


def _counted(header: dict[str, Any]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name, tensor in header.items():
        if name != "__metadata__":
            dtype = str(tensor["dtype"])
            if not (dtype.isascii() and dtype.isprintable() and len(dtype) <= _MAX_DTYPE):
                raise ValueError("no name of a type")
            counts[dtype] = counts.get(dtype, 0) + math.prod(map(_size, tensor["shape"][:8]))
    return counts


def _size(side: object) -> int:
    if not isinstance(side, int) or not 0 <= side < 2**40:
        raise ValueError("no side of a tensor")
    return side
