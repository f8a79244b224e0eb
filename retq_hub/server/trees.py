"""The files of a commit: a flat table from path to content, with the ids that git gives them."""

import hashlib
import sqlite3
from collections.abc import Iterator
from typing import Any

import msgspec

from retq_hub.server.faults import bad_request

__all__ = [
    "Entry",
    "Tree",
    "changes",
    "check",
    "decode",
    "folder_oid",
    "info",
    "listed",
    "load",
    "save",
]

_MAX_FILES = 20_000


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A file of a tree.

    Attributes:
        size: In bytes.
        sha1: Git's id of the content.
        sha256: Of the content.
        lfs: Whether it counts as a large file, as all binary ones do.
    """

    size: int
    sha1: str
    sha256: str
    lfs: bool

    @property
    def oid(self) -> str:
        """Git's id: of the content, or of the pointer that stands for a large file."""
        return _git_oid("blob", self.pointer) if self.lfs else self.sha1

    @property
    def pointer(self) -> bytes:
        """The pointer file of git LFS."""
        return (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\n"
            f"size {self.size}\n"
        ).encode()

    @property
    def etag(self) -> str:
        """What tells contents apart: SHA-256 of a large file, git's id of others."""
        return self.sha256 if self.lfs else self.sha1


Tree = dict[str, Entry]
"""Path to file; no path is a folder of another one."""

_decoder = msgspec.json.Decoder(Tree)


def decode(entries: str) -> Tree:
    """Read a tree as it is kept."""
    return _decoder.decode(entries)


def load(connection: sqlite3.Connection, oid: str) -> Tree:
    """Read a tree by its id."""
    row = connection.execute("SELECT entries FROM trees WHERE oid=?", (oid,)).fetchone()
    return decode(row[0])


def check(tree: Tree) -> None:
    """Refuse what cannot be the files of a commit.

    Raises:
        Fault: 400; there are too many files, or a path is both a file and a folder.
    """
    if len(tree) > _MAX_FILES:
        raise bad_request(f"a repository holds at most {_MAX_FILES} files")
    for path in tree:
        for folder in _folders(path):
            if folder in tree:
                raise bad_request(f"{folder} is a file and cannot be a folder of {path}")


def save(connection: sqlite3.Connection, tree: Tree) -> str:
    """Keep a tree and give its id."""
    oid = folder_oid(tree, "")
    entries = msgspec.json.encode(dict(sorted(tree.items()))).decode()
    connection.execute("INSERT OR IGNORE INTO trees VALUES (?, ?)", (oid, entries))
    return oid


def folder_oid(tree: Tree, folder: str) -> str:
    """Compute git's id of a folder; the top one is called ``""``."""
    rows = []
    for name, below in _children(tree, folder):
        path = f"{folder}/{name}" if folder else name
        if below:
            rows.append((f"{name}/", "40000", name, folder_oid(below, path)))
        else:
            rows.append((name, "100644", name, tree[path].oid))
    body = b"".join(
        f"{mode} {name}".encode() + b"\0" + bytes.fromhex(oid)
        for _, mode, name, oid in sorted(rows, key=lambda row: row[0].encode())
    )
    return _git_oid("tree", body)


def _children(tree: Tree, folder: str) -> Iterator[tuple[str, Tree]]:
    """Give the names in a folder, each with the files below it: none, if it is a file itself."""
    start = len(folder) + 1 if folder else 0
    found: dict[str, Tree] = {}
    for path, entry in tree.items():
        name, slash, _ = path[start:].partition("/")
        below = found.setdefault(name, {})
        if slash:
            below[path] = entry
    yield from found.items()


def _folders(path: str) -> Iterator[str]:
    """Give the folders that a path goes through."""
    place = path.find("/")
    while place >= 0:
        yield path[:place]
        place = path.find("/", place + 1)


def _git_oid(kind: str, body: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(body)}\0".encode() + body, usedforsecurity=False).hexdigest()


def info(tree: Tree, path: str) -> dict[str, Any] | None:
    """Describe a file or folder as the protocol does; None if there is no such path."""
    if entry := tree.get(path):
        found: dict[str, Any] = {
            "type": "file",
            "oid": entry.oid,
            "size": entry.size,
            "path": path,
        }
        if entry.lfs:
            pointer = len(entry.pointer)
            found["lfs"] = {"oid": entry.sha256, "size": entry.size, "pointerSize": pointer}
        return found
    below = {one: entry for one, entry in tree.items() if one.startswith(f"{path}/")}
    if not below:
        return None
    return {"type": "directory", "oid": folder_oid(below, path), "size": 0, "path": path}


def listed(tree: Tree, folder: str, *, recursive: bool) -> list[str]:
    """Give the paths in a folder, sorted: its files and folders, or also all that is below."""
    found: set[str] = set()
    start = f"{folder}/" if folder else ""
    for path in tree:
        if path.startswith(start):
            inside = [f"{start}{one}" for one in _folders(path[len(start) :])]
            steps = [*inside, path]
            found.update(steps if recursive else steps[:1])
    return sorted(found)


def changes(old: Tree, new: Tree) -> list[str]:
    """Give the paths whose files differ, sorted."""
    return sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))
