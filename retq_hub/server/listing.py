"""The list of repositories: filters, order and pages, all by index."""

import base64
import binascii
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import msgspec

from retq_hub.server import commits, descriptions, trees
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


_MOST_LABELS = 100
_MOST_FILES = 20_000

_Key = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


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
        limit: Rows of a page; it is shorter where the repositories hold very many files.
        files: Whether the files are wanted too.
    """

    kind: str
    labels: tuple[str, ...] = ()
    author: str | None = None
    search: str | None = None
    gated: bool | None = None
    sort: str = "lastModified"
    cursor: str | None = None
    limit: int = 100
    files: bool = False


@dataclass(frozen=True, kw_only=True)
class Item:
    """A repository with what its document needs; without files if they are not wanted."""

    repo: Repo
    commit: Commit
    description: Description
    tree: Tree = field(default_factory=dict)


def page(
    connection: sqlite3.Connection, selection: Selection, user: User | None
) -> tuple[list[Item], str | None]:
    """Give a page of the repositories that the user may see, newest first.

    Returns:
        The page, and the cursor of the next one; None if it is the last.

    Raises:
        Fault: 400; an order that is not known, too many tags, or a cursor that is not ours.
    """
    order = _ORDERS.get(selection.sort)
    if order is None:
        raise bad_request(f"cannot sort by {selection.sort[:50]!r}: {', '.join(_ORDERS)} are known")
    if len(selection.labels) > _MOST_LABELS:
        raise bad_request(f"at most {_MOST_LABELS} tags can be filtered by at once")
    where, values = _where(selection, order, user)
    columns = [f"r.{name.strip()}" for name in COLUMNS.split(",")]
    columns += [f"c.{name.strip()}" for name in commits.COLUMNS.split(",")]
    rows = connection.execute(
        f"SELECT {', '.join(columns)}, c.described FROM repos AS r "
        "JOIN commits AS c ON c.repo = r.id AND c.oid = r.head "
        f"WHERE {where} ORDER BY r.{order} DESC, r.id DESC LIMIT ?",
        [*values, selection.limit + 1],
    ).fetchall()
    items = list(_items(connection, rows[: selection.limit], files=selection.files))
    if len(items) == len(rows):
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
        return msgspec.json.decode(plain, type=tuple[str, _Key])
    except (binascii.Error, UnicodeError, msgspec.DecodeError) as error:
        raise bad_request("the cursor is not one of this hub") from error


def _items(
    connection: sqlite3.Connection, rows: list[tuple[Any, ...]], *, files: bool
) -> Iterator[Item]:
    left = _MOST_FILES
    for row in rows:
        item = _item(row)
        if files:
            item = replace(item, tree=trees.load(connection, item.commit.tree))
        yield item
        left -= len(item.tree)
        if left <= 0:
            return


def _item(row: tuple[Any, ...]) -> Item:
    return Item(
        repo=row_repo(row[:9]),
        commit=commits.row_commit(row[9:-1]),
        description=descriptions.decode(row[-1]),
    )
