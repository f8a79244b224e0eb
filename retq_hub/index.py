"""The index of a registry: make it from what lies in the registry's folder, and compare. No torch.

It is made from the artifacts, from the records that people contributed of queries on a Hub, and
from the notices. What was collected from a Hub is in no file of the folder and stays as it is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from msgspec import structs

from retq_hub import artifact, catalogue, names, notices, schema
from retq_hub.artifact import Artifact
from retq_hub.catalogue import Broken
from retq_hub.errors import (
    Finding,
    IntegrityError,
    ManifestError,
    NotFoundError,
    RetqError,
    UsageError,
)
from retq_hub.headline import headline
from retq_hub.manifest import from_json
from retq_hub.record import Near, Record
from retq_hub.soundness import plain, together
from retq_hub.storage import whole_file

__all__ = [
    "FILE",
    "RECORDS",
    "Index",
    "build",
    "findings",
    "finished",
    "floats_of",
    "near_of",
    "read",
    "record_of",
    "write",
    "yank",
]

FILE = "index.json"
RECORDS = "records"
"""Folder of the contributed records: ``records/<name>/<version>.json``."""


@dataclass(frozen=True, kw_only=True)
class Index:
    """What stands in an index.

    Attributes:
        records: By name and version.
        broken: What carries the tag of a query on a Hub and is none.
    """

    records: tuple[Record, ...] = ()
    broken: tuple[Broken, ...] = ()

    @property
    def collected(self) -> tuple[Record, ...]:
        """Records that were collected from a Hub: they are named by their repository."""
        return tuple(one for one in self.records if "/" in one.name)


def read(registry: Path) -> Index:
    """Read the index of a registry.

    Raises:
        NotFoundError: The registry has no index.
        ManifestError: The index is broken.
    """
    found = catalogue.read(registry / FILE)
    return Index(records=tuple(found.all()), broken=found.broken)


def build(registry: Path) -> Index:
    """Make the index of a registry; what was collected from a Hub before is kept.

    Raises:
        RetqError: An artifact is not intact, a record or the notices are broken.
    """
    try:
        before = read(registry)
    except (NotFoundError, ManifestError):
        before = Index()
    own = [*_artifacts(registry), *_contributed(registry)]
    taken = {(one.repo, one.commit) for one in own if one.repo}
    kept = [one for one in before.collected if (one.repo, one.commit) not in taken]
    records = _noted([*own, *kept], notices.read(registry))
    return finished(records, near=near_of(before), broken=before.broken, place=str(registry))


def finished(
    records: list[Record],
    *,
    near: Mapping[str, tuple[Near, ...]],
    broken: tuple[Broken, ...],
    place: str,
) -> Index:
    """Put an index together.

    Args:
        records: In any order.
        near: Nearly the same queries, by ``name@version digest``; of others nothing is said.
        broken: What was found broken on a Hub.
        place: The registry, for messages.

    Raises:
        ManifestError: A name and version is there twice, or a record refers to none.
    """
    known = {one.key for one in records}
    said = []
    for one in records:
        others = tuple(
            other for other in near.get(f"{one.key} {one.digest}", ()) if other.name in known
        )
        said.append(structs.replace(one, near=others or None))
    ordered = catalogue.in_order(said)
    if found := list(together(ordered)):
        raise ManifestError(place, found, hint="correct the records or notices")
    return Index(records=tuple(ordered), broken=broken)


def write(registry: Path, index: Index) -> None:
    """Write the index of a registry, whole or not at all.

    Raises:
        StorageError: The folder cannot be written.
    """
    with whole_file(registry / FILE) as temporary:
        temporary.write_bytes(catalogue.lay_out(index.records, index.broken))


def findings(registry: Path) -> list[Finding]:
    """Check a registry's index, and compare it with what lies in the folder."""
    try:
        stored = read(registry)
        built = build(registry)
    except ManifestError as error:
        return [Finding(where="", what=error.found)]
    except RetqError as error:
        return [Finding(where=str(registry), what=error.found)]
    said = notices.read(registry)
    have = {one.key: one for one in stored.records}
    want = {one.key: one for one in built.records}
    drift = {
        "is in notices.json and not in the registry": {*said.yanked, *said.superseded}
        - want.keys(),
        "is in the index and not in the folder": have.keys() - want.keys(),
        "is in the folder and not in the index": want.keys() - have.keys(),
        "differs between index and folder": {
            key for key in have.keys() & want.keys() if have[key] != want[key]
        },
    }
    return [Finding(where=key, what=what) for what, keys in drift.items() for key in sorted(keys)]


