"""Locks and composed pipelines, made from names and written, or copied. No torch here."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from retq_hub import artifact, cardfile, composition, lockcard, schema, syncing
from retq_hub.composition import Composition
from retq_hub.errors import RetqError, UsageError
from retq_hub.lock import FILE, Lock
from retq_hub.lock import write as write_lock
from retq_hub.pinning import pin
from retq_hub.progress import Progress
from retq_hub.storage import write_text

__all__ = ["card", "compose", "fetch", "lock"]


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
    pinned = pin(queries, base=path.parent, backbone=backbone, progress=progress)
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
    _check_free(folder)
    pinned = pin(queries, base=folder, backbone=backbone, progress=progress)
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


def card(found: Composition, *, repo: str | None = None) -> str:
    """Give the card that belongs beside a lock, with what people wrote in the one that is there.

    Args:
        found: A lock with a name.
        repo: Where the pipeline can be pulled from; what the present card says if not given.
    """
    spec = syncing.pinned_spec(found.lock.backbone)
    kept = cardfile.handwriting(found.base)
    return lockcard.render(
        found.lock, composition.manifests(found), spec, repo=repo or kept.repo, kept=kept
    )


def fetch(
    found: Composition, *, into: Path | None = None, progress: Progress | None = None
) -> Path:
    """Get all queries of a composed pipeline, verified; no backbone is fetched.

    Args:
        found: The pipeline.
        into: A folder in which lock and card are copied to ``<name>/``; not copied if not given.
        progress: Where to say what should be known.

    Returns:
        Where lock and card lie.

    Raises:
        UsageError: A folder of that name holds something else, or a copy would not be whole.
        RetqError: As `retq_hub.syncing.sync_queries`.
    """
    for _ in syncing.sync_queries(found.lock, found.base, progress=progress):
        pass
    return found.base if into is None else _copied(found, into)


def _copied(found: Composition, into: Path) -> Path:
    """Copy lock and card into a folder of the pipeline's name."""
    if found.lock.name is None or any(one.origin.kind == "folder" for one in found.lock.queries):
        raise UsageError(
            f"{found.path} is for the folder it lies in: a copy elsewhere would not be whole",
            hint="`retq sync` gets what it pins",
        )
    goal = into / found.lock.name
    _check_free(goal)
    write_lock(goal / FILE, found.lock)
    write_text(goal / artifact.CARD, cardfile.text(found.base))
    return goal


def _check_free(folder: Path) -> None:
    """Refuse to put a composed pipeline where a query is, or something else than a lock."""
    if (folder / artifact.MANIFEST).exists():
        raise UsageError(f"{folder} holds a query", hint="name another folder")
    _check_replaceable(folder / FILE)


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
