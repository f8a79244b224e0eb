"""A lock where it lies: a file, the folder of a composed pipeline, or a repository on a Hub.

A composed pipeline is shared as a folder with ``retq.lock``, which has a name and a version then,
and a card that lists its members. No torch here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from retq_hub import artifact, cardfile, lockcard, names, places, remote, schema, syncing
from retq_hub.errors import BadInputError, Finding, NotFoundError, RetqError, UsageError
from retq_hub.hub import reading
from retq_hub.lock import FILE, Lock, read
from retq_hub.lock import write as write_lock
from retq_hub.manifest import QueryManifest
from retq_hub.pinning import pin
from retq_hub.progress import Progress, Silent
from retq_hub.repository import Resolved
from retq_hub.storage import write_text

__all__ = [
    "Composition",
    "card",
    "compose",
    "findings",
    "locate",
    "lock",
    "manifests",
    "path_of",
]


@dataclass(frozen=True, kw_only=True)
class Composition:
    """A lock and where it was found.

    Attributes:
        lock: What is pinned.
        path: The lock's file.
        repo: The Hub's repository that it is from; None: it is the user's own file.
        commit: That repository's commit.
        notes: What the user should know, a line each.
    """

    lock: Lock
    path: Path
    repo: str | None = None
    commit: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def base(self) -> Path:
        """The folder that paths in the lock start from."""
        return self.path.parent


def lock(
    queries: Sequence[str],
    path: Path,
    *,
    backbone: str | None = None,
    progress: Progress | None = None,
) -> Lock:
    """Pin queries and their backbone in a file.

    Args:
        queries: Names, or folders below that of the file.
        path: The file; a lock that is there is replaced.
        backbone: Its id; that of the first query if not given.
        progress: Where to say what should be known of a query.

    Raises:
        UsageError: Something else than a lock is there; or see `retq_hub.pinning.pin`.
        NotFoundError: There is no such query or backbone.
        BackboneMismatch: The queries are not for one backbone.
        StorageError: The place cannot be written.
    """
    _check_replaceable(path)
    pinned = pin(queries, base=path.parent, backbone=backbone, progress=progress or Silent())
    write_lock(path, pinned)
    return pinned


def compose(
    queries: Sequence[str],
    folder: Path,
    *,
    name: str,
    version: str,
    summary: str | None = None,
    backbone: str | None = None,
    progress: Progress | None = None,
) -> Lock:
    """Make a pipeline that can be shared: a folder with a lock and a card.

    Args:
        queries: Names, or folders below ``folder``.
        folder: Its folder; a pipeline that is there is replaced, with what people wrote in its card
            kept.
        name: Of the pipeline.
        version: Of the pipeline.
        summary: One line; its members if not given.
        backbone: Its id; that of the first query if not given.
        progress: Where to say what should be known of a query.

    Raises:
        UsageError: The folder holds something else; or see `retq_hub.pinning.pin`.
        ManifestError: Name, version or summary break the schema.
        NotFoundError: There is no such query or backbone.
        BackboneMismatch: The queries are not for one backbone.
        StorageError: The folder cannot be written.
    """
    members = {"name": name, "version": version, **({"summary": summary} if summary else {})}
    schema.check_members(members, schema.LOCK, subject="the pipeline")
    if (folder / artifact.MANIFEST).exists():
        raise UsageError(f"{folder} holds a query", hint="name another folder")
    _check_replaceable(folder / FILE)
    pinned = pin(queries, base=folder, backbone=backbone, progress=progress or Silent())
    said = ", ".join(one.name for one in pinned.queries)
    pinned = replace(
        pinned,
        name=name,
        version=version,
        summary=summary or f"On one backbone, {pinned.backbone.id}: {said}."[:500],
    )
    text = card(Composition(lock=pinned, path=folder / FILE))
    cardfile.lay_aside(folder)
    write_lock(folder / FILE, pinned)
    write_text(folder / artifact.CARD, text)
    return pinned


def locate(name: str | Path) -> Composition:
    """Find a lock and read it.

    Args:
        name: A lock's file, the folder of a composed pipeline, or its repository on a Hub:
            ``ns/name``, ``ns/name@1.0.0``.

    Raises:
        NotFoundError: There is no such file, folder or repository, or it holds no lock.
        ManifestError: The lock breaks its schema.
        BadInputError: It is of a newer kind, or names folders although it comes from a Hub.
        NetworkError: The Hub did not deliver.
    """
    path = places.path_of(name)
    if places.has(path, FILE):
        return _read(path / FILE)
    is_path = isinstance(name, Path) or names.is_path(name) or path.suffix == ".lock"
    if places.has(path, ".") and (is_path or not path.is_dir()):
        if path.is_dir():
            raise NotFoundError(f"{path} holds no {FILE}", hint="name a lock, or make one")
        return _read(path)
    parsed = None if is_path else names.parse(str(name))
    if parsed is None or parsed.kind != "hub":
        raise NotFoundError(
            f"there is no lock {name}", hint="name a file, a folder, or ns/name of a Hub"
        )
    return _on_hub(remote.resolve(parsed.text, parsed.pin))


def path_of(name: str) -> Path | None:
    """Give the lock that a name is the path of, where it might be a query's as well.

    Args:
        name: ``my.lock``, or the folder of a composed pipeline; anything else is none.
    """
    path = places.path_of(name)
    if path.suffix == ".lock" and places.has(path, "."):
        return path
    if not ("/" in name or names.is_path(name)) or places.has(path, artifact.MANIFEST):
        return None
    return path / FILE if places.has(path, FILE) else None


def manifests(found: Composition) -> list[QueryManifest]:
    """Give the manifests of all members, verified; no vectors are fetched for them."""
    return [syncing.manifest(one, found.base) for one in found.lock.queries]


def card(found: Composition, *, repo: str | None = None) -> str:
    """Give the card that belongs beside a lock, with what people wrote in the one that is there.

    Args:
        found: A lock with a name.
        repo: Where the pipeline can be pulled from; what the present card says if not given.
    """
    spec = syncing.pinned_spec(found.lock.backbone)
    kept = cardfile.handwriting(found.base)
    return lockcard.render(found.lock, manifests(found), spec, repo=repo or kept.repo, kept=kept)


def findings(folder: Path) -> list[Finding]:
    """Collect what is wrong with the folder of a composed pipeline; its members are not looked at.

    Raises:
        NotFoundError: The folder holds no lock.
    """
    try:
        found = read(folder / FILE)
    except NotFoundError:
        raise
    except RetqError as error:
        return [Finding(where=FILE, what=error.found)]
    wrong = []
    if found.name is None:
        wrong.append(Finding(where=FILE, what="has no name: it is a lock, no shared pipeline"))
    if not (folder / artifact.CARD).is_file():
        wrong.append(Finding(where=artifact.CARD, what="is missing"))
    return wrong


def _read(path: Path) -> Composition:
    return Composition(lock=read(path), path=path)


def _on_hub(found: Resolved) -> Composition:
    """Get the lock and the card of a repository."""
    described = found.repository.described
    if described and described.commit == found.commit and FILE not in described.files:
        raise NotFoundError(
            f"{found.repo} is no composed pipeline: it has no {FILE}",
            hint="name a query with -q, or `retq pull` it",
        )
    folder = remote.fetch(found.repo, found.commit, files=[FILE, artifact.CARD])
    if found.version:
        reading.remember(found.repo, f"v{found.version}", found.commit)
    pinned = read(folder / FILE)
    if any(one.origin.kind == "folder" for one in pinned.queries):
        raise BadInputError(
            f"the lock of {found.repo} names folders, which are not on the Hub",
            hint="tell its authors to push those queries first",
        )
    return Composition(
        lock=pinned,
        path=folder / FILE,
        repo=found.repo,
        commit=found.commit,
        notes=found.notes,
    )


def _check_replaceable(path: Path) -> None:
    """Refuse to put a lock where something else is."""
    if not path.exists():
        return
    try:
        document = schema.read_json(path)
    except RetqError:
        document = None
    spec = document.get("spec") if isinstance(document, dict) else None
    if not (isinstance(spec, str) and spec.startswith("retq-lock/")):
        raise UsageError(f"{path} is no lock: it is not overwritten", hint="name another file")
