"""The index of a registry: read it, make it from the artifacts, compare it with them. No torch."""

from pathlib import Path
from typing import Any

from retq_hub import artifact, names, schema
from retq_hub.embedded import REGISTRY
from retq_hub.errors import Finding, IntegrityError, NotFoundError, RetqError
from retq_hub.manifest import from_json, to_json
from retq_hub.record import Record

__all__ = ["build", "findings", "read"]


def read(registry: Path) -> list[Record]:
    """Read the records of a registry's index.

    Raises:
        NotFoundError: The registry has no index.
        ManifestError: The index is broken.
        IntegrityError: It points out of its registry.
    """
    path = registry / "index.json"
    document = schema.read_json(path)
    if registry != REGISTRY:
        schema.check(document, schema.INDEX, subject=str(path))
    records = [from_json(one, Record) for one in document["records"]]
    for record in records:
        inner = Path(record.path)
        if inner.is_absolute() or ".." in inner.parts:
            raise IntegrityError(f"{path} points out of its registry: {record.path}")
    return records


def build(registry: Path) -> dict[str, Any]:
    """Make the index of a registry from the artifacts in it; yanked versions stay yanked.

    Raises:
        RetqError: An artifact is not intact.
    """
    try:
        yanked = {(one.name, one.version) for one in read(registry) if one.yanked}
    except NotFoundError:
        yanked = set()
    records = []
    for path in sorted((registry / "queries").glob(f"[!.]*/[!.]*/{artifact.MANIFEST}")):
        folder = path.parent
        found = artifact.read(folder)
        if (folder.parent.name, folder.name) != (found.manifest.name, found.manifest.version):
            raise IntegrityError(
                f"{folder} holds {found.manifest.name} {found.manifest.version}",
                hint="the folder must be queries/<name>/<version>",
            )
        is_yanked = (found.manifest.name, found.manifest.version) in yanked
        records.append(_record(found, folder.relative_to(registry), yanked=is_yanked))
    ordered = sorted(records, key=lambda one: (one.name, names.order(one.version)))
    return {"spec": "retq-index/1", "records": [to_json(one) for one in ordered]}


def findings(registry: Path) -> list[Finding]:
    """Compare a registry's index with the artifacts in it."""
    try:
        built = build(registry)
        stored = schema.read_json(registry / "index.json")
    except RetqError as error:
        return [Finding(where=str(registry), what=error.found)]
    if found := schema.findings(stored, schema.INDEX):
        return found
    have = {(one["name"], one["version"]): one for one in stored["records"]}
    want = {(one["name"], one["version"]): one for one in built["records"]}
    drift = {
        "is in the index and not in the folder": have.keys() - want.keys(),
        "is in the folder and not in the index": want.keys() - have.keys(),
        "differs between index and folder": {
            key for key in have.keys() & want.keys() if have[key] != want[key]
        },
    }
    return [
        Finding(where=f"{name}@{version}", what=what)
        for what, keys in drift.items()
        for name, version in sorted(keys)
    ]


def _record(found: artifact.Artifact, path: Path, *, yanked: bool) -> Record:
    manifest = found.manifest
    figures = manifest.metrics[0].values if manifest.metrics else None
    return Record(
        name=manifest.name,
        version=manifest.version,
        digest=manifest.digest,
        path=path.as_posix(),
        summary=manifest.summary,
        targets=tuple(target.label for target in manifest.targets),
        backbone=manifest.backbone.id,
        weights_digest=manifest.backbone.weights_digest,
        floats=int(found.vector.size),
        datasets=tuple(data.title for data in manifest.data),
        licence=manifest.licence.id,
        dice=figures["dice"].mean if figures else None,
        auroc=figures["auroc"].mean if figures else None,
        yanked=yanked,
    )
