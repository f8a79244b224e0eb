"""What a client sends as a commit: lines of JSON, each checked before anything is done."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import msgspec

from retq_hub.server.blobs import Blobs, Staged
from retq_hub.server.faults import bad_request, too_large
from retq_hub.server.naming import check_path, check_text

__all__ = ["INLINE_LIMIT", "LargeFile", "Payload", "read"]

INLINE_LIMIT = 32 * 2**20
"""So large may a file be that stands in the commit itself."""

_MAX_LINE = INLINE_LIMIT // 3 * 4 + 8192
_MAX_OPERATIONS = 20_000
_MAX_TITLE = 500
_PARENT = re.compile(r"[0-9a-f]{5,40}")
_MAX_MESSAGE = 65_536


class _Line(msgspec.Struct, frozen=True):
    key: str
    value: msgspec.Raw


class _Header(msgspec.Struct, frozen=True):
    summary: str
    description: str = ""
    parentCommit: str | None = None  # noqa: N815 - the protocol's name


class _File(msgspec.Struct, frozen=True):
    path: str
    content: bytes
    encoding: str = "base64"


class _LargeFile(msgspec.Struct, frozen=True):
    path: str
    oid: str
    algo: str = "sha256"
    size: int | None = None


class _Deleted(msgspec.Struct, frozen=True):
    path: str


@dataclass(frozen=True, kw_only=True)
class LargeFile:
    """A file whose content was uploaded before: SHA-256, and the size if the client says it."""

    sha256: str
    size: int | None


@dataclass(kw_only=True)
class Payload:
    """A commit as it was asked for.

    Attributes:
        title: The commit message's first line.
        message: The rest of it.
        parent: The commit that the client has seen last, or its first digits; None: any.
        files: What comes or changes, by path.
        deleted_files: Paths of files that go.
        deleted_folders: Paths of folders that go.
    """

    title: str = ""
    message: str = ""
    parent: str | None = None
    files: dict[str, Staged | LargeFile] = field(default_factory=dict)
    deleted_files: list[str] = field(default_factory=list)
    deleted_folders: list[str] = field(default_factory=list)


def read(stream: IO[bytes], *, blobs: Blobs, folder: Path) -> Payload:
    """Read a commit's lines; the content of its files is staged.

    Args:
        stream: The lines.
        blobs: Where contents go.
        folder: Where they are staged, see `Blobs.staging`.

    Raises:
        Fault: 400 or 413; the first line that cannot be used, by its number.
    """
    payload = Payload()
    for number, line in enumerate(_lines(stream), start=1):
        if number > _MAX_OPERATIONS:
            raise bad_request(f"a commit holds at most {_MAX_OPERATIONS} operations")
        try:
            _take(payload, line, blobs=blobs, folder=folder)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise bad_request(f"line {number} of the commit: {error}") from error
    check_text(payload.title, what="the commit message's title", limit=_MAX_TITLE, least=1)
    check_text(payload.message, what="the commit message", limit=_MAX_MESSAGE)
    if payload.parent is not None and not _PARENT.fullmatch(payload.parent):
        raise bad_request(f"{payload.parent[:100]!r} is no commit id: 5 to 40 digits 0-9a-f are")
    return payload


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    while line := stream.readline(_MAX_LINE + 1):
        if len(line) > _MAX_LINE:
            raise too_large("a file in the commit", f"{INLINE_LIMIT // 2**20} MiB")
        if line.strip():
            yield line


def _take(payload: Payload, line: bytes, *, blobs: Blobs, folder: Path) -> None:
    one = msgspec.json.decode(line, type=_Line)
    if one.key == "header":
        header = msgspec.json.decode(one.value, type=_Header)
        payload.title = header.summary
        payload.message = header.description
        payload.parent = header.parentCommit
    elif one.key == "file":
        file = msgspec.json.decode(one.value, type=_File)
        if file.encoding != "base64":
            raise bad_request(f"{file.path[:200]!r}: only base64 is taken")
        check_path(file.path)
        payload.files[file.path] = blobs.stage(file.content, folder)
    elif one.key == "lfsFile":
        large = msgspec.json.decode(one.value, type=_LargeFile)
        check_path(large.path)
        payload.files[large.path] = LargeFile(sha256=large.oid, size=large.size)
    elif one.key == "deletedFile":
        payload.deleted_files.append(msgspec.json.decode(one.value, type=_Deleted).path)
    elif one.key == "deletedFolder":
        deleted = msgspec.json.decode(one.value, type=_Deleted)
        payload.deleted_folders.append(deleted.path.rstrip("/"))
    else:
        raise bad_request(f"a commit's line cannot be a {one.key[:100]!r}")
