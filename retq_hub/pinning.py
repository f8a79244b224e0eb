"""From names to a lock: each query found once, checked, and pinned with the backbone. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from retq_hub import artifact, compatibility, names, places, registry, remote, stock
from retq_hub.errors import BackboneMismatch, IntegrityError, UsageError
from retq_hub.lock import Lock, Origin, PinnedBackbone, PinnedQuery, pinned
from retq_hub.manifest import BackboneRef, Fingerprint
from retq_hub.progress import Progress, tell
from retq_hub.record import Record
from retq_hub.spec import BackboneSpec

__all__ = ["pin"]


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """A query on its way into a lock."""

    query: PinnedQuery
    ref: BackboneRef


def pin(
    queries: Sequence[str],
    *,
    base: Path,
    backbone: str | None = None,
    progress: Progress | None = None,
) -> Lock:
    """Find queries as a pipeline would, and pin them with their backbone.

    Args:
        queries: Names, or paths of folders below ``base``.
        base: The folder in which the lock will lie.
        backbone: Its id; that of the first query if not given.
        progress: Where to say what should be known of a query; a Python warning if not given.

    Raises:
        UsageError: There is no query, two have one name, or a folder is not below ``base``.
        NotFoundError: There is no such query or backbone.
        BackboneMismatch: The queries are not for one backbone; both digests are named.
        IntegrityError: An artifact is not intact.
    """
    if not queries:
        raise UsageError("a lock needs at least one query", hint="`retq list` shows them")
    found = [_candidate(one, base, progress) for one in queries]
    called = [one.query.name for one in found]
    for name in called:
        if called.count(name) > 1:
            raise UsageError(f"two queries are named {name!r}", hint="leave one of them out")
    spec = registry.backbone_spec(backbone or found[0].ref.id)
    weights_digest = spec.weights_digest or found[0].ref.weights_digest
    for one in found:
        if note := _check(one, spec, weights_digest, found[0].ref):
            tell(progress, f"{one.query.name}: {note}")
    return Lock(
        backbone=PinnedBackbone(
            id=spec.id,
            weights_digest=weights_digest,
            preprocessing_digest=spec.preprocessing_digest,
        ),
        queries=tuple(one.query for one in found),
    )


def _candidate(name: str, base: Path, progress: Progress | None) -> _Candidate:
    folder, origin = _found(name, base, progress)
    query = pinned(folder, origin)
    return _Candidate(query=query, ref=artifact.read_manifest(folder).backbone)


def _found(name: str, base: Path, progress: Progress | None) -> tuple[Path, Origin]:
    """Find a query's folder, and what a lock says of where it is had."""
    if (folder := places.folder_with(name, artifact.MANIFEST)) is not None:
        return folder, Origin(kind="folder", path=_below(folder, base, name).as_posix())
    parsed = names.parse(name)
    if parsed.kind == "registry":
        entry = stock.find(name, progress=progress)
        return registry.fetched(entry, progress=progress), _origin(entry.record)
    found = remote.locate(parsed.text, parsed.pin)
    for note in found.notes:
        tell(progress, note)
    return found.folder, Origin(kind="hub", repo=found.repo, commit=found.commit)


def _origin(record: Record) -> Origin:
    """Say where an entry's artifact is had: on the Hub that it points to, else in its registry."""
    if record.repo is None:
        return Origin(kind="registry")
    return Origin(kind="hub", repo=record.repo, commit=record.commit)


def _below(folder: Path, base: Path, name: str) -> PurePath:
    """Give a folder's path from the lock: a lock that is sent on names no place of this machine."""
    place, home = folder.resolve(), base.resolve()
    if home not in place.parents:
        raise UsageError(
            f"{name} does not lie below {base}, the folder of the lock",
            hint=f"put a copy there (`retq pull {name} -o {base}`) and name that, or push it",
        )
    return place.relative_to(home)


def _check(one: _Candidate, spec: BackboneSpec, weights_digest: str, first: BackboneRef) -> str:
    def fingerprint() -> Fingerprint:
        if spec.weights_digest is None:
            return first.fingerprint
        if spec.fingerprint is None:
            raise IntegrityError(f"{spec.id} has no fingerprint")
        return spec.fingerprint

    try:
        return compatibility.check(one.ref, spec, weights_digest, fingerprint)
    except BackboneMismatch as error:
        raise BackboneMismatch(
            f"{one.query.name}: {error.found}",
            hint="a lock has one backbone: leave the query out, or lock it by itself",
        ) from error
