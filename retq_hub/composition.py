"""A lock where it lies: a file, the folder of a composed pipeline, or a repository on a Hub.

A composed pipeline is shared as a folder with ``retq.lock``, which has a name and a version then,
and a card that lists its members. No torch here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from retq_hub import artifact, names, places, registry, remote, syncing
from retq_hub.errors import BadInputError, Finding, NotFoundError, RetqError
from retq_hub.hub import reading
from retq_hub.lock import FILE, Lock, read
from retq_hub.manifest import QueryManifest
from retq_hub.progress import Progress, tell
from retq_hub.repository import Resolved

__all__ = [
    "Composition",
    "either",
    "findings",
    "local_members",
    "locate",
    "manifests",
    "path_of",
]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Composition:
    """A lock and where it was found.

    Attributes:
        lock: What is pinned.
        path: The lock's file.
        repo: The Hub's repository that it is from; None: it is the user's own file.
        commit: That repository's commit.
    """

    lock: Lock
    path: Path
    repo: str | None = None
    commit: str | None = None

    @property
    def base(self) -> Path:
        """The folder that paths in the lock start from."""
        return self.path.parent


def locate(name: str | Path, *, progress: Progress | None = None) -> Composition:
    """Find a lock and read it.

    Args:
        name: A lock's file, the folder of a composed pipeline, or its repository on a Hub:
            ``ns/name``, ``ns/name@1.0.0``.
        progress: Where to say that a version is yanked or that the cache had to serve; a Python
            warning if not given.

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
    return _on_hub(remote.resolve(parsed.text, parsed.pin), progress)


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


def either(
    name: str, query: Callable[[], T], *, progress: Progress | None = None
) -> "T | Composition":
    """Give the composed pipeline that a name stands for, or else what it gives as a query's name.

    Args:
        name: As for a query: a name of a registry or a Hub, or a path.
        query: Looks the name up as a query's.
        progress: As for `locate`.

    Raises:
        RetqError: As ``query``, or as `locate`.
    """
    if path_of(name) is not None or _is_known(name):
        return locate(name, progress=progress)
    try:
        return query()
    except NotFoundError:
        if registry.hub_name(name) is None:
            raise
        try:
            return locate(name, progress=progress)
        except NotFoundError:
            pass
        raise


def manifests(found: Composition) -> list[QueryManifest]:
    """Give the manifests of all members, verified; no vectors are fetched for them."""
    return [syncing.manifest(one, found.base) for one in found.lock.queries]


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


def _is_known(name: str) -> bool:
    """Whether the client's cache knows a name on a Hub as that of a composed pipeline."""
    hub = registry.hub_name(name)
    return hub is not None and any(
        reading.cached(hub.text, commit, FILE) for commit in reading.cached_commits(hub.text)
    )


def local_members(lock: Lock) -> list[Finding]:
    """Collect the members that only a folder of this machine has: with them nothing is shared."""
    return [
        Finding(
            where=one.name,
            what=f"is only in the folder {one.origin.path}: push it, and lock it from there",
        )
        for one in lock.queries
        if one.origin.kind == "folder"
    ]


def _read(path: Path) -> Composition:
    return Composition(lock=read(path), path=path)


def _on_hub(found: Resolved, progress: Progress | None) -> Composition:
    """Get the lock and the card of a repository."""
    described = found.repository.described
    if described and described.commit == found.commit and FILE not in described.files:
        raise NotFoundError(
            f"{found.repo} is no composed pipeline: it has no {FILE}",
            hint="name a query with -q, or `retq pull` it",
        )
    for line in found.notes:
        tell(progress, line)
    folder = remote.fetch(found.repo, found.commit, files=[FILE, artifact.CARD])
    if found.version:
        reading.remember(found.repo, f"v{found.version}", found.commit)
    pinned = read(folder / FILE)
    if local_members(pinned):
        raise BadInputError(
            f"the lock of {found.repo} names folders, which are not on the Hub",
            hint="tell its authors to push those queries first",
        )
    return Composition(
        lock=pinned,
        path=folder / FILE,
        repo=found.repo,
        commit=found.commit,
    )
