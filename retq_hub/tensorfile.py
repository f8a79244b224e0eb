"""Tensors in a file that is whole or taken for absent: safetensors with a check sum."""

import zlib
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from retq_hub.storage import whole_file

__all__ = ["read", "write"]

_KEY = "crc32"


def write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors by name, whole or not at all.

    Raises:
        StorageError: The place cannot be written.
    """
    with whole_file(path) as temporary:
        temporary.write_bytes(save(dict(tensors), metadata={_KEY: _check_sum(tensors)}))


def read(path: Path) -> dict[str, Tensor] | None:
    """Give all tensors of a file; None if it is not there, cut short or altered."""
    try:
        with safe_open(path, framework="pt") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            metadata = stored.metadata() or {}
    except (OSError, SafetensorError):
        return None
    return tensors if metadata.get(_KEY) == _check_sum(tensors) else None


def _check_sum(tensors: Mapping[str, Tensor]) -> str:
    total = 0
    for name in sorted(tensors):
        total = zlib.crc32(name.encode(), total)
        total = zlib.crc32(tensors[name].contiguous().numpy().data, total)
    return f"{total:08x}"
