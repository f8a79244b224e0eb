"""A repository of a Hub that holds a query: its versions, and which commit a name means.

A version is a tag ``v1.2.0``; ``yanked.json`` on the main branch says which are withdrawn, and why.
Without a network, versions and commits that lie in the client's cache are found.
"""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from retq_hub import artifact, names, schema
from retq_hub.errors import BadInputError, IntegrityError, NotFoundError, Unreachable, UsageError
from retq_hub.hub import reading
from retq_hub.hub.client import endpoint, is_offline
from retq_hub.text import printable

__all__ = [
    "MAX_YANKED_BYTES",
    "OPTIONAL_FILES",
    "REQUIRED_FILES",
    "YANKED",
    "Repository",
    "Resolved",
    "choose",
    "look",
]

REQUIRED_FILES = (artifact.MANIFEST, artifact.QUERY, artifact.GOLDEN, artifact.CARD)
OPTIONAL_FILES = (artifact.PICTURE, "CHANGELOG.md")
YANKED = "yanked.json"
MAX_YANKED_BYTES = 2**20
_SAID = 10
_PREFIX = re.compile(r"[0-9a-f]{7,40}")
_PULL = re.compile(r"refs/pr/\d+")


@dataclass(frozen=True, kw_only=True)
class Repository:
    """What is known of a repository.

    Attributes:
        main: Commit of the main branch; None if the cache does not know it.
        versions: The commits of the published versions, the oldest first.
        refs: The commits of all tags and branches.
        yanked: Withdrawn versions, with the reason.
        described: The main branch, as the Hub describes it; None without a network.
        notes: What the user should know, a line each.
    """

    repo: str
    main: str | None
    versions: dict[str, str]
    refs: dict[str, str]
    yanked: dict[str, str]
    described: reading.Described | None = None
    notes: tuple[str, ...] = ()

    @property
    def kept(self) -> list[str]:
        """The versions that are not withdrawn, the oldest first."""
        return [one for one in self.versions if one not in self.yanked]

    @property
    def said(self) -> str:
        """The versions for a message: the newest of many."""
        known = [*self.versions]
        older = "..., " if len(known) > _SAID else ""
        return older + ", ".join(known[-_SAID:]) if known else "no versions"


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """The commit that a name means.

    Attributes:
        version: The published version that it is; None if it is none.
        yanked: Why it was withdrawn; None if it was not.
        repository: What else the repository holds.
        notes: What the user should know, a line each.
    """

    repo: str
    commit: str
    version: str | None
    yanked: str | None
    repository: Repository
    notes: tuple[str, ...] = ()


def look(repo: str) -> Repository:
    """Ask what a repository holds; without a network, what the cache holds of it.

    Raises:
        NotFoundError: There is no such repository, or nothing of it in the cache.
        NetworkError: The Hub refused.
        IntegrityError: What it says of itself makes no sense.
    """
    if is_offline():
        return _cached(repo, "HF_HUB_OFFLINE is set")
    try:
        return _asked(repo)
    except Unreachable as error:
        if not reading.cached_commits(repo):
            raise
        return _cached(repo, error.found)


def choose(repository: Repository, pin: str | None) -> Resolved:
    """Find the commit that a pin means in a repository; see `retq_hub.remote.resolve`."""
    version = names.version_of(pin) if pin else _newest(repository)
    if version:
        commit = repository.versions.get(version) or repository.refs.get(pin or "")
    elif pin:
        commit = repository.refs.get(pin) or _commit(repository, pin)
    else:
        commit = repository.main
    if commit is None:
        raise NotFoundError(
            f"{repository.repo} has no {pin or 'main branch'}", hint=f"it has {repository.said}"
        )
    return _resolved(repository, commit, pin)


def _asked(repo: str) -> Repository:
    with ThreadPoolExecutor(2) as pool:
        asked = pool.submit(reading.refs, repo)
        described = reading.describe(repo)
        refs = asked.result()
    path = None
    if stated := described.files.get(YANKED):
        if stated.size > MAX_YANKED_BYTES:
            raise IntegrityError(f"{YANKED} of {repo} has {stated.size} bytes, far too many")
        path = reading.download(
            repo, revision=described.commit, filename=YANKED, max_bytes=MAX_YANKED_BYTES
        )
    return Repository(
        repo=repo,
        main=described.commit,
        versions=_versions(refs.tags),
        refs={**refs.tags, **refs.branches},
        yanked=_yanked(path),
        described=described,
    )


