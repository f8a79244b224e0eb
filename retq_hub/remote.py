"""Queries on a Hub: resolved to a commit, fetched, verified; found by what they say of themselves.

No torch here, and no request where the client's cache has what a commit holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from retq_hub import artifact
from retq_hub.errors import IntegrityError
from retq_hub.hub import reading, snapshots
from retq_hub.hub.reading import Described
from retq_hub.listing import Listing, search
from retq_hub.manifest import QueryManifest
from retq_hub.repository import OPTIONAL_FILES, REQUIRED_FILES, Resolved, choose, look

__all__ = ["Listing", "Located", "fetch", "locate", "manifest", "resolve", "search"]


@dataclass(frozen=True, kw_only=True)
class Located:
    """A verified query in the client's cache.

    Attributes:
        version: The one that its manifest names.
        yanked: Why it was withdrawn; None if it was not.
        notes: What the user should know, a line each.
    """

    folder: Path
    repo: str
    commit: str
    version: str
    yanked: str | None
    notes: tuple[str, ...] = ()


def resolve(repo: str, pin: str | None) -> Resolved:
    """Find the commit that ``repo@pin`` means.

    Args:
        repo: ``namespace/name``.
        pin: A version, tag, branch, ``refs/pr/1`` or commit (7 digits or more); None: the newest
            version that is neither yanked nor a pre-release, without versions the main branch.

    Raises:
        NotFoundError: There is no such repository or revision.
        UsageError: The first digits of several commits.
        NetworkError: The Hub did not deliver, or refused.
    """
    return choose(look(repo), pin)


def fetch(repo: str, commit: str, files: Sequence[str] | None = None) -> Path:
    """Give a folder with files of exactly one commit, verified, out of the client's cache.

    Args:
        repo: ``namespace/name``.
        commit: All 40 digits.
        files: Their names; if not given those of a query, with picture and changelog if there are.

    Returns:
        The folder; files that were fetched at other times may lie there too. Nothing is asked for
        if they do.

    Raises:
        NotFoundError: The commit has no such file.
        DigestMismatch: A file is not what the Hub says, even when it is fetched again.
        IntegrityError: A file is too large.
        NetworkError: The Hub did not deliver, or refused.
    """
    return _fetch(repo, commit, files, described=None)


def manifest(repo: str, pin: str | None) -> tuple[QueryManifest, Resolved]:
    """Give the manifest of a query, and the commit that it is of; nothing else is downloaded.

    Raises:
        NotFoundError: There is no such repository or revision, or it holds no query.
        ManifestError: The manifest breaks its schema.
        NetworkError: The Hub did not deliver, or refused.
    """
    found = resolve(repo, pin)
    folder = _fetch(repo, found.commit, [artifact.MANIFEST], described=found.repository.described)
    return artifact.read_manifest(folder), found


def locate(repo: str, pin: str | None) -> Located:
    """Give a verified query of a Hub.

    Raises:
        NotFoundError: There is no such repository or revision, or it holds no query.
        IntegrityError: The query is not intact, or is another version than its tag says.
        ManifestError: Its manifest breaks the schema.
        NetworkError: The Hub did not deliver, or refused.
    """
    found = resolve(repo, pin)
    folder = _fetch(repo, found.commit, None, described=found.repository.described)
    version = artifact.read(folder).manifest.version
    if found.version and found.version != version:
        raise IntegrityError(
            f"tag v{found.version} of {repo} holds version {version}", hint="tell its authors"
        )
    if found.version:
        reading.remember(repo, f"v{version}", found.commit)
    return Located(
        folder=folder,
        repo=repo,
        commit=found.commit,
        version=version,
        yanked=found.yanked,
        notes=found.notes,
    )


def _fetch(
    repo: str, commit: str, files: Sequence[str] | None, *, described: Described | None
) -> Path:
    return snapshots.fetch(
        repo,
        commit,
        REQUIRED_FILES if files is None else files,
        optional=OPTIONAL_FILES if files is None else (),
        described=described,
        max_bytes=artifact.MAX_FILE_BYTES,
    )
