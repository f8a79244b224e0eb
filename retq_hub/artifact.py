"""The artifact on disk: read it, write it, check it. No torch, no network, nothing executable.

An artifact is a folder with four files, and perhaps a picture; docs/artifact.md describes them
byte by byte.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from retq_hub import arrays, schema
from retq_hub.arrays import MAX_FILE_BYTES
from retq_hub.digest import bytes_digest
from retq_hub.errors import (
    Finding,
    IntegrityError,
    ManifestError,
    UsageError,
)
from retq_hub.inspection import (
    GOLDEN,
    MANIFEST,
    QUERY,
    golden_findings,
    sense_findings,
    shape_findings,
)
from retq_hub.manifest import FileDigest, QueryManifest, to_json
from retq_hub.manifestfile import read as read_manifest
from retq_hub.manifestfile import read_anew
from retq_hub.picture import PICTURE, picture_findings
from retq_hub.storage import json_text, whole_folder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

__all__ = [
    "CARD",
    "GOLDEN",
    "MANIFEST",
    "MAX_FILE_BYTES",
    "PICTURE",
    "QUERY",
    "Artifact",
    "Attention",
    "Golden",
    "check_replaceable",
    "check_retrainable",
    "copy",
    "findings",
    "read",
    "read_manifest",
    "with_files",
    "write",
]

CARD = "README.md"

_FILES = (MANIFEST, QUERY, GOLDEN, CARD)


@dataclass(frozen=True, kw_only=True)
class Golden:
    """What the query gives on the probe image, so that it can be checked without patients' images.

    What has no map has no positions, tokens and logits; what has scores of a whole image has what
    was pooled and the scores.

    Attributes:
        positions: (P,) int32, indices into the g * g tokens, row by row.
        tokens: (P, D) float32, the probe's tokens there, as the vectors (or those of attention)
            are multiplied with them.
        logits: (C, g, g) float32, the whole logit map of the probe; of attention (A, g, g).
        pooled: (1, E) float32, what the vectors of a classification are multiplied with.
        scores: (1, L) float32, the scores of a classification.
    """

    positions: "NDArray[np.int32] | None" = None
    tokens: "Floats | None" = None
    logits: "Floats | None" = None
    pooled: "Floats | None" = None
    scores: "Floats | None" = None


@dataclass(frozen=True, kw_only=True)
class Attention:
    """The vectors that weight an image's positions.

    Attributes:
        vector: (A, D) float32.
        bias: (A,) float32.
    """

    vector: "Floats"
    bias: "Floats"


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A query as it was read from disk.

    Attributes:
        manifest: The content of ``retq.json``.
        vector: (C, D) float32; of a classification (C, E), of an ordinal one (1, E).
        bias: (C,) float32; of an ordinal classification (C - 1,).
        golden: The golden test.
        attention: What weights the positions, where a classification pools by attention.
    """

    manifest: QueryManifest
    vector: "Floats"
    bias: "Floats"
    golden: Golden
    attention: Attention | None = None


def read(folder: Path) -> Artifact:
    """Read an artifact and check it throughout.

    Args:
        folder: The artifact's folder.

    Raises:
        NotFoundError: The folder holds no artifact.
        ManifestError: The manifest breaks its schema.
        DigestMismatch: A file is not the one that the manifest names.
        IntegrityError: The tensors do not fit the manifest, or the golden test fails.
    """
    manifest = read_manifest(folder)
    query = arrays.read(folder / QUERY, manifest.files[QUERY])
    golden = arrays.read(folder / GOLDEN, manifest.files[GOLDEN])
    if found := [*shape_findings(manifest, query, golden), *sense_findings(manifest)]:
        raise IntegrityError(f"{folder}: " + "; ".join(map(str, found)), hint="get it again")
    if found := list(golden_findings(query, golden)):
        raise IntegrityError(f"{folder}: " + "; ".join(map(str, found)), hint="get it again")
    attention = None
    if "attention" in query:
        attention = Attention(vector=query["attention"], bias=query["attention_bias"])
    return Artifact(
        manifest=manifest,
        vector=query["query"],
        bias=query["bias"],
        golden=Golden(**golden),
        attention=attention,
    )


def findings(folder: Path) -> list[Finding]:
    """Collect all that is wrong with an artifact.

    Returns:
        The findings; empty if the artifact is intact.

    Raises:
        NotFoundError: The folder holds no artifact.
    """
    try:
        manifest = read_anew(folder)
    except ManifestError as error:
        return [replace(one, where=f"{MANIFEST}/{one.where}") for one in error.findings]
    found = [*sense_findings(manifest)]
    if not (folder / CARD).is_file():
        found.append(Finding(where=CARD, what="is missing"))
    found += picture_findings(folder)
    tensors = {}
    for name in (QUERY, GOLDEN):
        try:
            tensors[name] = arrays.read(folder / name, manifest.files[name])
        except IntegrityError as error:
            found.append(Finding(where=name, what=error.found))
    if len(tensors) == 2:
        found += shape_findings(manifest, tensors[QUERY], tensors[GOLDEN])
    if not found:
        try:
            read(folder)
        except IntegrityError as error:
            found.append(Finding(where="", what=error.found))
    return found


