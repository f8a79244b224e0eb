"""The files of a commit: a flat table from path to content, with the ids that git gives them."""

import sqlite3
from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from retq_hub.digest import bytes_digest, git_digest
from retq_hub.server.faults import bad_request

__all__ = [
    "Entry",
    "Tree",
    "changes",
    "check",
    "digest",
    "documents",
    "folder_oids",
    "folders",
    "listed",
    "load",
    "save",
    "touched",
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
        return git_digest("blob", self.pointer) if self.lfs else self.sha1

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


def load(connection: sqlite3.Connection, key: str) -> Tree:
    """Read a tree by its `digest`."""
    row = connection.execute("SELECT entries FROM trees WHERE digest=?", (key,)).fetchone()
    return _decoder.decode(row[0])


def check(tree: Tree) -> None:
    """Refuse what cannot be the files of a commit.

    Raises:
        Fault: 400; there are too many files, or a path is both a file and a folder.
    """
    if len(tree) > _MAX_FILES:
        raise bad_request(f"a repository holds at most {_MAX_FILES} files")
    for path in tree:
        for folder in folders(path):
            if folder in tree:
                raise bad_request(f"{folder} is a file and cannot be a folder of {path}")


def digest(tree: Tree) -> str:
    """Give the SHA-256 of a tree as it is kept, by which it is kept.

    Git's id would not do: it does not tell a large file from a text that is its pointer, so that a
    text could stand for the file of somebody else.
    """
    return bytes_digest(_encoded(tree))


def save(connection: sqlite3.Connection, tree: Tree) -> None:
    """Keep a tree by its `digest`."""
    connection.execute(
        "INSERT OR IGNORE INTO trees VALUES (?, ?)", (digest(tree), _encoded(tree).decode())
    )


def _encoded(tree: Tree) -> bytes:
    return msgspec.json.encode(dict(sorted(tree.items())))


def folder_oids(tree: Tree) -> dict[str, str]:
    """Compute git's ids of all folders; the top one is called ``""``."""
    rows: dict[str, list[tuple[bytes, bytes]]] = {"": []}
    for path, entry in tree.items():
        for folder in folders(path):
            rows.setdefault(folder, [])
        _add_row(rows, path, "100644", entry.oid)
    oids = {}
    for folder in sorted(rows, key=lambda one: one.count("/") + bool(one), reverse=True):
        oids[folder] = git_digest("tree", b"".join(row for _, row in sorted(rows[folder])))
        if folder:
            _add_row(rows, folder, "40000", oids[folder])
    return oids


def _add_row(rows: dict[str, list[tuple[bytes, bytes]]], path: str, mode: str, oid: str) -> None:
    """Add a file or folder to the folder that it is in; git sorts folders as if they ended in /."""
    folder, _, name = path.rpartition("/")
    key = f"{name}/" if mode == "40000" else name
    row = f"{mode} {name}".encode() + b"\0" + bytes.fromhex(oid)
    rows[folder].append((key.encode(), row))


def folders(path: str) -> Iterator[str]:
    """Give the folders that a path goes through."""
    place = path.find("/")
    while place >= 0:
        yield path[:place]
        place = path.find("/", place + 1)


def documents(tree: Tree, paths: Collection[str]) -> list[dict[str, Any]]:
    """Describe files and folders as the protocol does; a path that is not there is left out."""
    oids = {} if all(path in tree for path in paths) else folder_oids(tree)
    found: list[dict[str, Any]] = []
    for path in paths:
        if entry := tree.get(path):
            found.append(_file_document(path, entry))
        elif path and path in oids:
            found.append({"type": "directory", "oid": oids[path], "size": 0, "path": path})
    return found


def _file_document(path: str, entry: Entry) -> dict[str, Any]:
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


def listed(tree: Tree, folder: str, *, recursive: bool) -> list[str]:
    """Give the paths in a folder, sorted: its files and folders, or also all that is below."""
    found: set[str] = set()
    start = f"{folder}/" if folder else ""
    for path in tree:
        if path.startswith(start):
            inside = [f"{start}{one}" for one in folders(path[len(start) :])]
            steps = [*inside, path]
            found.update(steps if recursive else steps[:1])
    return sorted(found)


def changes(old: Tree, new: Tree) -> list[str]:
    """Give the paths whose files differ, sorted."""
    return sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))


def touched(old: Tree, new: Tree) -> set[str]:
    """Give the paths whose files differ, with the folders that they are in."""
    changed = changes(old, new)
    return {folder for path in changed for folder in folders(path)}.union(changed)
