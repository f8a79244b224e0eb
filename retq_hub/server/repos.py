"""Repositories: make, find, change and delete them, and who may do what with them."""

import sqlite3
from dataclasses import dataclass

from retq_hub.server.accounts import User
from retq_hub.server.clock import now
from retq_hub.server.faults import (
    bad_request,
    conflict,
    forbidden,
    gated,
    repo_not_found,
    token_needed,
)
from retq_hub.server.naming import KINDS, RepoId, check_name

__all__ = [
    "COLUMNS",
    "Repo",
    "change",
    "check_download",
    "check_owner",
    "create",
    "delete",
    "find",
    "may_download",
    "require_user",
    "row_repo",
]

COLUMNS = "id, kind, namespace, name, private, gated, created, modified, head"
"""The columns of the table, in the order in which `row_repo` wants them."""


@dataclass(frozen=True, kw_only=True)
class Repo:
    """A repository.

    Attributes:
        key: Its row.
        id: Kind, namespace and name.
        private: Whether only its owner sees it.
        gated: Empty, ``auto`` or ``manual``.
        created: When it was made.
        modified: When a commit was last made to ``main``.
        head: That commit.
    """

    key: int
    id: RepoId
    private: bool
    gated: str
    created: str
    modified: str
    head: str

    def owned_by(self, user: User | None) -> bool:
        """Whether it stands in the user's namespace."""
        return user is not None and user.name == self.id.namespace


def require_user(user: User | None) -> User:
    """Give the user of a request that only users may make.

    Raises:
        Fault: 401.
    """
    if user is None:
        raise token_needed()
    return user


def row_repo(row: tuple[int, str, str, str, int, str, str, str, str]) -> Repo:
    """Make a repository of a row of `COLUMNS`."""
    key, kind, namespace, name, private, gate, created, modified, head = row
    return Repo(
        key=key,
        id=RepoId(kind=kind, namespace=namespace, name=name),
        private=bool(private),
        gated=gate,
        created=created,
        modified=modified,
        head=head,
    )


def find(connection: sqlite3.Connection, repo: RepoId, user: User | None) -> Repo:
    """Find a repository that the user may see.

    Raises:
        Fault: RepoNotFound; it is not there, or private.
    """
    row = connection.execute(
        f"SELECT {COLUMNS} FROM repos WHERE kind=? AND namespace=? AND name=?",
        (repo.kind, repo.namespace, repo.name),
    ).fetchone()
    found = row and row_repo(row)
    if not found or (found.private and not found.owned_by(user)):
        raise repo_not_found(known_user=user is not None)
    return found


def create(connection: sqlite3.Connection, repo: RepoId, user: User, *, private: bool) -> int:
    """Make a repository; it has no commit yet.

    Returns:
        Its row.

    Raises:
        Fault: 400, a bad name; 403, another's namespace; 409, it is there already.
    """
    if repo.kind not in KINDS:
        raise bad_request("this hub holds models and datasets")
    check_name(repo.name)
    if repo.namespace != user.name:
        raise forbidden(f"You ({user.name}) have no rights in the namespace {repo.namespace[:100]}")
    stamp = now()
    try:
        cursor = connection.execute(
            f"INSERT INTO repos ({COLUMNS}) VALUES (NULL, ?, ?, ?, ?, '', ?, ?, '')",
            (repo.kind, repo.namespace, repo.name, private, stamp, stamp),
        )
    except sqlite3.IntegrityError as error:
        raise conflict(f"You already created this {repo.type} repo: {repo}") from error
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def change(
    connection: sqlite3.Connection, repo: Repo, *, private: bool | None, gate: str | None
) -> None:
    """Change who sees a repository and who may download; None leaves it as it is."""
    connection.execute(
        "UPDATE repos SET private=?, gated=? WHERE id=?",
        (
            repo.private if private is None else private,
            repo.gated if gate is None else gate,
            repo.key,
        ),
    )


def delete(connection: sqlite3.Connection, repo: Repo) -> list[str]:
    """Delete a repository with all that belongs to it.

    Returns:
        The SHA-256 of the blobs that no repository holds any more.
    """
    held = "SELECT sha256 FROM held WHERE repo=?"
    others = "SELECT 1 FROM held AS other WHERE other.sha256 = held.sha256 AND other.repo != ?"
    lone = [
        row[0]
        for row in connection.execute(f"{held} AND NOT EXISTS ({others})", (repo.key, repo.key))
    ]
    trees = connection.execute(
        "SELECT DISTINCT tree FROM commits WHERE repo=?", (repo.key,)
    ).fetchall()
    connection.execute("DELETE FROM repos WHERE id=?", (repo.key,))
    connection.executemany(
        "DELETE FROM trees WHERE oid=? "
        "AND NOT EXISTS (SELECT 1 FROM commits WHERE commits.tree = trees.oid)",
        trees,
    )
    connection.executemany("DELETE FROM blobs WHERE sha256=?", ((one,) for one in lone))
    return lone


def check_owner(repo: Repo, user: User | None) -> User:
    """Let only the owner pass.

    Raises:
        Fault: 401 without a token; 403 for anybody else.
    """
    known = require_user(user)
    if not repo.owned_by(known):
        raise forbidden(
            f"You ({known.name}) have no write access to {repo.id}: open a pull request"
        )
    return known


def may_download(connection: sqlite3.Connection, repo: Repo, user: User | None) -> bool:
    """Whether the user may have the files: owner, not gated, or let in."""
    if not repo.gated or repo.owned_by(user):
        return True
    if user is None:
        return False
    row = connection.execute(
        "SELECT status FROM requests WHERE repo=? AND user=?", (repo.key, user.id)
    ).fetchone()
    return row is not None and row[0] == "accepted"


def check_download(connection: sqlite3.Connection, repo: Repo, user: User | None) -> None:
    """Let pass who may have the files.

    Raises:
        Fault: GatedRepo.
    """
    if not may_download(connection, repo, user):
        raise gated(str(repo.id), known_user=user is not None)
