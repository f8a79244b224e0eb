"""Names become folders: of a registry, a Hub or a path; and the backbones of the registries.

A registry is a folder with ``index.json``, ``queries/<name>/<version>/`` and
``backbones/<id>.json``, or a URL of such an index. More of them are named in ``RETQ_REGISTRY``,
separated as in PATH. No torch here.
"""

import difflib
from pathlib import Path

from retq_hub import artifact, catalogue, index, names, places, schema, sources, stock
from retq_hub.embedded import REGISTRY
from retq_hub.errors import (
    DigestMismatch,
    IntegrityError,
    ManifestError,
    NotFoundError,
    RetqError,
    UsageError,
)
from retq_hub.hub.client import cache_folder
from retq_hub.manifest import QueryManifest, from_json
from retq_hub.progress import Progress, tell
from retq_hub.record import Record
from retq_hub.spec import BackboneSpec
from retq_hub.storage import cache_dir

__all__ = [
    "DEFAULT_BACKBONE",
    "backbone_spec",
    "backbone_specs",
    "copy_folder",
    "fetched",
    "has_weights",
    "hub_name",
    "is_published",
    "locate",
    "pull",
    "weights_folder",
]

DEFAULT_BACKBONE = "dinov2-small-saliency"


def locate(name: str, *, progress: Progress | None = None) -> Path:
    """Give the folder of the artifact that a name or path stands for.

    Args:
        name: ``idrid-disc``, ``idrid-disc@1.0.0``, a folder (``./mine``, ``/data/mine``), or a
            repository on the Hub (``someone/drusen``, ``someone/drusen@v1.0.0``).
        progress: Where to say that a version is yanked or that the cache had to serve; a Python
            warning if not given.

    Raises:
        UsageError: This can be no name.
        NotFoundError: There is no such query or folder.
        IntegrityError: The artifact is not the one that the index or the Hub promises.
        NetworkError: The Hub or a registry did not deliver, or refused.
    """
    if hub := hub_name(name):
        return _from_hub(hub, progress)
    if (folder := places.folder_with(name, artifact.MANIFEST)) is not None:
        return folder
    return fetched(stock.find(name, progress=progress), progress=progress)


def fetched(entry: stock.Entry, *, progress: Progress | None = None) -> Path:
    """Give the folder of the artifact that a registry lists, checked; what is elsewhere is fetched.

    Args:
        entry: What was found in a registry.
        progress: As for `locate`.

    Raises:
        IntegrityError: The artifact is not the one that the index promises.
        NetworkError: The Hub or the registry did not deliver, or refused.
    """
    record = entry.record
    if record.yanked:
        why = f": {record.yanked}" if isinstance(record.yanked, str) else ""
        tell(progress, f"{record.key} is yanked{why}")
    if record.superseded_by:
        tell(progress, f"{record.key} is superseded by {record.superseded_by}")
    folder = _folder(entry)
    _check_promise(folder, record)
    return folder


def hub_name(name: str) -> names.Name | None:
    """Give the repository on a Hub that a name stands for; None if it is no such name.

    Raises:
        UsageError: This can be no name.
    """
    parsed = None if places.is_folder(name, artifact.MANIFEST) else names.parse(name)
    return parsed if parsed and parsed.kind == "hub" else None


def is_published(folder: Path) -> bool:
    """Whether a folder is an artifact that a registry or a Hub gave: such a one never changes."""
    place = folder.resolve()
    caches = (cache_folder(), cache_dir() / "registries", cache_dir() / "queries")
    if any(place.is_relative_to(one.resolve()) for one in caches):
        return True
    roots = [one for one in sources.folders() if place.is_relative_to(one.resolve())]
    return any(
        one.path is not None and (root / one.path).resolve() == place
        for root in roots
        for one in catalogue.read(root / index.FILE).named(artifact.read_manifest(folder).name)
    )


def pull(name: str, *, into: Path | None = None, progress: Progress | None = None) -> Path:
    """Put a verified copy of a query into the cache or another folder.

    Args:
        name: As for `locate`.
        into: A folder in which ``<query name>/`` is made; the cache if not given, for a query of
            the Hub that of its client.
        progress: As for `locate`.

    Returns:
        Where the copy lies.

    Raises:
        IntegrityError: The artifact is not intact.
        UsageError: A folder of that name holds something else, or another artifact.
        StorageError: The place cannot be written.
    """
    source = locate(name, progress=progress)
    if into is None and hub_name(name):
        return source
    manifest = artifact.read(source).manifest
    if into is None:
        goal = copy_folder(manifest.name, manifest.version, manifest.digest)
    else:
        goal = into / manifest.name
    if goal.exists() and _same(goal, manifest):
        return goal
    if into is not None:
        _check_other(goal, manifest)
    artifact.copy(source, goal)
    return goal


