"""Users and their tokens; of a token only its SHA-256 is kept."""

import hmac
import secrets
import sqlite3
from dataclasses import dataclass

from retq_hub.digest import bytes_digest
from retq_hub.errors import NotFoundError, UsageError
from retq_hub.server.clock import now
from retq_hub.server.faults import Fault, invalid_token
from retq_hub.server.naming import check_user_name

__all__ = ["User", "add", "authenticate", "find", "name_of", "names", "remove"]

_MAX_TOKEN = 512


@dataclass(frozen=True, kw_only=True)
class User:
    """Somebody with a token; also the namespace of that name."""

    id: int
    name: str
    created: str


def add(connection: sqlite3.Connection, name: str) -> str:
    """Make a user.

    Args:
        connection: One that writes.
        name: The user's name, also the namespace of the user's repositories.

    Returns:
        The token; nothing else will ever show it.

    Raises:
        UsageError: The name is taken or cannot be one.
    """
    try:
        check_user_name(name)
        connection.execute("INSERT INTO users (name, created) VALUES (?, ?)", (name, now()))
    except Fault as fault:
        raise UsageError(fault.message, hint="choose another name") from fault
    except sqlite3.IntegrityError as error:
        raise UsageError(f"there is a user {name} already", hint="choose another name") from error
    token = "hf_" + secrets.token_urlsafe(32)
    connection.execute(
        "INSERT INTO tokens (digest, user) SELECT ?, id FROM users WHERE name=?",
        (_digest(token), name),
    )
    return token


def remove(connection: sqlite3.Connection, name: str) -> None:
    """Remove a user and the token; the user's repositories stay.

    Raises:
        NotFoundError: There is no such user.
    """
    if not connection.execute("DELETE FROM users WHERE name=?", (name,)).rowcount:
        raise NotFoundError(f"there is no user {name}", hint="see `retq serve user list`")


def names(connection: sqlite3.Connection) -> list[str]:
    """Give the names of all users, sorted."""
    return [row[0] for row in connection.execute("SELECT name FROM users ORDER BY name")]


def find(connection: sqlite3.Connection, name: str) -> User | None:
    """Give the user of that name, if there is one."""
    row = connection.execute("SELECT id, name, created FROM users WHERE name=?", (name,)).fetchone()
    return row and User(id=row[0], name=row[1], created=row[2])


def name_of(connection: sqlite3.Connection, user_id: str) -> str | None:
    """Give the name of the user whose id is that hexadecimal number, if there is one."""
    if not 0 < len(user_id) <= 24 or set(user_id.lower()) - set("0123456789abcdef"):
        return None
    row = connection.execute(
        "SELECT name FROM users WHERE id=?", (int(user_id, 16) % 2**63,)
    ).fetchone()
    return row and str(row[0])


def authenticate(connection: sqlite3.Connection, authorization: str) -> User:
    """Give the user whose token a request carries.

    Args:
        connection: Any.
        authorization: The request's ``Authorization`` header.

    Raises:
        Fault: 401; nobody has that token.
    """
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not 0 < len(token) <= _MAX_TOKEN:
        raise invalid_token()
    digest = _digest(token)
    row = connection.execute(
        "SELECT digest, id, name, created FROM tokens JOIN users ON id = user WHERE digest=?",
        (digest,),
    ).fetchone()
    if row is None or not hmac.compare_digest(row[0], digest):
        raise invalid_token()
    return User(id=row[1], name=row[2], created=row[3])


def _digest(token: str) -> str:
    return bytes_digest(token.encode("utf-8", errors="replace"))
