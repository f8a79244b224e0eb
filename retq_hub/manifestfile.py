"""``retq.json`` in an artifact's folder: read, and checked against its schema. No torch, no numpy.

Loading the schema's validator takes longer than all else that `retq info` does. A manifest that the
index of the package lists by its digest was checked when that index was made, and is the same one;
it is not held against the schema again, wherever it lies. Every other manifest is.
"""

from functools import cache
from pathlib import Path
from typing import Any

from retq_hub import schema
from retq_hub.embedded import REGISTRY
from retq_hub.errors import Finding, ManifestError, NotFoundError
from retq_hub.inspection import MANIFEST
from retq_hub.manifest import QueryManifest, from_json

__all__ = ["read", "read_anew"]


def read(folder: Path) -> QueryManifest:
    """Read and check ``retq.json`` alone.

    Raises:
        NotFoundError: The folder holds no artifact.
        ManifestError: The manifest breaks its schema.
    """
    document, path = _document(folder)
    try:
        manifest = _manifest(document, path)
    except ManifestError:
        manifest = None
    if manifest is not None and _ships(manifest.digest):
        return manifest
    return _checked(document, path)


def read_anew(folder: Path) -> QueryManifest:
    """Do the same, and hold a manifest that ships with the package against the schema too.

    Raises:
        NotFoundError: The folder holds no artifact.
        ManifestError: The manifest breaks its schema.
    """
    return _checked(*_document(folder))


def _document(folder: Path) -> tuple[Any, Path]:
    path = folder / MANIFEST
    if not folder.exists():
        raise NotFoundError(f"there is no folder {folder}", hint="check the path")
    if not path.is_file():
        raise NotFoundError(
            f"{folder} is no artifact: it has no {MANIFEST}", hint="name a folder that has one"
        )
    return schema.read_json(path), path


def _checked(document: Any, path: Path) -> QueryManifest:  # noqa: ANN401 - any JSON value
    schema.check(document, schema.QUERY, subject=str(path))
    return _manifest(document, path)


def _manifest(document: Any, path: Path) -> QueryManifest:  # noqa: ANN401 - any JSON value
    """Refuse what the schema lets pass and no digest can hold: huge integers, lone surrogates."""
    try:
        manifest = from_json(document, QueryManifest)
        _ = manifest.digest
    except ValueError as error:
        line = str(error).splitlines()[0]
        raise ManifestError(
            str(path), [Finding(where="", what=line)], hint="get the artifact again"
        ) from error
    return manifest


def _ships(digest: str) -> bool:
    """Whether the package's own index lists an artifact of this digest."""
    return f'"digest":"{digest}"'.encode() in _index()


@cache
def _index() -> bytes:
    path = REGISTRY / "index.json"
    return path.read_bytes() if path.is_file() else b""
