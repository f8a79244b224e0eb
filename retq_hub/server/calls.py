"""A request as handlers see it, and the JSON that they answer with."""

import re
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any, TypeVar
from urllib.parse import unquote

import msgspec
from starlette.datastructures import Headers, QueryParams
from starlette.requests import Request
from starlette.responses import Response

from retq_hub.server import repos
from retq_hub.server.accounts import User
from retq_hub.server.faults import bad_request, repo_not_found
from retq_hub.server.naming import KINDS, RepoId
from retq_hub.server.repos import Repo
from retq_hub.server.services import Services

__all__ = ["Call", "Handler", "Json", "call_of"]

_DIGITS = 9
_HOST = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")

T = TypeVar("T")


class Json(Response):
    """A JSON document."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:  # noqa: ANN401 - any JSON value
        """Give the bytes of the document."""
        return msgspec.json.encode(content)


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request as handlers see it; they run in a thread and may block.

    Attributes:
        services: The hub.
        params: What the route's path names, decoded.
        query: The query.
        headers: The headers.
        base: The hub's address as the client knows it.
        path: The path as it was sent.
        user: Whose token the request carries; None: it carries none.
        body: The body; empty where the handler takes it from ``stream``.
        stream: The body where it may be large, else None.
    """

    services: Services
    params: Mapping[str, str]
    query: QueryParams
    headers: Headers
    base: str
    path: str
    user: User | None
    body: bytes = b""
    stream: IO[bytes] | None = None

    @property
    def repo_id(self) -> RepoId:
        """The repository that the path names.

        Raises:
            Fault: RepoNotFound; a kind of repository that this hub has not.
        """
        kind = self.params.get("kind", "models")
        if kind not in KINDS:
            raise repo_not_found(known_user=self.user is not None)
        return RepoId(
            kind=kind, namespace=self.params.get("namespace", ""), name=self.params["name"]
        )

    def repo(self, connection: sqlite3.Connection) -> Repo:
        """Find the repository that the path names.

        Raises:
            Fault: RepoNotFound; it is not there, or the user may not see it.
        """
        return repos.find(connection, self.repo_id, self.user)

    def flag(self, name: str) -> bool:
        """Whether the query says yes to something."""
        return self.query.get(name, "").lower() in ("1", "true")

    def number(self, name: str, default: int) -> int:
        """Give a number of the query.

        Raises:
            Fault: 400; it is none, or beyond all reason.
        """
        value = self.query.get(name, str(default))
        if not value.isdecimal() or not value.isascii() or len(value) > _DIGITS:
            raise bad_request(f"{name} must be a number, it is {value[:50]!r}")
        return int(value)

    def json(self, kind: type[T]) -> T:
        """Read the body as a JSON document of a given form.

        Raises:
            Fault: 400; it has another form.
        """
        try:
            return msgspec.json.decode(self.body or b"{}", type=kind)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise bad_request(f"the request's document: {error}") from error


Handler = Callable[[Call], Response]


def call_of(request: Request, services: Services, user: User | None) -> Call:
    """Make a call of a request; its body is still to come.

    Raises:
        Fault: 400; the address is no text, or the host cannot be one.
    """
    return Call(
        services=services,
        params={name: _decoded(value) for name, value in request.path_params.items()},
        query=request.query_params,
        headers=request.headers,
        base=_base(request),
        path=request.scope["path"],
        user=user,
    )


def _base(request: Request) -> str:
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        raise bad_request("the request names no host that can be one")
    return f"{request.scope['scheme']}://{host}"


def _decoded(value: str) -> str:
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError as error:
        raise bad_request("the address is not UTF-8") from error
