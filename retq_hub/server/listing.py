"""The list of repositories: filters, order and pages, all by index."""

import base64
import binascii
import sqlite3
from dataclasses import dataclass
from typing import Any

import msgspec

from retq_hub.server import descriptions, trees
from retq_hub.server.accounts import User
from retq_hub.server.commits import Commit
from retq_hub.server.descriptions import Description
from retq_hub.server.faults import bad_request
from retq_hub.server.repos import COLUMNS, Repo, row_repo
from retq_hub.server.trees import Tree

__all__ = ["Item", "Selection", "page"]

_ORDERS = {
    "lastModified": "modified",
    "createdAt": "created",
    "downloads": "modified",
    "likes": "modified",
    "trendingScore": "modified",
}


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which repositories are wanted.

    Attributes:
        kind: ``models`` or ``datasets``.
        labels: Tags that it must have, all of them.
        author: Its namespace.
        search: A part of ``namespace/name``.
        gated: Whether it is gated.
        sort: One of the protocol's orders; without downloads and likes here, those go by date.
        cursor: Where the page before ended.
        limit: Rows of a page.
    """

    kind: str
    labels: tuple[str, ...] = ()
    author: str | None = None
    search: str | None = None
    gated: bool | None = None
    sort: str = "lastModified"
    cursor: str | None = None
    limit: int = 100


@dataclass(frozen=True, kw_only=True)
class Item:
    """A repository with what its document needs."""

    repo: Repo
    commit: Commit
    description: Description
    tree: Tree


def page(
    connection: sqlite3.Connection, selection: Selection, user: User | None
) -> tuple[list[Item], str | None]:
    """Give a page of the repositories that the user may see, newest first.

    Returns:
        The page, and the cursor of the next one; None if it is the last.

    Raises:
        Fault: 400; an order that is not known, or a cursor that is not ours.
    """
    order = _ORDERS.get(selection.sort)
    if order is None:
        raise bad_request(f"cannot sort by {selection.sort[:50]!r}: {', '.join(_ORDERS)} are known")
    where, values = _where(selection, order, user)
    columns = ", ".join(f"r.{name.strip()}" for name in COLUMNS.split(","))
    rows = connection.execute(
        f"SELECT {columns}, c.oid, c.parent, c.tree, c.author, c.title, c.message, c.created, "
        "c.described, t.entries FROM repos AS r "
        "JOIN commits AS c ON c.repo = r.id AND c.oid = r.head JOIN trees AS t ON t.oid = c.tree "
        f"WHERE {where} ORDER BY r.{order} DESC, r.id DESC LIMIT ?",
        [*values, selection.limit + 1],
    ).fetchall()
    items = [_item(row) for row in rows[: selection.limit]]
    if len(rows) <= selection.limit:
        return items, None
    last = items[-1].repo
    return items, _cursor(getattr(last, order), last.key)


def _where(selection: Selection, order: str, user: User | None) -> tuple[str, list[Any]]:
    clauses = ["r.kind = ?", "(r.private = 0 OR r.namespace = ?)"]
    values: list[Any] = [selection.kind, user.name if user else ""]
    for label in selection.labels:
        clauses.append("r.id IN (SELECT repo FROM labels WHERE tag = ?)")
        values.append(label)
    if selection.author is not None:
        clauses.append("r.namespace = ?")
        values.append(selection.author)
    if selection.search:
        clauses.append("instr(lower(r.namespace || '/' || r.name), ?)")
        values.append(selection.search.lower())
    if selection.gated is not None:
        clauses.append("(r.gated != '') = ?")
        values.append(selection.gated)
    if selection.cursor is not None:
        clauses.append(f"(r.{order}, r.id) < (?, ?)")
        values += _position(selection.cursor)
    return " AND ".join(clauses), values


def _cursor(stamp: str, key: int) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode((stamp, key))).decode()


def _position(cursor: str) -> tuple[str, int]:
    try:
        plain = base64.urlsafe_b64decode(cursor.encode())
        return msgspec.json.decode(plain, type=tuple[str, int])
    except (binascii.Error, UnicodeError, msgspec.DecodeError) as error:
        raise bad_request("the cursor is not one of this hub") from error


def _item(row: tuple[Any, ...]) -> Item:
    oid, parent, tree, author, title, message, created, described, entries = row[9:]
    commit = Commit(
        oid=oid,
        parent=parent,
        tree=tree,
        author=author,
        title=title,
        message=message,
        created=created,
    )
    return Item(
        repo=row_repo(row[:9]),
        commit=commit,
        description=descriptions.decode(described),
        tree=trees.decode(entries),
    )