def yank(registry: Path, name: str, *, reason: str | None) -> None:
    """Withdraw a version of a registry, or take that back, and write the index anew.

    Args:
        registry: Its folder.
        name: ``name@version``.
        reason: Why; None: it is withdrawn no longer.

    Raises:
        UsageError: The name has no version, or is one of a Hub.
        NotFoundError: The registry has no such version.
        RetqError: The registry's folder is broken.
        StorageError: It cannot be written.
    """
    parsed = names.parse(name)
    if parsed.kind == "hub" or parsed.version is None:
        raise UsageError(f"{name} names no version of a registry", hint="such as drusen@1.0.0")
    key = f"{parsed.text}@{parsed.version}"
    if key not in {one.key for one in build(registry).records}:
        raise NotFoundError(f"{registry} has no {key}", hint="its index.json says what it has")
    notices.yank(registry, key, reason)
    write(registry, build(registry))


def near_of(index: Index) -> dict[str, tuple[Near, ...]]:
    """Give what an index says of nearly the same queries, by ``name@version digest``."""
    return {f"{one.key} {one.digest}": one.near or () for one in index.records}


def record_of(
    found: Artifact,
    *,
    name: str | None = None,
    path: str | None = None,
    repo: str | None = None,
    commit: str | None = None,
) -> Record:
    """Make the record of an artifact.

    Args:
        found: The artifact.
        name: What one asks for; its own name if not given.
        path: Its folder in a registry, or
        repo: the Hub repository that holds it
        commit: at this commit.
    """
    manifest = found.manifest
    figures = headline(manifest)
    return Record(
        name=name or manifest.name,
        version=manifest.version,
        digest=manifest.digest,
        summary=plain(manifest.summary),
        targets=tuple(plain(target.label) for target in manifest.targets),
        backbone=manifest.backbone.id,
        weights_digest=manifest.backbone.weights_digest,
        preprocessing_digest=manifest.backbone.preprocessing_digest,
        floats=floats_of(found),
        datasets=tuple(plain(data.title) for data in manifest.data),
        licence=plain(manifest.licence.id),
        path=path,
        repo=repo,
        commit=commit,
        kind=manifest.kind,
        dice=figures.dice,
        auroc=figures.auroc,
        kappa=figures.kappa,
    )


def floats_of(found: Artifact) -> int:
    """Count the floats of an artifact's vectors, those of attention too."""
    looking = 0 if found.attention is None else found.attention.vector.size
    return int(found.vector.size + looking)


def _artifacts(registry: Path) -> Iterator[Record]:
    for path in sorted((registry / "queries").glob(f"[!.]*/[!.]*/{artifact.MANIFEST}")):
        folder = path.parent
        found = artifact.read(folder)
        if (folder.parent.name, folder.name) != (found.manifest.name, found.manifest.version):
            raise IntegrityError(
                f"{folder} holds {found.manifest.name} {found.manifest.version}",
                hint="the folder must be queries/<name>/<version>",
            )
        yield record_of(found, path=folder.relative_to(registry).as_posix())


def _contributed(registry: Path) -> Iterator[Record]:
    for path in sorted((registry / RECORDS).glob("[!.]*/[!.]*.json")):
        document = schema.read_json(path)
        schema.check(document, schema.RECORD, subject=str(path))
        record = from_json(document, Record)
        if (path.parent.name, path.name) != (record.name, f"{record.version}.json"):
            raise IntegrityError(
                f"{path} is of {record.key}", hint="the file must be records/<name>/<version>.json"
            )
        yield record


def _noted(records: list[Record], said: notices.Notices) -> list[Record]:
    """Add what is said of versions after they were published."""
    return [
        one
        if "/" in one.name
        else structs.replace(
            one,
            yanked=said.yanked.get(one.key, False),
            superseded_by=said.superseded.get(one.key),
        )
        for one in records
    ]
