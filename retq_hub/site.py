"""A registry at a URL: its index, kept in the cache, and artifacts below it, fetched when needed.

Everything that comes is checked before it is used. Where the server cannot be reached, the copy in
the cache serves.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

from retq_hub import artifact, catalogue, web
from retq_hub.digest import bytes_digest
from retq_hub.errors import (
    DigestMismatch,
    IntegrityError,
    ManifestError,
    NetworkError,
    NotFoundError,
    RetqError,
    Unreachable,
    UsageError,
    storage_errors,
)
from retq_hub.hub.client import is_offline
from retq_hub.record import Record
from retq_hub.storage import cache_dir, whole_folder, write_json

__all__ = ["FRESH_S", "Copy", "copy", "fetch"]

FRESH_S = 5.0
"""For so long after a server was asked it is not asked again."""

_MAX_BYTES = {
    artifact.MANIFEST: 64 * 2**20,
    artifact.QUERY: artifact.MAX_FILE_BYTES,
    artifact.GOLDEN: artifact.MAX_FILE_BYTES,
    artifact.CARD: 2**20,
}


@dataclass(frozen=True, kw_only=True)
class Copy:
    """The copy of an index in the cache.

    Attributes:
        index: The file.
        note: Why it may be out of date; empty if it is not.
    """

    index: Path
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class _State:
    """What is remembered of the last time that a server was asked."""

    marks: dict[str, str]
    failure: str
    age_s: float


def copy(url: str) -> Copy:
    """Bring the copy of a registry's index up to date.

    Args:
        url: Of the index, or of the folder that holds it.

    Raises:
        UsageError: The URL holds a password, or more than a path.
        NetworkError: The server does not deliver an index, and there is no copy.
        StorageError: The cache cannot be written.
    """
    from filelock import FileLock

    source = _index_url(url)
    folder = _folder(source)
    index = folder / "index.json"
    if is_offline():
        return _kept(source, index, "HF_HUB_OFFLINE is set")
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        state = _state(folder)
        failure = state.failure
        if not 0 <= state.age_s < FRESH_S:
            failure = _renew(source, folder, state.marks if index.is_file() else {})
    return _kept(source, index, failure) if failure else Copy(index=index)


def fetch(url: str, record: Record) -> Path:
    """Give the folder of an artifact that a registry's index lists, verified, in the cache.

    Raises:
        NetworkError: The server does not deliver it.
        IntegrityError: It is not intact, or not the one that the index promises.
        StorageError: The cache cannot be written.
    """
    source = _index_url(url)
    goal = _folder(source) / "artifacts" / record.digest
    if goal.is_dir() and _is_intact(goal, record):
        return goal
    if is_offline():
        raise Unreachable(
            f"{record.key} of {source} is not in the cache, and HF_HUB_OFFLINE is set",
            hint="pull it while there is a network",
        )
    base = urljoin(source, quote(f"{record.path}/"))
    with whole_folder(goal) as temporary:
        for name, max_bytes in _MAX_BYTES.items():
            _get(base + name, temporary / name, max_bytes, required=name != artifact.CARD)
        _check(temporary, record, base)
    return goal


def _renew(source: str, folder: Path, marks: dict[str, str]) -> str:
    """Ask the server for its index; give what is wrong with the answer, in a line."""
    index, new = folder / "index.json", folder / "new.json"
    failure = ""
    patience_s = 0.0 if index.is_file() else web.PATIENCE_S
    try:
        answer = web.get(
            source, new, max_bytes=catalogue.MAX_BYTES, marks=marks, patience_s=patience_s
        )
        if answer.changed:
            catalogue.read(new, place=source).check()
            new.replace(index)
        marks = answer.marks
    except (NetworkError, NotFoundError, ManifestError) as error:
        failure = error.found
    finally:
        new.unlink(missing_ok=True)
    write_json(folder / "state.json", {"marks": marks, "failure": failure})
    return failure


def _kept(source: str, index: Path, failure: str) -> Copy:
    if not index.is_file():
        raise Unreachable(
            f"the registry {source} cannot be used: {failure}",
            hint="check the address and the network, or take it out of RETQ_REGISTRY",
        )
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(index.stat().st_mtime))
    return Copy(index=index, note=f"{failure}: its index of {day} is used")


def _state(folder: Path) -> _State:
    path = folder / "state.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        marks = {str(name): str(mark) for name, mark in document["marks"].items()}
        age_s = time.time() - path.stat().st_mtime
        return _State(marks=marks, failure=str(document["failure"]), age_s=age_s)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return _State(marks={}, failure="", age_s=float("inf"))


def _index_url(url: str) -> str:
    """Give the URL of the index; refuse what may hold a secret or is not plain."""
    try:
        parts = urlsplit(url)
        plain = bool(parts.hostname) and parts.port is not False and "@" not in parts.netloc
    except ValueError:
        plain = False
    if not plain or "?" in url or "#" in url:
        raise UsageError(
            "a registry's URL has a host and a path, and neither password nor parameters",
            hint="such as https://host/registry/index.json",
        )
    return url if url.endswith(".json") else f"{url.rstrip('/')}/index.json"


def _folder(source: str) -> Path:
    return cache_dir() / "registries" / bytes_digest(source.encode())[:32]


def _get(url: str, path: Path, max_bytes: int, *, required: bool) -> None:
    try:
        web.get(url, path, max_bytes=max_bytes)
    except NotFoundError as error:
        path.unlink(missing_ok=True)
        if required:
            raise NetworkError(
                f"the index lists an artifact, but {error.found}", hint="tell who runs the registry"
            ) from error


def _check(folder: Path, record: Record, base: str) -> None:
    if problems := artifact.findings(folder):
        raise IntegrityError(
            f"the artifact at {base} is not intact: {problems[0]}",
            hint="tell who runs the registry",
        )
    found = artifact.read(folder).manifest
    if found.digest != record.digest:
        raise DigestMismatch(
            f"the artifact at {base}",
            expected=record.digest,
            actual=found.digest,
            hint="tell who runs the registry",
        )


def _is_intact(folder: Path, record: Record) -> bool:
    try:
        return artifact.read(folder).manifest.digest == record.digest
    except RetqError:
        return False
