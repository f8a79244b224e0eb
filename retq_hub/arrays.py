"""Arrays in a file of an artifact: the same bytes for the same arrays, read only if as promised."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retq_hub.digest import bytes_digest
from retq_hub.errors import DigestMismatch, IntegrityError
from retq_hub.manifest import FileDigest

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MAX_FILE_BYTES", "blob", "read"]

MAX_FILE_BYTES = 256 * 2**20
"""No file of a query is larger."""

_HINT = "get the artifact again"


def blob(**arrays: "NDArray[Any]") -> bytes:
    """Give a safetensors file; safetensors writes a strided array as it lies, so lay it out."""
    import numpy as np
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def read(path: Path, promised: FileDigest) -> "Mapping[str, NDArray[Any]]":
    """Give the arrays of a safetensors file by name.

    Args:
        path: The file.
        promised: What the manifest says of it.

    Raises:
        DigestMismatch: It is another file.
        IntegrityError: It is missing, of another size, or no safetensors file.
    """
    data = _bytes(path)
    digest = bytes_digest(data)
    if digest != promised.sha256:
        raise DigestMismatch(str(path), expected=promised.sha256, actual=digest, hint=_HINT)
    if len(data) != promised.size:
        raise IntegrityError(
            f"{path} has a size of {len(data)} bytes, its manifest says {promised.size}",
            hint=_HINT,
        )
    return _loaded(data, path)


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise IntegrityError(f"{path} is larger than 256 MiB, a query is not", hint=_HINT)
        return path.read_bytes()
    except FileNotFoundError as error:
        raise IntegrityError(f"{path} is missing", hint=_HINT) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise IntegrityError(f"{path} cannot be read ({reason})", hint=_HINT) from error


def _loaded(data: bytes, path: Path) -> "Mapping[str, NDArray[Any]]":
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(data)
    except KeyError as error:
        raise IntegrityError(
            f"{path} is no safetensors file of a query: it has tensors of type {error}", hint=_HINT
        ) from error
    except (SafetensorError, ValueError) as error:
        raise IntegrityError(f"{path} is no safetensors file: {error}", hint=_HINT) from error
