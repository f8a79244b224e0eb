"""Branches, tags and pull requests' heads: what a revision means.

A tag ``v<semver>`` of a commit that holds an artifact is a published version and never moves. Its
owner may delete it, as the protocol has it, but it can only be made again on the same commit: the
name and the commit are remembered as long as the repository is there. So a version that somebody
pinned is either what it was or gone, never something else.
"""

import sqlite3
from dataclasses import dataclass

from retq_hub.inspection import MANIFEST
from retq_hub.names import is_commit
from retq_hub.server import trees
from retq_hub.server.faults import bad_request, conflict, forbidden, revision_not_found
from retq_hub.server.naming import check_ref, is_version_tag
from retq_hub.server.repos import Repo

__all__ = [
    "BRANCH",
    "MAIN",
    "PULL",
    "TAG",
    "Ref",
    "create_branch",
    "create_tag",
    "delete",
    "listed",
    "move",
    "pull_name",
    "resolve",
]

BRANCH = "heads"
TAG = "tags"
PULL = "pr"
MAIN = "main"


@dataclass(frozen=True, kw_only=True)
class Ref:
    """A name of a commit; ``kind`` is `BRANCH`, `TAG` or `PULL`."""

    kind: str
    name: str
    oid: str

    @property
    def full(self) -> str:
        """The name as git has it, for example ``refs/heads/main``."""
        return f"refs/{self.kind}/{self.name}"


def pull_name(num: int) -> str:
    """Give the revision of a pull request's files."""
    return f"refs/{PULL}/{num}"


def listed(connection: sqlite3.Connection, repo: Repo) -> list[Ref]:
    """Give all refs of a repository."""
    rows = connection.execute("SELECT kind, name, oid FROM refs WHERE repo=?", (repo.key,))
    return [Ref(kind=kind, name=name, oid=oid) for kind, name, oid in rows]


def resolve(connection: sqlite3.Connection, repo: Repo, revision: str) -> str:
    """Give the commit that a branch, tag, ``refs/...`` or commit id means.

    Raises:
        Fault: RevisionNotFound.
    """
    if revision in (MAIN, "HEAD"):
        return repo.head
    if is_commit(revision):
        sought = "SELECT oid FROM commits WHERE repo=? AND oid=?"
        row = connection.execute(sought, (repo.key, revision)).fetchone()
    elif revision.startswith("refs/"):
        _, kind, name = (*revision.split("/", 2), "")[:3]
        sought = "SELECT oid FROM refs WHERE repo=? AND kind=? AND name=?"
        row = connection.execute(sought, (repo.key, kind, name)).fetchone()
    else:
        sought = "SELECT oid FROM refs WHERE repo=? AND name=? AND kind IN (?, ?) ORDER BY kind"
        row = connection.execute(sought, (repo.key, revision, BRANCH, TAG)).fetchone()
    if row is None:
        raise revision_not_found(revision[:200])
    return str(row[0])


def move(connection: sqlite3.Connection, repo_key: int, kind: str, name: str, oid: str) -> None:
    """Let a branch or a pull request's head point to a commit; it is made if it is new."""
    connection.execute(
        "INSERT INTO refs (repo, kind, name, oid) VALUES (?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET oid=excluded.oid",
        (repo_key, kind, name, oid),
    )


def create_branch(connection: sqlite3.Connection, repo: Repo, name: str, oid: str) -> None:
    """Make a branch.

    Raises:
        Fault: 400, a bad name, or that of a version, which would hide its tag; 409, it is there.
    """
    if is_version_tag(name):
        raise bad_request(f"{name} is the name of a version: make it a tag")
    _insert(connection, repo, BRANCH, name, oid, message=None)


def create_tag(
    connection: sqlite3.Connection, repo: Repo, name: str, oid: str, *, message: str | None
) -> None:
    """Make a tag; a version's tag is remembered.

    Raises:
        Fault: 400, a bad name; 409, it is there already, or was on another commit.
    """
    if is_version_tag(name):
        _publish(connection, repo, name, oid)
    _insert(connection, repo, TAG, name, oid, message=message)


def _publish(connection: sqlite3.Connection, repo: Repo, name: str, oid: str) -> None:
    row = connection.execute(
        "SELECT oid FROM published WHERE repo=? AND tag=?", (repo.key, name)
    ).fetchone()
    if row and row[0] != oid:
        raise conflict(
            f"{name} was published as commit {row[0]} and a published version never moves: "
            "tag a new version"
        )
    tree = connection.execute(
        "SELECT tree FROM commits WHERE repo=? AND oid=?", (repo.key, oid)
    ).fetchone()[0]
    if row is None and MANIFEST in trees.load(connection, tree):
        connection.execute("INSERT INTO published VALUES (?, ?, ?)", (repo.key, name, oid))


def _insert(
    connection: sqlite3.Connection,
    repo: Repo,
    kind: str,
    name: str,
    oid: str,
    *,
    message: str | None,
) -> None:
    check_ref(name)
    try:
        connection.execute(
            "INSERT INTO refs VALUES (?, ?, ?, ?, ?)", (repo.key, kind, name, oid, message)
        )
    except sqlite3.IntegrityError as error:
        raise conflict(f"Reference refs/{kind}/{name} already exists") from error


def delete(connection: sqlite3.Connection, repo: Repo, kind: str, name: str) -> None:
    """Delete a branch or a tag.

    Raises:
        Fault: 403 for ``main``; RevisionNotFound.
    """
    if kind == BRANCH and name == MAIN:
        raise forbidden("main cannot be deleted")
    removed = connection.execute(
        "DELETE FROM refs WHERE repo=? AND kind=? AND name=?", (repo.key, kind, name)
    )
    if not removed.rowcount:
        raise revision_not_found(name[:200])
