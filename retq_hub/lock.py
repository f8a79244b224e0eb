"""The lock, ``retq.lock``: a backbone and queries, each pinned by digests and by where it is had.

What a lock says, how it is read and written, and whether a folder holds what it pins. It looks for
nothing: no names, no network. No torch here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from retq_hub import artifact, schema
from retq_hub.digest import file_digest, json_digest
from retq_hub.errors import BadInputError, DigestMismatch, Finding, IntegrityError, ManifestError
from retq_hub.manifest import FileDigest, from_json, to_json
from retq_hub.storage import write_json

__all__ = [
    "FILE",
    "Lock",
    "Origin",
    "PinnedBackbone",
    "PinnedQuery",
    "differences",
    "pinned",
    "read",
    "verify",
    "verify_file",
    "write",
]

FILE = "retq.lock"
"""What a lock is called where nobody names it otherwise."""

_SPEC = "retq-lock/1"
_FILES = (artifact.MANIFEST, artifact.QUERY, artifact.GOLDEN)
_MAX_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class PinnedBackbone:
    """The backbone that all queries of a lock are applied to."""

    id: str
    weights_digest: str
    preprocessing_digest: str


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where an artifact is had; which members are set depends on ``kind``.

    Attributes:
        kind: A registry, whichever has that name, version and digest; a commit of a Hub's
            repository; a folder below the lock's own.
        repo: ``namespace/name`` on a Hub.
        commit: The repository's commit.
        path: The folder, relative to that of the lock.
    """

    kind: Literal["registry", "hub", "folder"]
    repo: str | None = None
    commit: str | None = None
    path: str | None = None

    def __str__(self) -> str:
        if self.kind == "hub":
            return f"{self.repo}@{str(self.commit)[:12]}"
        return f"./{self.path}" if self.kind == "folder" else "registry"


@dataclass(frozen=True, kw_only=True)
class PinnedQuery:
    """One query of a lock.

    Attributes:
        name: Of the query; its results are found under it.
        version: Of the query.
        digest: The artifact's digest.
        files: Digest and size of each file of the artifact; the card is not pinned.
        origin: Where it is had.
    """

    name: str
    version: str
    digest: str
    files: dict[str, FileDigest]
    origin: Origin


@dataclass(frozen=True, kw_only=True)
class Lock:
    """A backbone and queries, pinned.

    Attributes:
        backbone: What all queries are applied to.
        queries: In the order of the pipeline.
        name: Of a composed pipeline that is shared; with it go version and summary.
        version: Of that pipeline.
        summary: Of that pipeline, one line.
    """

    backbone: PinnedBackbone
    queries: tuple[PinnedQuery, ...]
    name: str | None = None
    version: str | None = None
    summary: str | None = None
    spec: str = _SPEC

    @property
    def digest(self) -> str:
        """SHA-256 of the lock's canonical JSON."""
        return json_digest(to_json(self))


def read(path: Path) -> Lock:
    """Read and check a lock.

    Raises:
        NotFoundError: There is no such file.
        ManifestError: It is no lock: not JSON, too large, against its schema, a query twice.
        BadInputError: It is of a newer kind.
    """
    try:
        if path.is_file() and path.stat().st_size > _MAX_BYTES:
            raise ManifestError(
                str(path), [Finding(where="", what="is larger than 1 MiB, a lock is not")]
            )
    except (OSError, ValueError) as error:
        raise ManifestError(
            repr(str(path)), [Finding(where="", what="cannot be the path of a file")]
        ) from error
    document = schema.read_json(path)
    _check_age(document, path)
    schema.check(document, schema.LOCK, subject=str(path))
    found = from_json(document, Lock)
    if wrong := _sense(found):
        raise ManifestError(str(path), wrong, hint="make it anew with `retq lock`")
    return found


def write(path: Path, lock: Lock) -> None:
    """Write a lock, whole or not at all; the same lock gives the same bytes.

    Raises:
        ManifestError: It breaks its schema, or holds a query twice.
        StorageError: The place cannot be written.
    """
    document = to_json(lock)
    schema.check(document, schema.LOCK, subject="the lock")
    if wrong := _sense(lock):
        raise ManifestError("the lock", wrong)
    write_json(path, document)


