"""Where names are resolved: folders of artifacts and backbone specs, the embedded one last.

A registry is a folder with ``index.json``, ``queries/<name>/<version>/`` and
``backbones/<id>.json``. More of them are named in ``RETQ_REGISTRY``, separated as in PATH.
No torch here.
"""

import difflib
import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from retq_hub import artifact, index, names, places, remote, schema
from retq_hub.embedded import REGISTRY
from retq_hub.errors import IntegrityError, NotFoundError, RetqError, UsageError
from retq_hub.hub.client import cache_folder
from retq_hub.manifest import QueryManifest, from_json
from retq_hub.progress import Progress
from retq_hub.record import Record
from retq_hub.spec import BackboneSpec
from retq_hub.storage import cache_dir

__all__ = [
    "DEFAULT_BACKBONE",
    "Entry",
    "backbone_spec",
    "backbone_specs",
    "copy_folder",
    "entries",
    "find",
    "has_weights",
    "hub_name",
    "is_published",
    "latest",
    "locate",
    "pull",
    "registries",
    "search",
    "weights_folder",
]

DEFAULT_BACKBONE = "dinov2-small-saliency"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A record and the registry that holds it."""

    registry: Path
    record: Record

    @property
    def folder(self) -> Path:
        """The artifact's folder."""
        return self.registry / self.record.path


def registries() -> list[Path]:
    """Give the registries in the order in which they are asked: ``RETQ_REGISTRY``, the embedded."""
    named = os.environ.get("RETQ_REGISTRY", "").split(os.pathsep)
    return [*(Path(one).expanduser() for one in named if one), REGISTRY]


def entries() -> list[Entry]:
    """Give all entries of all registries; a name and version counts where it is found first.

    Raises:
        NotFoundError: A configured registry has no index.
        ManifestError: An index is broken.
        IntegrityError: An index points out of its registry.
    """
    found: dict[tuple[str, str], Entry] = {}
    for registry in registries():
        for record in index.read(registry):
            found.setdefault((record.name, record.version), Entry(registry=registry, record=record))
    return sorted(
        found.values(), key=lambda one: (one.record.name, names.order(one.record.version))
    )


def latest(found: Iterable[Entry]) -> list[Entry]:
    """Keep the newest version of each name that is not yanked."""
    newest = {one.record.name: one for one in found if not one.record.yanked}
    return list(newest.values())


def search(words: Sequence[str]) -> list[Entry]:
    """Give the newest versions whose record contains all the words, in any case."""
    wanted = [word.lower() for word in words]
    return [one for one in latest(entries()) if all(word in _text(one) for word in wanted)]


def find(name: str) -> Entry:
    """Resolve ``name`` or ``name@version`` in the registries.

    Raises:
        UsageError: This can be no name.
        NotFoundError: No registry has it; the message says which names are near.
    """
    parsed = names.parse(name)
    if parsed.kind == "hub":
        raise UsageError(f"{name} names a repository on a Hub, not a query of a registry")
    plain, version = parsed.text, parsed.version
    everything = entries()
    versions = [one for one in everything if one.record.name == plain]
    if not versions:
        if places.has(Path(plain), artifact.MANIFEST):
            raise NotFoundError(
                f"no registry has a query named {plain!r}", hint=f"for the folder, say ./{plain}"
            )
        near = difflib.get_close_matches(plain, {one.record.name for one in everything}, n=3)
        raise NotFoundError(
            f"no registry has a query named {plain!r}",
            hint=f"did you mean {' or '.join(near)}?" if near else "`retq list` shows all",
        )
    if version is None:
        kept = [one for one in versions if not one.record.yanked]
        if not kept:
            raise NotFoundError(f"all versions of {plain} are yanked", hint="pin one with @version")
        return kept[-1]
    for one in versions:
        if one.record.version == version:
            return one
    have = ", ".join(one.record.version for one in versions)
    raise NotFoundError(f"{plain} has no version {version}", hint=f"it has {have}")


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
        NetworkError: The Hub did not deliver, or refused.
    """
    if hub := hub_name(name):
        return _from_hub(hub, progress)
    if (folder := places.folder_with(name, artifact.MANIFEST)) is not None:
        return folder
    entry = find(name)
    found = artifact.read_manifest(entry.folder)
    if (found.name, found.version) != (entry.record.name, entry.record.version):
        raise IntegrityError(
            f"{entry.folder} holds {found.name} {found.version}, its index says {name}",
            hint="restore the folder, or `retq index build` if the change is yours",
        )
    if found.digest != entry.record.digest:
        raise IntegrityError(
            f"{entry.folder} has artifact digest {found.digest}, its index says "
            f"{entry.record.digest}",
            hint="restore the folder, or `retq index build` if the change is yours",
        )
    return entry.folder


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
    if place.is_relative_to(cache_folder().resolve()):
        return True
    return any(one.folder.resolve() == place for one in entries())


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
        UsageError: A folder of that name holds something else.
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
    artifact.copy(source, goal)
    return goal


def copy_folder(name: str, version: str, digest: str) -> Path:
    """Give the folder of the cache in which a query's copy belongs."""
    return cache_dir() / "queries" / name / f"{version}-{digest[:12]}"


def backbone_specs() -> dict[str, BackboneSpec]:
    """Give all backbone specs by their id, in the order of the registries."""
    found: dict[str, BackboneSpec] = {}
    for registry in registries():
        for path in sorted((registry / "backbones").glob("[!.]*.json")):
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
    try:
        found = remote.locate(name.text, name.pin)
    except NotFoundError as error:
        if places.has(Path(name.text), "."):
            raise NotFoundError(error.found, hint=f"for the folder, say ./{name.text}") from error
        raise
    for line in found.notes:
        if progress:
            progress.note(line)
        else:
            warnings.warn(line, stacklevel=3)
    return found.folder


def _spec(path: Path) -> BackboneSpec:
    document = schema.read_json(path)
    schema.check(document, schema.BACKBONE, subject=str(path))
    return from_json(document, BackboneSpec)


def _same(folder: Path, manifest: QueryManifest) -> bool:
    try:
        return artifact.read(folder).manifest == manifest and (folder / artifact.CARD).is_file()
    except RetqError:
        return False


def _text(entry: Entry) -> str:
    record = entry.record
    parts = (record.name, record.summary, record.backbone, record.licence)
    return " ".join((*parts, *record.targets, *record.datasets)).lower()