def _cached(repo: str, reason: str) -> Repository:
    """Tell from the client's cache what it holds of a repository."""
    refs = reading.cached_refs(repo)
    commits = reading.cached_commits(repo)
    if not refs and not commits:
        raise Unreachable(
            f"{repo} is not in the local cache, and {reason}",
            hint="pull it while there is a network",
        )
    claimed = _claimed(repo, commits)
    versions = _versions(refs) or _in_order(claimed)
    tags = {f"{v}{version}": commit for version, commit in claimed.items() for v in ("", "v")}
    yanks = [reading.snapshot_folder(repo, one) / YANKED for one in commits]
    known = sorted((one for one in yanks if one.is_file()), key=lambda one: one.lstat().st_mtime)
    return Repository(
        repo=repo,
        main=refs.get("main"),
        versions=versions,
        refs={**tags, **refs},
        yanked=_yanked(known[-1] if known else None),
        notes=(f"{repo}: taken from the local cache, for {reason}",),
    )


def _claimed(repo: str, commits: Sequence[str]) -> dict[str, str]:
    """Give the versions that cached manifests name; whether they were published nobody can say."""
    found: dict[str, str] = {}
    for commit in commits:
        folder = reading.snapshot_folder(repo, commit)
        if all((folder / name).is_file() for name in REQUIRED_FILES):
            with suppress(BadInputError):  # whoever asks for this commit is told
                found.setdefault(artifact.read_manifest(folder).version, commit)
    return found


def _versions(tags: dict[str, str]) -> dict[str, str]:
    found = {}
    for tag, commit in tags.items():
        version = names.version_of(tag)
        if version and tag.startswith("v"):
            found[version] = commit
    return _in_order(found)


def _in_order(versions: dict[str, str]) -> dict[str, str]:
    return dict(sorted(versions.items(), key=lambda item: names.order(item[0])))


def _yanked(path: Path | None) -> dict[str, str]:
    """Read which versions are withdrawn."""
    if path is None:
        return {}
    document = schema.read_json(path)
    if not isinstance(document, dict):
        raise IntegrityError(f"{path} must say for each yanked version why")
    return {printable(str(version)): printable(str(reason)) for version, reason in document.items()}


def _newest(repository: Repository) -> str | None:
    if not repository.versions:
        return None
    kept = repository.kept
    if not kept:
        raise NotFoundError(
            f"all versions of {repository.repo} are yanked", hint="pin one with @version"
        )
    return names.newest(reversed(kept), version=str)


def _commit(repository: Repository, pin: str) -> str | None:
    """Find the commit of a pull request, or the one that begins with some digits."""
    if _PULL.fullmatch(pin) and repository.described:
        return reading.describe(repository.repo, pin).commit
    if not _PREFIX.fullmatch(pin):
        return None
    if names.is_commit(pin):
        return pin
    known = {*repository.versions.values(), *repository.refs.values()}
    if not repository.described:
        known |= {*reading.cached_commits(repository.repo)}
    elif not any(one.startswith(pin) for one in known):
        known |= {*reading.commits(repository.repo)}
    found = sorted(one for one in known if one.startswith(pin))
    if len(found) > 1:
        raise UsageError(f"{len(found)} commits begin with {pin}", hint="give more digits")
    return found[0] if found else None


def _resolved(repository: Repository, commit: str, pin: str | None) -> Resolved:
    if not names.is_commit(commit):
        raise IntegrityError(
            f"{endpoint()} gives {commit!r} as a commit of {repository.repo}",
            hint="check HF_ENDPOINT",
        )
    version = names.version_of(pin or "") or next(
        (one for one, its in reversed(repository.versions.items()) if its == commit), None
    )
    yanked = repository.yanked.get(version) if version else None
    notes = list(repository.notes)
    if pin is None and not repository.versions:
        notes.append(f"{repository.repo} has no version yet: this is its main branch")
    if yanked is not None:
        notes.append(f"{repository.repo} {version} is yanked: {yanked}")
    return Resolved(
        repo=repository.repo,
        commit=commit,
        version=version if repository.versions.get(version or "") == commit else None,
        yanked=yanked,
        repository=replace(repository, notes=()),
        notes=tuple(notes),
    )