def pinned(folder: Path, origin: Origin) -> PinnedQuery:
    """Pin an artifact as it lies in a folder.

    Raises:
        RetqError: The artifact is not intact.
    """
    manifest = artifact.read(folder).manifest
    return PinnedQuery(
        name=manifest.name,
        version=manifest.version,
        digest=manifest.digest,
        files={
            name: FileDigest(sha256=file_digest(folder / name), size=(folder / name).stat().st_size)
            for name in _FILES
        },
        origin=origin,
    )


def differences(old: Lock, new: Lock) -> list[str]:
    """Say what differs, a line each: the backbone, then members by name."""
    lines = []
    if old.backbone != new.backbone:
        was, now = (f"{one.id} {one.weights_digest[:12]}" for one in (old.backbone, new.backbone))
        lines.append(f"backbone {was} -> {now}")
    before, after = ({one.name: one for one in lock.queries} for lock in (old, new))
    for name in dict.fromkeys((*before, *after)):
        if name not in after:
            lines.append(f"{name} {before[name].version} removed")
        elif name not in before:
            lines.append(f"{name} {after[name].version} added")
        elif before[name].version != after[name].version:
            lines.append(f"{name} {before[name].version} -> {after[name].version}")
        elif before[name] != after[name]:
            lines.append(f"{name} {after[name].version} is had from {after[name].origin}")
    return lines


def verify(folder: Path, query: PinnedQuery) -> artifact.Artifact:
    """Read the artifact in a folder if it is the pinned one, file by file.

    Raises:
        DigestMismatch: A file, or the artifact as a whole, is another one.
        IntegrityError: A file is missing or has another size, or the artifact is not intact.
    """
    for name in _FILES:
        verify_file(folder, name, query)
    found = artifact.read(folder)
    if found.manifest.digest != query.digest:
        raise DigestMismatch(
            f"{query.name} in {folder}", expected=query.digest, actual=found.manifest.digest
        )
    if (found.manifest.name, found.manifest.version) != (query.name, query.version):
        raise IntegrityError(
            f"{folder} holds {found.manifest.name} {found.manifest.version}, the lock says "
            f"{query.name} {query.version}"
        )
    return found


def verify_file(folder: Path, name: str, query: PinnedQuery) -> None:
    """Refuse a file of an artifact that is not the pinned one.

    Raises:
        DigestMismatch: It is another one; both digests are named.
        IntegrityError: It is missing, or has another size.
    """
    path, wanted = folder / name, query.files[name]
    hint = f"restore {query.name} {query.version}, or lock what is there now with `retq lock`"
    try:
        size = path.stat().st_size
        actual = file_digest(path) if size <= artifact.MAX_FILE_BYTES else "(too large to be one)"
    except OSError as error:
        reason = error.strerror or str(error)
        raise IntegrityError(f"{path} cannot be read ({reason})", hint=hint) from error
    if actual != wanted.sha256:
        raise DigestMismatch(str(path), expected=wanted.sha256, actual=actual, hint=hint)
    if size != wanted.size:
        raise IntegrityError(f"{path} has {size} bytes, the lock says {wanted.size}", hint=hint)


def _check_age(document: Any, path: Path) -> None:  # noqa: ANN401 - any JSON value
    """Say plainly that a lock is of a newer kind, rather than list what is wrong with it."""
    spec = document.get("spec") if isinstance(document, dict) else None
    if isinstance(spec, str) and spec != _SPEC and spec.startswith("retq-lock/"):
        raise BadInputError(
            f"{path} is a lock of the kind {spec[:40]!r}, this retq reads {_SPEC}",
            hint="install a newer retq-hub, or make the lock anew with `retq lock`",
        )


def _sense(lock: Lock) -> list[Finding]:
    """Find what the schema lets pass."""
    names = [one.name for one in lock.queries]
    found = [
        Finding(where=f"queries/{number}/name", what=f"{name!r} is there twice")
        for number, name in enumerate(names)
        if name in names[:number]
    ]
    try:
        _ = lock.digest
    except ValueError as error:
        found.append(Finding(where="", what=str(error).splitlines()[0]))
    return found
