"""Commits: kept with the id that git would give them, listed along their parents."""

import sqlite3
from dataclasses import dataclass

from retq_hub.digest import git_digest
from retq_hub.server import trees
from retq_hub.server.clock import now, seconds
from retq_hub.server.trees import Tree

__all__ = [
    "COLUMNS",
    "Commit",
    "described",
    "find",
    "history",
    "length",
    "make",
    "row_commit",
    "save",
    "tree_of",
]


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A commit.

    Attributes:
        oid: Its id.
        parent: The one before; None for the first.
        tree: `retq_hub.server.trees.digest` of its files.
        author: Name of the user who made it.
        title: The message's first line.
        message: The rest of it.
        created: When it was made.
    """

    oid: str
    parent: str | None
    tree: str
    author: str
    title: str
    message: str
    created: str


COLUMNS = "oid, parent, tree, author, title, message, created"
"""The columns of the table, in the order in which `row_commit` wants them."""

_CHAIN = f"""
WITH RECURSIVE chain (depth, {COLUMNS}) AS (
    SELECT 0, {COLUMNS} FROM commits WHERE repo = :repo AND oid = :oid
    UNION ALL
    SELECT depth + 1, {", ".join(f"one.{name.strip()}" for name in COLUMNS.split(","))}
    FROM chain JOIN commits AS one ON one.repo = :repo AND one.oid = chain.parent
    LIMIT :until
)
"""


def make(*, tree: Tree, parent: str | None, author: str, title: str, message: str) -> Commit:
    """Make a commit of a tree, now."""
    created = now()
    who = f"{author} <{author}@users.noreply> {seconds(created)} +0000"
    lines = [
        f"tree {trees.folder_oids(tree)['']}",
        *([f"parent {parent}"] if parent else []),
        f"author {who}",
        f"committer {who}",
        "",
        f"{title}\n\n{message}\n" if message else f"{title}\n",
    ]
    body = "\n".join(lines).encode()
    oid = git_digest("commit", body)
    return Commit(
        oid=oid,
        parent=parent,
        tree=trees.digest(tree),
        author=author,
        title=title,
        message=message,
        created=created,
    )


def save(
    connection: sqlite3.Connection,
    repo_key: int,
    commit: Commit,
    *,
    described: str,
    findings: str | None,
) -> None:
    """Keep a commit.

    Args:
        connection: One that writes.
        repo_key: The repository's row.
        commit: The commit.
        described: What its card and files say of it, see `retq_hub.server.descriptions`.
        findings: What the check of its artifact found, a JSON list; None: it holds no artifact.
    """
    connection.execute(
        f"INSERT OR IGNORE INTO commits (repo, {COLUMNS}, described, findings) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            repo_key,
            commit.oid,
            commit.parent,
            commit.tree,
            commit.author,
            commit.title,
            commit.message,
            commit.created,
            described,
            findings,
        ),
    )


def find(connection: sqlite3.Connection, repo_key: int, oid: str) -> Commit:
    """Give a commit that is there."""
    return row_commit(
        connection.execute(
            f"SELECT {COLUMNS} FROM commits WHERE repo=? AND oid=?", (repo_key, oid)
        ).fetchone()
    )


def described(connection: sqlite3.Connection, repo_key: int, oid: str) -> tuple[Commit, str]:
    """Give a commit that is there, and what its card and files say of it."""
    row = connection.execute(
        f"SELECT {COLUMNS}, described FROM commits WHERE repo=? AND oid=?", (repo_key, oid)
    ).fetchone()
    return row_commit(row[:-1]), row[-1]


def tree_of(connection: sqlite3.Connection, repo_key: int, oid: str) -> Tree:
    """Give the files of a commit that is there."""
    return trees.load(connection, find(connection, repo_key, oid).tree)


def history(
    connection: sqlite3.Connection, repo_key: int, oid: str, *, skip: int, limit: int
) -> list[Commit]:
    """Give a commit and those before it, newest first.

    Args:
        connection: Any.
        repo_key: The repository's row.
        oid: Where to begin.
        skip: So many are left out first.
        limit: So many are given at most.
    """
    rows = connection.execute(
        f"{_CHAIN} SELECT {COLUMNS} FROM chain WHERE depth >= :skip ORDER BY depth",
        {"repo": repo_key, "oid": oid, "skip": skip, "until": skip + limit},
    )
    return [row_commit(row) for row in rows]


def length(connection: sqlite3.Connection, repo_key: int, oid: str) -> int:
    """Count a commit and all before it."""
    row = connection.execute(
        f"{_CHAIN} SELECT count(*) FROM chain", {"repo": repo_key, "oid": oid, "until": -1}
    ).fetchone()
    return int(row[0])


def row_commit(row: tuple[str, str | None, str, str, str, str, str]) -> Commit:
    """Make a commit of a row of `COLUMNS`."""
    oid, parent, tree, author, title, message, created = row
    return Commit(
        oid=oid,
        parent=parent,
        tree=tree,
        author=author,
        title=title,
        message=message,
        created=created,
    )