def write(
    folder: Path,
    *,
    manifest: QueryManifest,
    vector: "Floats",
    bias: "Floats",
    golden: Golden,
    card: str,
    picture: bytes | None = None,
    attention: Attention | None = None,
) -> QueryManifest:
    """Write an artifact, whole or not at all; the same input gives the same bytes.

    Args:
        folder: Where it shall be; an artifact that is there is replaced, other files in it stay.
        manifest: The manifest; its ``files`` are filled in here.
        vector: See `Artifact`.
        bias: See `Artifact`.
        golden: The golden test.
        card: The model card's text.
        picture: The JPEG beside the card; if not given, one that is there stays.
        attention: What weights the positions, where a classification pools by attention.

    Returns:
        The manifest as it was written.

    Raises:
        ManifestError: The manifest breaks its schema.
        UsageError: The folder holds something else than an artifact.
        StorageError: The place cannot be written.
    """
    made = Artifact(manifest=manifest, vector=vector, bias=bias, golden=golden, attention=attention)
    manifest = with_files(made).manifest
    document = to_json(manifest)
    schema.check(document, schema.QUERY, subject=MANIFEST)
    with _replacing(folder) as temporary:
        for name, blob in _blobs(made).items():
            (temporary / name).write_bytes(blob)
        (temporary / MANIFEST).write_text(json_text(document), encoding="utf-8")
        (temporary / CARD).write_text(card, encoding="utf-8")
        if picture is not None:
            (temporary / PICTURE).write_bytes(picture)
    return manifest


def with_files(made: Artifact) -> Artifact:
    """Give an artifact whose manifest names its files' digests, as it will be written."""
    blobs = _blobs(made).items()
    files = {name: FileDigest(sha256=bytes_digest(one), size=len(one)) for name, one in blobs}
    return replace(made, manifest=replace(made.manifest, files=files))


def copy(source: Path, goal: Path) -> None:
    """Copy an artifact, whole or not at all, and verify the copy.

    Args:
        source: The artifact.
        goal: The copy's folder; an artifact that is there is replaced, other files in it stay.

    Raises:
        UsageError: ``goal`` holds something else than an artifact.
        IntegrityError: The artifact is not intact.
        StorageError: The place cannot be written.
    """
    if found := picture_findings(source):
        raise IntegrityError(f"{source}: {found[0]}", hint="get it again, or remove the picture")
    with _replacing(goal) as temporary:
        (temporary / PICTURE).unlink(missing_ok=True)
        for name in (*_FILES, PICTURE):
            if (source / name).is_file():
                shutil.copyfile(source / name, temporary / name)
        read(temporary)


def check_replaceable(folder: Path) -> None:
    """Refuse to put an artifact where something else is.

    Raises:
        UsageError: The folder is not empty and holds no artifact, is no folder, or is the one that
            we are in.
    """
    if folder.exists() and folder.resolve() == Path.cwd():
        raise UsageError("the folder you are in cannot be replaced", hint="name a folder in it")
    if folder.is_dir() and not (folder / MANIFEST).is_file() and any(folder.iterdir()):
        raise UsageError(
            f"{folder} is not empty and holds no artifact: nothing in it is overwritten",
            hint="name a new folder",
        )
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file, a folder is needed", hint="name a new folder")


def check_retrainable(folder: Path) -> None:
    """Refuse what `check_replaceable` refuses, and to lose figures that were recorded.

    Raises:
        UsageError: The folder holds something else than an artifact, or one with figures.
    """
    check_replaceable(folder)
    if not (folder / MANIFEST).is_file():
        return
    try:
        manifest = read_manifest(folder)
    except ManifestError:
        return
    if manifest.metrics or manifest.graded:
        raise UsageError(
            f"{folder} holds {manifest.name} {manifest.version} with recorded figures, which would "
            "be lost",
            hint="name a new folder, or remove it first",
        )


def _blobs(made: Artifact) -> dict[str, bytes]:
    """Give the bytes of the files that hold tensors."""
    query = {"query": made.vector, "bias": made.bias}
    if (weights := made.attention) is not None:
        query |= {"attention": weights.vector, "attention_bias": weights.bias}
    golden = {name: one for name, one in vars(made.golden).items() if one is not None}
    return {QUERY: arrays.blob(**query), GOLDEN: arrays.blob(**golden)}


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """Yield a folder that takes the place of an artifact, with the other files that lie there."""
    check_replaceable(folder)
    with whole_folder(folder) as temporary:
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.is_dir():
                shutil.copytree(path, temporary / path.name, symlinks=True)
            elif path.name not in _FILES:
                shutil.copy2(path, temporary / path.name)
        yield temporary
