"""What is read from a Hub: commits, tags, files and listings; files into the client's own cache."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from retq_hub.digest import bytes_digest, git_digest
from retq_hub.errors import IntegrityError, StorageError
from retq_hub.hub.client import (
    PATIENCE_S,
    ask,
    cache_folder,
    endpoint,
    hub_api,
    is_offline,
)
from retq_hub.names import is_commit
from retq_hub.storage import write_text
from retq_hub.text import printable

__all__ = [
    "Described",
    "Refs",
    "Stated",
    "cached",
    "cached_commits",
    "cached_refs",
    "commits",
    "describe",
    "digest_of",
    "download",
    "is_absent",
    "models",
    "refs",
    "remember",
    "snapshot_folder",
]


@dataclass(frozen=True, kw_only=True)
class Stated:
    """What the Hub says of a file.

    Attributes:
        size: In bytes.
        digest: SHA-256 of a large file, git's SHA-1 of any other.
    """

    size: int
    digest: str


@dataclass(frozen=True, kw_only=True)
class Described:
    """A repository at one commit.

    Attributes:
        files: By path.
        tags: Those that a search filters by, not those of git.
        card: The head of its card.
        model_index: Its figures, as the card's head gives them.
    """

    repo: str
    commit: str
    files: dict[str, Stated]
    tags: tuple[str, ...]
    private: bool
    gated: bool
    card: dict[str, Any]
    model_index: Any


@dataclass(frozen=True, kw_only=True)
class Refs:
    """The commits that names stand for."""

    tags: dict[str, str]
    branches: dict[str, str]


def describe(repo: str, revision: str | None = None) -> Described:
    """Ask what a repository is at a revision, and which files it has there.

    Args:
        repo: ``namespace/name``.
        revision: Commit, tag, branch or ``refs/pr/1``; None: the main branch.

    Raises:
        NotFoundError: There is no such repository or revision.
        NetworkError: The Hub did not deliver, or refused.
    """
    what = f"{repo}@{revision}" if revision else repo
    return ask(
        what,
        lambda: _described(hub_api().model_info(repo, revision=revision, files_metadata=True)),
    )


def refs(repo: str) -> Refs:
    """Ask for all tags and branches.

    Raises:
        NotFoundError: There is no such repository.
        NetworkError: The Hub did not deliver, or refused.
    """
    found = ask(repo, lambda: hub_api().list_repo_refs(repo))
    return Refs(
        tags={one.name: one.target_commit for one in found.tags},
        branches={one.name: one.target_commit for one in found.branches},
    )


def commits(repo: str) -> list[str]:
    """Ask for the commits of the main branch, the newest first.

    Raises:
        NotFoundError: There is no such repository.
        NetworkError: The Hub did not deliver, or refused.
    """
    return [one.commit_id for one in ask(repo, lambda: hub_api().list_repo_commits(repo))]


def models(
    *, filters: Sequence[str], limit: int, patience_s: float = PATIENCE_S
) -> list[Described]:
    """Ask for the repositories that carry all of some tags; their files are not listed.

    Args:
        filters: The tags.
        limit: At most so many.
        patience_s: For how long another request may begin.

    Raises:
        NetworkError: The Hub did not deliver.
    """

    def listed() -> list[Described]:
        listing = hub_api().list_models(
            filter=list(filters),
            limit=limit,
            expand=["cardData", "gated", "model-index", "private", "sha", "tags"],
        )
        return [_described(one) for one in islice(listing, limit)]

    return ask("the list of queries", listed, patience_s=patience_s)


def download(
    repo: str,
    *,
    revision: str,
    filename: str,
    max_bytes: int | None = None,
    force: bool = False,
    patience_s: float = PATIENCE_S,
) -> Path:
    """Give the local copy of one file of a Hub repository, out of the client's own cache.

    Args:
        repo: ``namespace/name``.
        revision: Commit, tag or branch.
        filename: Path in the repository.
        max_bytes: It may be so large; None: as large as it likes.
        force: Get it anew, whatever the cache holds.
        patience_s: For how long a download that broke off may be taken up again.

    Raises:
        NotFoundError: There is no such repository, revision or file.
        NetworkError: The Hub did not deliver, or the repository is gated.
        StorageError: The cache cannot be written.
    """
    from huggingface_hub import hf_hub_download

    return ask(
        f"{repo}@{revision}/{filename}",
        lambda: Path(
            hf_hub_download(
                repo,
                filename,
                revision=revision,
                endpoint=endpoint(),
                cache_dir=cache_folder(),
                force_download=force,
                local_files_only=is_offline(),
                library_name="retq",
            )
        ),
        patience_s=patience_s,
        max_bytes=max_bytes,
    )


def digest_of(data: bytes, *, like: str) -> str:
    """Hash a file's bytes as the Hub does: git's SHA-1, for large files SHA-256.

    Args:
        data: The bytes.
        like: A digest of the Hub's; its length says which it is.
    """
    if len(like) == 64:
        return bytes_digest(data)
    return git_digest("blob", data)


def snapshot_folder(repo: str, commit: str) -> Path:
    """Give the folder in which the client's cache holds the files of a commit.

    Raises:
        IntegrityError: This can be no commit: what a Hub says must not lead elsewhere.
    """
    if not is_commit(commit):
        said = printable(commit, most=80)
        raise IntegrityError(f"{said!r} is no commit of {repo}", hint="check HF_ENDPOINT")
    return _repo_folder(repo) / "snapshots" / commit


def cached(repo: str, commit: str, filename: str) -> Path | None:
    """Give the local copy of a file of a commit; None if the cache has none."""
    path = snapshot_folder(repo, commit) / filename
    return path if path.is_file() else None


def is_absent(repo: str, commit: str, filename: str) -> bool:
    """Whether the cache remembers that a commit has no such file."""
    return (_repo_folder(repo) / ".no_exist" / commit / filename).is_file()


def cached_commits(repo: str) -> list[str]:
    """Give the commits of which the cache has files."""
    folder = _repo_folder(repo) / "snapshots"
    known = (path.name for path in folder.iterdir()) if folder.is_dir() else ()
    return sorted(name for name in known if is_commit(name))


def cached_refs(repo: str) -> dict[str, str]:
    """Give the names that the cache knows commits of: tags, branches, ``refs/pr/1``."""
    folder = _repo_folder(repo) / "refs"
    known = {
        path.relative_to(folder).as_posix(): path.read_text(encoding="ascii", errors="replace")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return {name: one.strip() for name, one in known.items() if is_commit(one.strip())}


def remember(repo: str, name: str, commit: str) -> None:
    """Note in the cache, where it can be written, which commit a tag stands for."""
    path = _repo_folder(repo) / "refs" / name
    with suppress(StorageError):
        if not (path.is_file() and path.read_bytes() == commit.encode()):
            write_text(path, commit)


def _repo_folder(repo: str) -> Path:
    return cache_folder() / f"models--{repo.replace('/', '--')}"


def _described(info: Any) -> Described:  # noqa: ANN401 - the client's class has no types
    card = info.card_data.to_dict() if info.card_data else {}
    return Described(
        repo=info.id,
        commit=info.sha or "",
        files={
            one.rfilename: Stated(
                size=one.size or 0, digest=one.lfs.sha256 if one.lfs else one.blob_id or ""
            )
            for one in info.siblings or ()
        },
        tags=tuple(printable(str(tag)) for tag in info.tags or ()),
        private=bool(info.private),
        gated=bool(info.gated),
        card=card,
        model_index=info.model_index or card.get("model-index") or [],
    )
