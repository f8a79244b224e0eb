"""Who is let into a gated repository: requests, and the owner's answers to them."""

import sqlite3
from dataclasses import dataclass

from retq_hub.server.accounts import User
from retq_hub.server.clock import now
from retq_hub.server.faults import bad_request, not_found
from retq_hub.server.repos import Repo

__all__ = [
    "ACCEPTED",
    "PENDING",
    "REJECTED",
    "Request",
    "answer",
    "ask",
    "cancel",
    "grant",
    "listed",
]

PENDING = "pending"
ACCEPTED = "accepted"
REJECTED = "rejected"


@dataclass(frozen=True, kw_only=True)
class Request:
    """A user's request to be let in."""

    user_id: int
    user: str
    status: str
    created: str


def ask(connection: sqlite3.Connection, repo: Repo, user: User) -> str:
    """Ask to be let in; an earlier answer stands.

    Returns:
        The status: accepted at once where the gate is ``auto``.

    Raises:
        Fault: 400; the repository is not gated.
    """
    _check_gated(repo)
    status = ACCEPTED if repo.gated == "auto" else PENDING
    connection.execute(
        "INSERT OR IGNORE INTO requests VALUES (?, ?, ?, ?)", (repo.key, user.id, status, now())
    )
    row = connection.execute(
        "SELECT status FROM requests WHERE repo=? AND user=?", (repo.key, user.id)
    ).fetchone()
    return str(row[0])


def cancel(connection: sqlite3.Connection, repo: Repo, user: User) -> None:
    """Take one's own request back, and with it the access.

    Raises:
        Fault: 404; there is none.
    """
    removed = connection.execute(
        "DELETE FROM requests WHERE repo=? AND user=?", (repo.key, user.id)
    )
    if not removed.rowcount:
        raise not_found("there is no access request of yours")


def grant(connection: sqlite3.Connection, repo: Repo, user: User) -> None:
    """Let a user in who did not ask.

    Raises:
        Fault: 400; the repository is not gated, or the user is in already.
    """
    _check_gated(repo)
    row = connection.execute(
        "SELECT status FROM requests WHERE repo=? AND user=?", (repo.key, user.id)
    ).fetchone()
    if row and row[0] == ACCEPTED:
        raise bad_request(f"{user.name} has access already")
    connection.execute(
        "INSERT INTO requests VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET status=excluded.status",
        (repo.key, user.id, ACCEPTED, now()),
    )


def answer(connection: sqlite3.Connection, repo: Repo, user: User, status: str) -> None:
    """Accept or reject a request, or put it back to pending.

    Raises:
        Fault: 400, not gated or no such status; 404, no such request, or it has that status.
    """
    _check_gated(repo)
    if status not in (PENDING, ACCEPTED, REJECTED):
        raise bad_request(f"{status[:50]!r} is no status: pending, accepted and rejected are")
    changed = connection.execute(
        "UPDATE requests SET status=? WHERE repo=? AND user=? AND status != ?",
        (status, repo.key, user.id, status),
    )
    if not changed.rowcount:
        raise not_found(f"there is no request of {user.name} to be {status}")


def listed(connection: sqlite3.Connection, repo: Repo, status: str) -> list[Request]:
    """Give the requests of that status, oldest first.

    Raises:
        Fault: 400; the repository is not gated.
    """
    _check_gated(repo)
    rows = connection.execute(
        "SELECT users.id, users.name, status, requests.created FROM requests "
        "JOIN users ON users.id = requests.user WHERE repo=? AND status=? "
        "ORDER BY requests.created, users.id",
        (repo.key, status),
    )
    return [
        Request(user_id=user_id, user=name, status=found, created=created)
        for user_id, name, found, created in rows
    ]


def _check_gated(repo: Repo) -> None:
    if not repo.gated:
        raise bad_request(f"{repo.id} is not gated")
