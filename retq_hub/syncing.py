"""From a lock to verified folders: what is here is used, what is missing is fetched. No torch.

Nothing is asked of a network for what is here and intact. What is damaged is fetched again, once.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from retq_hub import artifact, registry
from retq_hub.errors import (
    BackboneMismatch,
    DigestMismatch,
    IntegrityError,
    NotFoundError,
    RetqError,
)
from retq_hub.lock import Lock, PinnedBackbone, PinnedQuery, verify
from retq_hub.progress import Progress
from retq_hub.spec import BackboneSpec

__all__ = [
    "Synced",
    "check_weights",
    "find",
    "pinned_spec",
    "sync",
    "sync_backbone",
    "sync_queries",
]

State = Literal["here", "fetched", "fetched again"]


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
    yield from sync_queries(lock, base)
    yield sync_backbone(lock.backbone, progress=progress)


def sync_queries(lock: Lock, base: Path) -> Iterator[Synced]:
    """Bring every query of a lock onto this machine, as `sync` does, and no backbone."""
    for query in lock.queries:
        found = find(query, base)
        yield _kept(found, query) if query.origin.kind == "registry" else found


def find(query: PinnedQuery, base: Path) -> Synced:
    """Give the folder of a pinned query, verified; fetched only where it comes from a Hub.

    Raises:
        NotFoundError: It is no longer where the lock says.
        DigestMismatch: A file is another one than was pinned.
        NetworkError: It cannot be fetched.
    """
    finders = {"folder": _in_folder, "registry": _in_registry}
    return finders[query.origin.kind](query, base)


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
    from retq_hub import weights

    spec = pinned_spec(pin)
    before = weights.cached(spec)
    found = weights.ensure(spec, progress=progress)
    state: State = "fetched" if before is None else "here"
    check_weights(pin, found.digest)
    try:
        weights.load(found)
    except IntegrityError:
        if before is None:
            raise
        state = "fetched again"
        found = weights.ensure(spec, progress=progress, again=True)
        check_weights(pin, found.digest)
    return Synced(name=pin.id, version=None, origin=found.origin, place=found.path, state=state)


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


def _in_folder(query: PinnedQuery, base: Path) -> Synced:
    folder = base / str(query.origin.path)
    if not folder.is_dir():
        raise NotFoundError(
            f"there is no folder {folder}, which the lock names for {query.name}",
            hint="put it back, or make the lock anew",
        )
    verify(folder, query)
    return _synced(query, folder, "here")


def _in_registry(query: PinnedQuery, base: Path) -> Synced:
    """Find a copy in the cache, or the registry's own folder."""
    copy = registry.copy_folder(query.name, query.version, query.digest)
    if copy.exists() and _is_intact(copy, query):
        return _synced(query, copy, "here")
    folder = registry.locate(f"{query.name}@{query.version}")
    verify(folder, query)
    return _synced(query, folder, "here")


def _kept(found: Synced, query: PinnedQuery) -> Synced:
    """Put a copy of a registry's query into the cache, so that the lock needs no registry."""
    copy = registry.copy_folder(query.name, query.version, query.digest)
    if found.place == copy:
        return found
    damaged = copy.exists()
    shutil.rmtree(copy, ignore_errors=True)
    artifact.copy(found.place, copy)
    verify(copy, query)
    return _synced(query, copy, "fetched again" if damaged else "fetched")


def _is_intact(folder: Path, query: PinnedQuery) -> bool:
    try:
        verify(folder, query)
    except RetqError:
        return False
    return True


def _synced(query: PinnedQuery, folder: Path, state: State) -> Synced:
    return Synced(
        name=query.name,
        version=query.version,
        origin=str(query.origin),
        place=folder,
        state=state,
    )
