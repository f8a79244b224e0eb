"""Files of exactly one commit, in the client's cache: fetched once, side by side, and verified.

The client names what it caches by the digest that the Hub gave. So a file can be verified at any
time, without a network.
"""

import re
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from retq_hub.errors import DigestMismatch, IntegrityError, NetworkError, NotFoundError, Unreachable
from retq_hub.hub import reading
from retq_hub.hub.client import endpoint, is_offline
from retq_hub.hub.reading import Described

__all__ = ["fetch"]

_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def fetch(
    repo: str,
    commit: str,
    files: Sequence[str],
    *,
    optional: Sequence[str] = (),
    described: Described | None = None,
    max_bytes: int,
) -> Path:
    """Give a folder with files of exactly one commit; nothing is asked for if they are there.

    Args:
        repo: ``namespace/name``.
        commit: All 40 digits.
        files: Those that must be there.
        optional: Those that may be there.
        described: What the Hub said of this commit, if it was asked; of another one: no matter.
        max_bytes: No file may be larger.

    Raises:
        NotFoundError: The commit has no such file.
        DigestMismatch: A file is not what the Hub says, even when it is fetched again.
        IntegrityError: A file is too large.
        NetworkError: The Hub did not deliver, or refused.
    """
    missing = [name for name in files if not reading.cached(repo, commit, name)]
    unknown = [
        name
        for name in optional
        if not (reading.cached(repo, commit, name) or reading.is_absent(repo, commit, name))
    ]
    if missing or unknown:
        try:
            _download(repo, commit, [*missing, *unknown], optional, described, max_bytes)
        except Unreachable:
            if missing:
                raise
    for name in (*files, *optional):
        if path := reading.cached(repo, commit, name):
            _verify(repo, commit, name, path, max_bytes)
    return reading.snapshot_folder(repo, commit)


def _download(
    repo: str,
    commit: str,
    names: Sequence[str],
    optional: Collection[str],
    described: Described | None,
    max_bytes: int,
) -> None:
    if described is None or described.commit != commit:
        described = reading.describe(repo, commit)
    for name in names:
        _check_listed(described, name, optional, max_bytes)

    def get(name: str) -> None:
        try:
            path = reading.download(repo, revision=commit, filename=name, max_bytes=max_bytes)
        except NotFoundError:
            if name not in optional:
                raise
            return
        if path != reading.snapshot_folder(repo, commit) / name:
            raise IntegrityError(
                f"{endpoint()} gave {name} of another commit than {commit}",
                hint="check HF_ENDPOINT",
            )

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(get, names))


def _check_listed(
    described: Described, name: str, optional: Collection[str], max_bytes: int
) -> None:
    stated = described.files.get(name)
    if stated is None and name not in optional:
        raise NotFoundError(
            f"{described.repo} has no {name} at commit {described.commit[:12]}",
            hint="this is no query: check the name and the version",
        )
    if stated and stated.size > max_bytes:
        raise IntegrityError(
            f"{name} of {described.repo} has {stated.size} bytes, a query's files have at most "
            f"{max_bytes}",
            hint="this is no query",
        )


def _verify(repo: str, commit: str, name: str, path: Path, max_bytes: int) -> None:
    """Compare a file with the Hub's digest; get a damaged one again, once."""
    expected = path.resolve().name
    if not _DIGEST.fullmatch(expected):
        return
    actual = reading.digest_of(path.read_bytes(), like=expected)
    if actual == expected:
        return
    again = _again(repo, commit, name, max_bytes)
    if again is not None:
        actual = reading.digest_of(again.read_bytes(), like=expected)
        if actual == expected:
            return
        again.resolve().unlink(missing_ok=True)
        again.unlink(missing_ok=True)
    raise DigestMismatch(
        f"{name} of {repo} at commit {commit[:12]}",
        expected=expected,
        actual=actual,
        hint="it was damaged on the way or on the disk: try again with a network",
    )


def _again(repo: str, commit: str, name: str, max_bytes: int) -> Path | None:
    if is_offline():
        return None
    try:
        return reading.download(
            repo, revision=commit, filename=name, force=True, max_bytes=max_bytes
        )
    except NetworkError:
        return None
