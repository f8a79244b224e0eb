"""Collect the queries of a Hub: every version of every repository that carries the tag ``retq``.

Each is fetched and checked as `retq validate` does it. What is broken is written down with the
reason. What an index already holds at the same commit is not fetched again.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import structs

from retq_hub import artifact, index, remote, repository
from retq_hub.catalogue import Broken
from retq_hub.digest import json_digest
from retq_hub.errors import (
    BadInputError,
    IntegrityError,
    NetworkError,
    NotFoundError,
)
from retq_hub.hub import reading
from retq_hub.index import Index
from retq_hub.manifest import QueryManifest, to_json
from retq_hub.progress import Progress, Silent
from retq_hub.record import Near, Record
from retq_hub.similarity import Vectors, near
from retq_hub.soundness import is_repo, plain

__all__ = ["collect"]

_TAG, _PIPELINE = "retq", "retq-pipeline"
_MOST = 100_000
_PATIENCE_S = 600.0
_AT_ONCE = 8


def collect(registry: Path, *, progress: Progress | None = None) -> Index:
    """Make the index of a registry from its folder and from all queries of the Hub.

    Args:
        registry: The registry's folder; its index tells what need not be fetched again.
        progress: Where to report; what cannot be looked at is named there.

    Raises:
        NetworkError: The Hub does not list its queries.
        RetqError: The folder is broken.
    """
    progress = progress or Silent()
    before = index.build(registry)
    own = [one for one in before.records if "/" not in one.name]
    taken = {(one.repo, one.commit) for one in own if one.repo}
    listed = reading.models(filters=[_TAG], limit=_MOST, patience_s=_PATIENCE_S)
    repos = sorted({one.repo for one in listed if _PIPELINE not in one.tags and is_repo(one.repo)})
    known = _Known(before)
    found = _Found()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        each = pool.map(lambda repo: _looked_at(repo, known), repos)
        for one in progress.steps(each, what="looking at repositories", total=len(repos)):
            found.records += [two for two in one.records if (two.repo, two.commit) not in taken]
            found.broken += one.broken
            for line in one.notes:
                progress.note(line)
    records = [*own, *found.records]
    return index.finished(
        records,
        near=_near(registry, records, before, progress),
        broken=tuple(found.broken),
        place=str(registry),
    )


@dataclass(kw_only=True)
class _Found:
    """What one repository holds."""

    records: list[Record] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class _Known:
    """What the index said before, by repository."""

    def __init__(self, before: Index) -> None:
        self.records: dict[str, list[Record]] = {}
        self.broken: dict[str, list[Broken]] = {}
        for record in before.collected:
            self.records.setdefault(record.name, []).append(record)
        for one in before.broken:
            self.broken.setdefault(one.repo, []).append(one)

    def of(self, repo: str, version: str, commit: str) -> Record | Broken | None:
        """Give what is known of a version, if it is still at the same commit."""
        every = (*self.records.get(repo, ()), *self.broken.get(repo, ()))
        same = (one for one in every if (one.version, one.commit) == (version, commit))
        return next(same, None)

    def kept(self, repo: str, reason: str) -> _Found:
        """Keep what is known of a repository that cannot be looked at now."""
        return _Found(
            records=list(self.records.get(repo, ())),
            broken=list(self.broken.get(repo, ())),
            notes=[f"{repo} was not looked at: {reason}"],
        )


def _looked_at(repo: str, known: _Known) -> _Found:
    """Check all versions of a repository; keep what is known if the Hub does not deliver."""
    try:
        there = repository.look(repo)
        if there.described is None:
            return known.kept(repo, *there.notes[:1])
        return _versions(there, there.described.commit, known)
    except (NetworkError, NotFoundError, IntegrityError, BadInputError) as error:
        return known.kept(repo, error.found)


def _versions(there: repository.Repository, main: str, known: _Known) -> _Found:
    found = _Found()
    if not there.versions:
        reason = "has no version: a version is a tag such as v1.0.0"
        found.broken.append(Broken(repo=there.repo, commit=main, reason=reason))
    for version, commit in there.versions.items():
        one = known.of(there.repo, version, commit) or _checked(there.repo, version, commit)
        if isinstance(one, Broken):
            found.broken.append(one)
        else:
            yanked = plain(there.yanked[version]) if version in there.yanked else False
            found.records.append(structs.replace(one, yanked=yanked))
    return found


def _checked(repo: str, version: str, commit: str) -> Record | Broken:
    """Check one version as `retq validate` does.

    Raises:
        NetworkError: The Hub does not deliver.
        DigestMismatch: It delivers something else than it says.
    """
    try:
        folder = remote.fetch(repo, commit)
    except NotFoundError as error:
        return Broken(repo=repo, version=version, commit=commit, reason=plain(error.found))
    try:
        if found := artifact.findings(folder):
            raise IntegrityError("; ".join(map(str, found)))
        record = index.record_of(artifact.read(folder), name=repo, repo=repo, commit=commit)
        if record.version != version:
            raise IntegrityError(f"tag v{version} holds version {record.version}")
    except (IntegrityError, BadInputError) as error:
        return Broken(repo=repo, version=version, commit=commit, reason=plain(error.found))
    return record


def _near(
    registry: Path, records: Sequence[Record], before: Index, progress: Progress
) -> dict[str, tuple[Near, ...]]:
    """Compare vectors where there are new ones; elsewhere keep what was found before."""
    said = index.near_of(before)
    fresh = {_backbone(one) for one in records if f"{one.key} {one.digest}" not in said}
    compared = [one for one in records if _backbone(one) in fresh]
    vectors = []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        each = pool.map(lambda one: _vectors(registry, one), compared)
        for one in progress.steps(each, what="comparing vectors", total=len(compared)):
            vectors += [one] if one else []
    found = near(vectors)
    return said | {f"{one.key} {one.digest}": found.get(one.key, ()) for one in compared}


def _vectors(registry: Path, record: Record) -> Vectors | None:
    """Read the vectors of a query; None if the Hub does not deliver them now."""
    try:
        if record.repo is not None and record.commit is not None:
            folder = remote.fetch(record.repo, record.commit)
        else:
            folder = registry / str(record.path)
        found = artifact.read(folder)
    except (NetworkError, NotFoundError, IntegrityError, BadInputError):
        return None
    return Vectors(
        key=record.key,
        name=record.name,
        group=f"{record.weights_digest} {_reads(found.manifest)}",
        vector=found.vector,
    )


def _reads(manifest: QueryManifest) -> str:
    """Give a digest of all that decides what a vector is multiplied with."""
    members = (manifest.basis, manifest.pooling, manifest.head.similarity, manifest.kind)
    return json_digest(to_json(members))


def _backbone(record: Record) -> str:
    return record.weights_digest
