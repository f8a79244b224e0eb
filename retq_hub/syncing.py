"""From a lock to verified folders: what is here is used, what is missing is fetched. No torch.

Nothing is asked of a network for what is here and intact. What is damaged is fetched again, once.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from retq_hub import artifact, registry, remote, weightfile
from retq_hub.errors import (
    BackboneMismatch,
    CheckpointError,
    DigestMismatch,
    NotFoundError,
    RetqError,
    storage_errors,
)
from retq_hub.hub import reading
from retq_hub.lock import Lock, PinnedBackbone, PinnedQuery, verify, verify_file
from retq_hub.manifest import QueryManifest
from retq_hub.progress import Progress, Silent
from retq_hub.spec import BackboneSpec

__all__ = [
    "Member",
    "Synced",
    "check_weights",
    "find",
    "manifest",
    "pinned_spec",
    "sync",
    "sync_backbone",
    "sync_queries",
]

State = Literal["here", "fetched", "fetched again"]


@dataclass(frozen=True, kw_only=True)
class Member:
    """A query of a lock that is on this machine, verified.

    Attributes:
        query: What is pinned.
        folder: Where it lies.
        found: What is in it.
        state: What had to be done.
    """

    query: PinnedQuery
    folder: Path
    found: artifact.Artifact
    state: State


@dataclass(frozen=True, kw_only=True)
class Synced:
    """A member of a lock that is on this machine, verified.

    Attributes:
        name: Of the query or backbone.
        version: Of the query; None for a backbone.
        origin: Where it is had, in a word.
        place: Its folder or file here.
        state: What had to be done.
    """

    name: str
    version: str | None
    origin: str
    place: Path
    state: State


def sync(lock: Lock, base: Path, *, progress: Progress) -> Iterator[Synced]:
    """Bring every query of a lock, and then its backbone, onto this machine.

    Args:
        lock: What is pinned.
        base: The folder in which the lock lies.
        progress: Where to report a download.

    Yields:
        Each member once it is here.

    Raises:
        NotFoundError: A member is no longer where the lock says.
        DigestMismatch: A file is another one than was pinned; both digests are named.
        BackboneMismatch: The backbone of that name here is another one.
        NetworkError: What is missing cannot be fetched.
    """
    yield from sync_queries(lock, base, progress=progress)
    yield sync_backbone(lock.backbone, progress=progress)


def sync_queries(lock: Lock, base: Path, *, progress: Progress | None = None) -> Iterator[Synced]:
    """Bring every query of a lock onto this machine, as `sync` does, and no backbone."""
    for query in lock.queries:
        member = find(query, base, progress=progress)
        kept = _kept(member) if query.origin.kind == "registry" else member
        yield Synced(
            name=query.name,
            version=query.version,
            origin=str(query.origin),
            place=kept.folder,
            state=kept.state,
        )


def find(query: PinnedQuery, base: Path, *, progress: Progress | None = None) -> Member:
    """Give a pinned query, verified; it is fetched where it comes from a Hub and is not here.

    Args:
        query: What is pinned.
        base: The folder in which the lock lies.
        progress: Where to say that a version is yanked; a Python warning if not given.

    Raises:
        NotFoundError: It is no longer where the lock says.
        DigestMismatch: A file is another one than was pinned; both digests are named.
        NetworkError: It cannot be fetched.
    """
    if query.origin.kind == "folder":
        return _in_folder(query, base)
    return _on_hub(query) if query.origin.kind == "hub" else _in_registry(query, progress)


def manifest(query: PinnedQuery, base: Path) -> QueryManifest:
    """Give the manifest of a pinned query, verified; of a Hub's query nothing else is fetched.

    Raises:
        RetqError: As `find`.
    """
    origin = query.origin
    if origin.kind != "hub":
        return find(query, base, progress=Silent()).found.manifest
    folder = remote.fetch(str(origin.repo), str(origin.commit), files=[artifact.MANIFEST])
    verify_file(folder, artifact.MANIFEST, query)
    return artifact.read_manifest(folder)


def pinned_spec(pin: PinnedBackbone) -> BackboneSpec:
    """Give the spec of a pinned backbone.

    Raises:
        NotFoundError: No registry has it.
        BackboneMismatch: The backbone of that name here is another one; both digests are named.
    """
    spec = registry.backbone_spec(pin.id)
    pairs = (
        ("weights", pin.weights_digest, spec.weights_digest or pin.weights_digest),
        ("preprocessing", pin.preprocessing_digest, spec.preprocessing_digest),
    )
    for what, wanted, here in pairs:
        if here != wanted:
            raise BackboneMismatch(
                f"{pin.id} has {what} {here} here, the lock pins {wanted}",
                hint="use the registry that the lock was made with, or make the lock anew",
            )
    return spec


def sync_backbone(pin: PinnedBackbone, *, progress: Progress) -> Synced:
    """Bring a pinned backbone's weights onto this machine; damaged ones are fetched again.

    Raises:
        BackboneMismatch: The backbone of that name here is another one.
        DigestMismatch: The weights are others than were pinned.
        NetworkError: No source delivered them.
    """
    spec = pinned_spec(pin)
    found = weightfile.cached(spec)
    state: State = "fetched"
    if found is not None:
        check_weights(pin, found.digest)
        state = "here" if _measures(found) else "fetched again"
    if found is None or state != "here":
        path = _fetched(spec, pin, progress, again=found is not None)
    else:
        path = found.path
    return Synced(
        name=pin.id,
        version=None,
        origin=f"weights {pin.weights_digest[:12]}",
        place=path,
        state=state,
    )


def check_weights(pin: PinnedBackbone, digest: str) -> None:
    """Refuse weights that are not the pinned ones.

    Raises:
        DigestMismatch: They are others; both digests are named.
    """
    if digest != pin.weights_digest:
        raise DigestMismatch(
            f"the weights of {pin.id} here",
            expected=pin.weights_digest,
            actual=digest,
            hint=f"`retq backbones fetch {pin.id} --file CHECKPOINT` takes the right ones",
        )


def _measures(found: weightfile.CachedWeights) -> bool:
    """Whether cached weights are still what they were."""
    try:
        return weightfile.measured(found.path) == found.digest
    except CheckpointError:
        return False


def _fetched(spec: BackboneSpec, pin: PinnedBackbone, progress: Progress, *, again: bool) -> Path:
    from retq_hub import weights

    found = weights.ensure(spec, progress=progress, again=again)
    check_weights(pin, found.digest)
    return found.path


def _in_folder(query: PinnedQuery, base: Path) -> Member:
    folder = base / str(query.origin.path)
    if not folder.is_dir():
        raise NotFoundError(
            f"there is no folder {folder}, which the lock names for {query.name}",
            hint="put it back, or make the lock anew",
        )
    return Member(query=query, folder=folder, found=verify(folder, query), state="here")


def _on_hub(query: PinnedQuery) -> Member:
    """Use what the client's cache holds; where that is not what is pinned, have it fetched."""
    repo, commit = str(query.origin.repo), str(query.origin.commit)
    folder = reading.snapshot_folder(repo, commit)
    if found := _intact(folder, query):
        return Member(query=query, folder=folder, found=found, state="here")
    damaged = all(reading.cached(repo, commit, name) for name in query.files)
    folder = remote.fetch(repo, commit)
    state: State = "fetched again" if damaged else "fetched"
    return Member(query=query, folder=folder, found=verify(folder, query), state=state)


def _in_registry(query: PinnedQuery, progress: Progress | None) -> Member:
    """Use a copy in the cache, or the registry's own folder."""
    folder = registry.copy_folder(query.name, query.version, query.digest)
    if not (found := _intact(folder, query)):
        folder = registry.locate(f"{query.name}@{query.version}", progress=progress)
        found = verify(folder, query)
    return Member(query=query, folder=folder, found=found, state="here")


def _kept(member: Member) -> Member:
    """Put a copy of a registry's query into the cache, so that the lock needs no registry."""
    from filelock import FileLock

    query = member.query
    copy = registry.copy_folder(query.name, query.version, query.digest)
    if member.folder == copy:
        return member
    with storage_errors(copy):
        copy.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(copy.parent / ".lock"):
        state: State = "fetched again" if copy.exists() else "fetched"
        if not _intact(copy, query):
            shutil.rmtree(copy, ignore_errors=True)
            artifact.copy(member.folder, copy)
        return Member(query=query, folder=copy, found=verify(copy, query), state=state)


def _intact(folder: Path, query: PinnedQuery) -> artifact.Artifact | None:
    try:
        return verify(folder, query)
    except RetqError:
        return None
