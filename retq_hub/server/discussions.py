"""Discussions and pull requests: their state and everything that was said and done in them."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from retq_hub.server.clock import now
from retq_hub.server.faults import bad_request, forbidden, not_found
from retq_hub.server.naming import check_text
from retq_hub.server.repos import Repo

__all__ = [
    "CLOSED",
    "DRAFT",
    "MERGED",
    "OPEN",
    "Discussion",
    "Event",
    "add_event",
    "change_comment",
    "comment",
    "create",
    "events",
    "find",
    "listed",
    "rename",
    "set_status",
]

OPEN = "open"
CLOSED = "closed"
MERGED = "merged"
DRAFT = "draft"

_MAX_TITLE = 200
_MAX_COMMENT = 65_536


@dataclass(frozen=True, kw_only=True)
class Discussion:
    """A discussion, or a pull request.

    Attributes:
        num: Its number in the repository, from 1.
        title: Its title.
        status: `OPEN`, `CLOSED`, `MERGED` or `DRAFT`.
        author: Name of the user who opened it.
        created: When.
        pull: Whether it is a pull request.
        base: The commit of ``main`` that a pull request started from.
        merged: The commit that merged it.
    """

    num: int
    title: str
    status: str
    author: str
    created: str
    pull: bool
    base: str | None
    merged: str | None


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened in a discussion; ``data`` depends on ``type``."""

    id: int
    type: str
    author: str
    created: str
    data: dict[str, Any]

    def document(self) -> dict[str, Any]:
        """Give it as the protocol does."""
        author = {"name": self.author}
        data = dict(self.data)
        if self.type == "comment":
            latest = {
                "raw": data["raw"],
                "html": f"<p>{escape(data['raw'])}</p>",
                "updatedAt": data["updated"],
                "author": author,
            }
            shown = {"edited": data["edited"], "hidden": data["hidden"]}
            data = {**shown, "latest": latest, "history": [], "numEdits": int(data["edited"])}
        return {
            "id": f"{self.id:024x}",
            "type": self.type,
            "author": author,
            "createdAt": self.created,
            "data": data,
        }


_COLUMNS = "num, title, status, author, created, pull, base, merged"


def create(
    connection: sqlite3.Connection,
    repo: Repo,
    *,
    author: str,
    title: str,
    description: str,
    base: str | None = None,
    status: str = OPEN,
) -> int:
    """Open a discussion, or with a ``base`` a pull request.

    Returns:
        Its number.

    Raises:
        Fault: 400; the title or the description is too short or too long.
    """
    check_text(title, what="the title", limit=_MAX_TITLE, least=3)
    num = connection.execute(
        "SELECT coalesce(max(num), 0) + 1 FROM discussions WHERE repo=?", (repo.key,)
    ).fetchone()[0]
    connection.execute(
        f"INSERT INTO discussions (repo, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)",
        (repo.key, num, title, status, author, now(), base is not None, base),
    )
    if description:
        comment(connection, repo, num, author=author, text=description)
    return int(num)


def find(connection: sqlite3.Connection, repo: Repo, num: int) -> Discussion:
    """Give a discussion.

    Raises:
        Fault: 404.
    """
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM discussions WHERE repo=? AND num=?", (repo.key, num)
    ).fetchone()
    if row is None:
        raise not_found(f"{repo.id} has no discussion {num}")
    return _discussion(row)


def listed(
    connection: sqlite3.Connection, repo: Repo, *, filters: Mapping[str, Any], skip: int, limit: int
) -> tuple[list[Discussion], int]:
    """Give discussions, newest first, and how many there are in all.

    Args:
        connection: Any.
        repo: The repository.
        filters: ``pull``, ``author`` and ``closed``, as far as wanted.
        skip: So many are left out first.
        limit: So many are given at most.
    """
    where = "repo = :repo"
    for name, clause in (
        ("pull", "pull = :pull"),
        ("author", "author = :author"),
        ("closed", "(status IN ('closed', 'merged')) = :closed"),
    ):
        where += f" AND {clause}" if name in filters else ""
    values = {**filters, "repo": repo.key, "skip": skip, "limit": limit}
    total = connection.execute(
        f"SELECT count(*) FROM discussions WHERE {where}", values
    ).fetchone()[0]
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM discussions WHERE {where} "
        "ORDER BY num DESC LIMIT :limit OFFSET :skip",
        values,
    )
    return [_discussion(row) for row in rows], total


