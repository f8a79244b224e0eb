"""SHA-256 of files, of canonical JSON and of weights. No torch here."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "TensorBytes",
    "bytes_digest",
    "file_digest",
    "git_digest",
    "json_digest",
    "weights_digest",
]


@dataclass(frozen=True, kw_only=True)
class TensorBytes:
    """One tensor of a state dict, as the weights digest sees it.

    Attributes:
        name: Its canonical (timm) name.
        dtype: Its safetensors dtype name, for example ``F32``.
        shape: Its shape.
        data: Its elements, row-major, little-endian.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: bytes | memoryview


def bytes_digest(data: bytes) -> str:
    """Give the SHA-256 of some bytes as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def git_digest(kind: str, body: bytes) -> str:
    """Give the id that git gives an object, a SHA-1 of 40 hexadecimal digits.

    Args:
        kind: ``blob``, ``tree`` or ``commit``.
        body: The object.
    """
    head = f"{kind} {len(body)}\0".encode()
    return hashlib.sha1(head + body, usedforsecurity=False).hexdigest()


def file_digest(path: Path) -> str:
    """Give the SHA-256 of a file as 64 hexadecimal digits.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def json_digest(document: Any) -> str:  # noqa: ANN401 - any JSON value
    """Give the SHA-256 of a JSON value in its canonical form.

    Source: RFC 8785, JSON Canonicalization Scheme.
    """
    import rfc8785

    return bytes_digest(rfc8785.dumps(document))


def weights_digest(tensors: Iterable[TensorBytes]) -> str:
    r"""Give one SHA-256 over named tensors, whatever file format they came in.

    For each tensor in the order of its name (by code point): a header line
    ``<name>\t<dtype>\t<d0>x<d1>...\n`` in UTF-8, then the element bytes.
    """
    total = hashlib.sha256()
    for tensor in sorted(tensors, key=lambda tensor: tensor.name):
        shape = "x".join(map(str, tensor.shape))
        total.update(f"{tensor.name}\t{tensor.dtype}\t{shape}\n".encode())
        total.update(tensor.data)
    return total.hexdigest()
