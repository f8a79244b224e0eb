"""What a commit's files say of it: card, tags, library, number of parameters; kept with it."""

import json
import math
from collections.abc import Callable
from typing import Any

import msgspec

from retq_hub.inspection import GOLDEN, QUERY
from retq_hub.server import cards
from retq_hub.server.trees import Entry, Tree

__all__ = ["Description", "decode", "describe"]

_MAX_CARD = 2**20
_MAX_HEADER = 2**20
_MAX_TENSORS = 10_000


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


def describe(tree: Tree, read: Callable[[str], bytes]) -> Description:
    """Describe the files of a commit.

    Args:
        tree: The files.
        read: Gives the content of the file at a path.

    Raises:
        BadCard: The README's head cannot be used.
    """
    card: dict[str, Any] = {}
    entry = tree.get(cards.CARD)
    if entry is not None:
        if entry.size > _MAX_CARD:
            raise cards.BadCard("the README is larger than 1 MiB")
        card = cards.read(read(cards.CARD).decode("utf-8", errors="replace"))
    parameters = _parameters(tree, read)
    found = cards.tags(card)
    if parameters is not None and "safetensors" not in found:
        found.append("safetensors")
    return Description(card=card, tags=found, parameters=parameters)


def _parameters(tree: Tree, read: Callable[[str], bytes]) -> dict[str, int] | None:
    """Count the elements of the query, or of all tensor files at the top."""
    names = [path for path in tree if path.endswith(".safetensors") and "/" not in path]
    names = [QUERY] if QUERY in names else [name for name in names if name != GOLDEN]
    total: dict[str, int] = {}
    for name in names:
        for dtype, count in _header(tree[name], lambda name=name: read(name)).items():  # type: ignore[misc]
            total[dtype] = total.get(dtype, 0) + count
    return total or None


def _header(entry: Entry, read: Callable[[], bytes]) -> dict[str, int]:
    """Count the elements of one file by its header alone; a header that lies counts nothing."""
    if entry.size > 64 * _MAX_HEADER:
        return {}
    data = read()
    length = int.from_bytes(data[:8], "little")
    if not 2 <= length <= min(_MAX_HEADER, len(data) - 8):
        return {}
    try:
        header = json.loads(data[8 : 8 + length])
        tensors = [one for name, one in header.items() if name != "__metadata__"]
        counts: dict[str, int] = {}
        for one in tensors[:_MAX_TENSORS]:
            count = math.prod(_size(side) for side in one["shape"][:8])
            counts[str(one["dtype"])[:16]] = counts.get(str(one["dtype"])[:16], 0) + count
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    return counts if sum(counts.values()) <= len(data) * 8 else {}


def _size(side: object) -> int:
    if not isinstance(side, int) or not 0 <= side < 2**40:
        raise ValueError("no side of a tensor")
    return side
