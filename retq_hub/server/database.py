"""The state of a hub: one SQLite file in WAL mode, many readers, one writer at a time."""

import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue

from retq_hub.errors import StorageError

__all__ = ["Database"]

_VERSION = 2

_FROM_1 = """
INSERT OR IGNORE INTO facets SELECT 'kind', 'segmentation', repo FROM queries WHERE version != ''
"""
"""There was no other kind before."""

_SCHEMA = """
CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    created TEXT NOT NULL
);
CREATE TABLE tokens (
    digest TEXT PRIMARY KEY,
    user INTEGER NOT NULL REFERENCES users ON DELETE CASCADE
);
CREATE TABLE repos (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    namespace TEXT NOT NULL COLLATE NOCASE,
    name TEXT NOT NULL COLLATE NOCASE,
    private INTEGER NOT NULL,
    gated TEXT NOT NULL,
    created TEXT NOT NULL,
    modified TEXT NOT NULL,
    head TEXT NOT NULL,
    UNIQUE (kind, namespace, name)
);
CREATE INDEX repos_modified ON repos (kind, modified, id);
CREATE INDEX repos_created ON repos (kind, created, id);
CREATE TABLE trees (
    digest TEXT PRIMARY KEY,
    entries TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE commits (
    repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE,
    oid TEXT NOT NULL,
    parent TEXT,
    tree TEXT NOT NULL,
    author TEXT NOT NULL,
    title TEXT NOT NULL,
    message TEXT NOT NULL,
    created TEXT NOT NULL,
    described TEXT NOT NULL,
    findings TEXT,
    PRIMARY KEY (repo, oid)
) WITHOUT ROWID;
CREATE INDEX commits_tree ON commits (tree);
CREATE TABLE refs (
    repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    oid TEXT NOT NULL,
    message TEXT,
    PRIMARY KEY (repo, kind, name)
) WITHOUT ROWID;
CREATE TABLE published (
    repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE,
    tag TEXT NOT NULL,
    oid TEXT NOT NULL,
    PRIMARY KEY (repo, tag)
) WITHOUT ROWID;
CREATE TABLE blobs (
    sha256 TEXT PRIMARY KEY,
    sha1 TEXT NOT NULL,
    size INTEGER NOT NULL,
    binary INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE held (
    repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE,
    sha256 TEXT NOT NULL REFERENCES blobs,
    PRIMARY KEY (repo, sha256)
) WITHOUT ROWID;
CREATE INDEX held_blob ON held (sha256);
CREATE TABLE labels (
    tag TEXT NOT NULL,
    repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE,
    PRIMARY KEY (tag, repo)
) WITHOUT ROWID;
CREATE INDEX labels_repo ON labels (repo);
CREATE TABLE discussions (
    repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE,
    num INTEGER NOT NULL,
    title TEXT NOT NULL,
    status TEXT NOT NULL,
    author TEXT NOT NULL,
    created TEXT NOT NULL,
    pull INTEGER NOT NULL,
    base TEXT,
    merged TEXT,
    PRIMARY KEY (repo, num)
) WITHOUT ROWID;
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    repo INTEGER NOT NULL,
    num INTEGER NOT NULL,
    type TEXT NOT NULL,
    author TEXT NOT NULL,
    created TEXT NOT NULL,
    data TEXT NOT NULL,
    FOREIGN KEY (repo, num) REFERENCES discussions ON DELETE CASCADE
);
CREATE INDEX events_discussion ON events (repo, num, id);
CREATE TABLE requests (
    repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE,
    user INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    status TEXT NOT NULL,
    created TEXT NOT NULL,
    PRIMARY KEY (repo, user)
) WITHOUT ROWID;
CREATE TABLE queries (
    repo INTEGER PRIMARY KEY REFERENCES repos ON DELETE CASCADE,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    summary TEXT NOT NULL,
    targets TEXT NOT NULL,
    backbone TEXT NOT NULL,
    weights_digest TEXT NOT NULL,
    datasets TEXT NOT NULL,
    licence TEXT NOT NULL,
    dice REAL,
    auroc REAL,
    floats INTEGER NOT NULL,
    findings TEXT NOT NULL,
    words TEXT NOT NULL
);
CREATE TABLE facets (
    facet TEXT NOT NULL,
    value TEXT NOT NULL,
    repo INTEGER NOT NULL REFERENCES queries ON DELETE CASCADE,
    PRIMARY KEY (facet, value, repo)
) WITHOUT ROWID;
CREATE INDEX facets_repo ON facets (repo);
"""


class Database:
    """The tables of a hub.

    A transaction that was committed is on the disk: WAL with ``synchronous=FULL`` outlives a killed
    process and a power cut.

    Args:
        path: The SQLite file; made if it is not there.

    Raises:
        StorageError: The file cannot be used, or it is another program's, or a newer
            retq-hub's.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._idle: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        try:
            self._writer = self._connect()
            self._writer.execute("PRAGMA journal_mode=WAL")
            with self.writing() as connection:
                self._upgrade(connection)
        except sqlite3.Error as error:
            raise StorageError(
                f"{path} cannot be used: {error}", hint="name another folder with --data"
            ) from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=30, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA synchronous=FULL")
        return connection

    def _upgrade(self, connection: sqlite3.Connection) -> None:
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found > _VERSION:
            raise StorageError(
                f"{self._path} has version {found}, this retq-hub knows {_VERSION}",
                hint="update retq-hub",
            )
        if found == 0:
            if connection.execute("SELECT 1 FROM sqlite_master").fetchone():
                raise StorageError(
                    f"{self._path} is no hub's database", hint="name another folder with --data"
                )
            for statement in filter(str.strip, _SCHEMA.split(";")):
                connection.execute(statement)
            secret = ("secret", secrets.token_hex(32))
            connection.execute("INSERT INTO settings VALUES (?, ?)", secret)
        if found == 1:
            connection.execute(_FROM_1)
        if found < _VERSION:
            connection.execute(f"PRAGMA user_version={_VERSION}")

    def secret(self) -> bytes:
        """Give the secret that the hub signs with; it was drawn when the hub was made."""
        with self.reading() as connection:
            row = connection.execute("SELECT value FROM settings WHERE name='secret'").fetchone()
        return bytes.fromhex(row[0])

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection that sees one state of the hub, whatever is written meanwhile."""
        try:
            connection = self._idle.get_nowait()
        except Empty:
            connection = self._connect()
        try:
            connection.execute("BEGIN")
            yield connection
        finally:
            connection.execute("ROLLBACK")
            self._idle.put(connection)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Yield the one connection that writes; the block's work is kept whole or not at all."""
        with self._lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let nothing be written but by this thread, over more than one transaction."""
        with self._lock:
            yield

    def close(self) -> None:
        """Close all connections."""
        while not self._idle.empty():
            self._idle.get_nowait().close()
        with self._lock:
            self._writer.close()