def _check_other(folder: Path, manifest: QueryManifest) -> None:
    """Refuse to replace another artifact: it may be one that was never published."""
    try:
        there = artifact.read_manifest(folder)
    except (NotFoundError, ManifestError):
        return
    if there.digest != manifest.digest:
        raise UsageError(
            f"{folder} holds another artifact, {there.name} {there.version}: it is not overwritten",
            hint="remove it, or name another folder",
        )


def copy_folder(name: str, version: str, digest: str) -> Path:
    """Give the folder of the cache in which a query's copy belongs."""
    return cache_dir() / "queries" / name / f"{version}-{digest[:12]}"


def backbone_specs() -> dict[str, BackboneSpec]:
    """Give all backbone specs by their id, in the order of the registries; a URL has none."""
    found: dict[str, BackboneSpec] = {}
    for folder in sources.folders():
        for path in sorted((folder / "backbones").glob("[!.]*.json"), key=lambda path: path.stem):
            spec = _spec(path)
            found.setdefault(spec.id, spec)
    return found


def backbone_spec(name: str) -> BackboneSpec:
    """Resolve a backbone's id, or the path of a spec (``./my-backbone.json``).

    Raises:
        NotFoundError: There is none of that name; the message says which are near.
        ManifestError: The spec breaks its schema.
    """
    if "/" in name and name.endswith(".json"):
        return _spec(places.path_of(name))
    for folder in sources.folders() if Path(name).name == name else []:
        if places.has(folder / "backbones", f"{name}.json"):
            return _spec(folder / "backbones" / f"{name}.json")
    specs = backbone_specs()
    if name not in specs:
        near = difflib.get_close_matches(name, specs, n=3)
        raise NotFoundError(
            f"there is no backbone named {name!r}",
            hint=f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(specs)}",
        )
    return specs[name]


def has_weights(spec: BackboneSpec) -> bool:
    """Whether a backbone's converted weights lie in the cache; not whether they are intact."""
    return (weights_folder(spec) / "weights.safetensors").is_file()


def weights_folder(spec: BackboneSpec) -> Path:
    """Give the folder of the cache in which a backbone's converted weights belong."""
    return cache_dir() / "weights" / spec.id


def _from_hub(name: names.Name, progress: Progress | None) -> Path:
    from retq_hub import remote

    try:
        found = remote.locate(name.text, name.pin)
    except NotFoundError as error:
        if places.has(Path(name.text), "."):
            raise NotFoundError(error.found, hint=f"for the folder, say ./{name.text}") from error
        raise
    for line in found.notes:
        tell(progress, line)
    return found.folder


def _folder(entry: stock.Entry) -> Path:
    """Give the folder of an entry's artifact; what lies elsewhere is fetched into the cache."""
    record = entry.record
    if record.repo is not None and record.commit is not None:
        from retq_hub import remote

        return remote.fetch(record.repo, record.commit)
    if sources.is_url(entry.registry):
        from retq_hub import site

        return site.fetch(entry.registry, record)
    return places.path_of(entry.registry) / str(record.path)


def _check_promise(folder: Path, record: Record) -> None:
    """Refuse an artifact that is not the one that an index promises."""
    found = artifact.read_manifest(folder)
    hint = "restore the folder, or `retq index build` if the change is yours"
    if record.repo is not None:
        hint = "tell who runs the registry"
    if (found.name, found.version) != (record.name, record.version):
        raise IntegrityError(
            f"{folder} holds {found.name} {found.version}, its index says {record.key}", hint=hint
        )
    if found.digest != record.digest:
        raise DigestMismatch(str(folder), expected=record.digest, actual=found.digest, hint=hint)


def _spec(path: Path) -> BackboneSpec:
    document = schema.read_json(path)
    if not path.is_relative_to(REGISTRY):
        schema.check(document, schema.BACKBONE, subject=str(path))
    return from_json(document, BackboneSpec)


def _same(folder: Path, manifest: QueryManifest) -> bool:
    try:
        return artifact.read(folder).manifest == manifest and (folder / artifact.CARD).is_file()
    except RetqError:
        return False