def events(connection: sqlite3.Connection, repo: Repo, num: int) -> list[Event]:
    """Give all that happened in a discussion, oldest first."""
    rows = connection.execute(
        "SELECT id, type, author, created, data FROM events WHERE repo=? AND num=? ORDER BY id",
        (repo.key, num),
    )
    return [_event(row) for row in rows]


def add_event(
    connection: sqlite3.Connection,
    repo: Repo,
    num: int,
    *,
    kind: str,
    author: str,
    data: dict[str, Any],
) -> Event:
    """Note that something happened."""
    created = now()
    cursor = connection.execute(
        "INSERT INTO events (repo, num, type, author, created, data) VALUES (?, ?, ?, ?, ?, ?)",
        (repo.key, num, kind, author, created, json.dumps(data)),
    )
    assert cursor.lastrowid is not None
    return Event(id=cursor.lastrowid, type=kind, author=author, created=created, data=data)


def comment(
    connection: sqlite3.Connection, repo: Repo, num: int, *, author: str, text: str
) -> Event:
    """Add a comment.

    Raises:
        Fault: 400; it is empty or too long.
    """
    check_text(text, what="the comment", limit=_MAX_COMMENT, least=1)
    data = {"raw": text, "edited": False, "hidden": False, "updated": now()}
    return add_event(connection, repo, num, kind="comment", author=author, data=data)


def change_comment(
    connection: sqlite3.Connection,
    repo: Repo,
    num: int,
    event_id: int,
    *,
    user: str,
    text: str | None,
) -> Event:
    """Change a comment; without a text, hide it for good.

    Raises:
        Fault: 404, no such comment; 403, another's (the owner may hide any); 400, a bad text.
    """
    row = connection.execute(
        "SELECT id, type, author, created, data FROM events WHERE id=? AND repo=? AND num=? "
        "AND type='comment'",
        (event_id, repo.key, num),
    ).fetchone()
    if row is None:
        raise not_found("there is no such comment")
    old = _event(row)
    if user != old.author and not (text is None and user == repo.id.namespace):
        raise forbidden("only its author may change a comment")
    if text is not None:
        check_text(text, what="the comment", limit=_MAX_COMMENT, least=1)
    data = {"raw": text or "This comment has been hidden", "hidden": text is None}
    data |= {"edited": text is not None, "updated": now()}
    connection.execute("UPDATE events SET data=? WHERE id=?", (json.dumps(data), event_id))
    return Event(id=old.id, type=old.type, author=old.author, created=old.created, data=data)


def set_status(
    connection: sqlite3.Connection,
    repo: Repo,
    found: Discussion,
    *,
    author: str,
    status: str,
    merged: str | None = None,
) -> Event:
    """Open, close or merge a discussion.

    Raises:
        Fault: 400; it was merged before, or has that status already.
    """
    if found.status in (MERGED, status):
        raise bad_request(f"discussion {found.num} is {found.status} already")
    connection.execute(
        "UPDATE discussions SET status=?, merged=? WHERE repo=? AND num=?",
        (status, merged, repo.key, found.num),
    )
    return add_event(
        connection, repo, found.num, kind="status-change", author=author, data={"status": status}
    )


def rename(
    connection: sqlite3.Connection, repo: Repo, found: Discussion, *, author: str, title: str
) -> Event:
    """Give a discussion another title.

    Raises:
        Fault: 400; it is too short or too long.
    """
    check_text(title, what="the title", limit=_MAX_TITLE, least=3)
    connection.execute(
        "UPDATE discussions SET title=? WHERE repo=? AND num=?", (title, repo.key, found.num)
    )
    data = {"from": found.title, "to": title}
    return add_event(connection, repo, found.num, kind="title-change", author=author, data=data)


def _discussion(row: tuple[int, str, str, str, str, int, str | None, str | None]) -> Discussion:
    num, title, status, author, created, pull, base, merged = row
    return Discussion(
        num=num,
        title=title,
        status=status,
        author=author,
        created=created,
        pull=bool(pull),
        base=base,
        merged=merged,
    )


def _event(row: tuple[int, str, str, str, str]) -> Event:
    event_id, kind, author, created, data = row
    return Event(id=event_id, type=kind, author=author, created=created, data=json.loads(data))
