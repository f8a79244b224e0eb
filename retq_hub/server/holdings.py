"""Which blobs a repository may refer to: those that were sent to it, and no other's."""

import sqlite3

from retq_hub.server.blobs import Blob

__all__ = ["add", "find"]


def add(connection: sqlite3.Connection, repo_key: int, blob: Blob) -> None:
    """Note that a repository holds a blob."""
    connection.execute(
        "INSERT OR IGNORE INTO blobs VALUES (?, ?, ?, ?)",
        (blob.sha256, blob.sha1, blob.size, blob.binary),
    )
    connection.execute("INSERT OR IGNORE INTO held VALUES (?, ?)", (repo_key, blob.sha256))


def find(connection: sqlite3.Connection, repo_key: int, sha256: str) -> Blob | None:
    """Give a blob that a repository holds; None if it does not."""
    row = connection.execute(
        "SELECT sha256, sha1, size, binary FROM held JOIN blobs USING (sha256) "
        "WHERE repo=? AND sha256=?",
        (repo_key, sha256),
    ).fetchone()
    return row and Blob(sha256=row[0], sha1=row[1], size=row[2], binary=bool(row[3]))
