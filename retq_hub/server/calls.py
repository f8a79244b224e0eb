"""From a request to a handler and back: body, user, threads, answers; one line in the log."""

import logging
import re
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import IO, Any, TypeVar
from urllib.parse import unquote

import msgspec
from anyio import CapacityLimiter, to_thread
from starlette.datastructures import Headers, QueryParams
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from retq_hub.errors import is_storage
from retq_hub.server import accounts, repos
from retq_hub.server.accounts import User
from retq_hub.server.faults import Fault, bad_request, repo_not_found, too_large
from retq_hub.server.naming import KINDS, RepoId
from retq_hub.server.repos import Repo
from retq_hub.server.services import Services

__all__ = ["Call", "Endpoint", "Handler", "Json", "Threads", "receive", "spooled"]

_log = logging.getLogger("retq_hub.server")

_BODY_LIMIT = 2 * 2**20
_PIECE = 2**20
_DIGITS = 9
_IN_MEMORY = 4 * 2**20
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR)
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


class Threads:
    """Runs what blocks: reads in one group of threads, writes in another.

    Writes wait for one another; with threads of their own they keep no reader waiting.
    """

    def __init__(self, *, readers: int = 16, writers: int = 8) -> None:
        self._limits = {False: CapacityLimiter(readers), True: CapacityLimiter(writers)}

    async def run(self, work: Callable[[], T], *, writes: bool) -> T:
        """Run something in a thread and give what it gives."""
        return await to_thread.run_sync(work, limiter=self._limits[writes])


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Makes route endpoints of handlers.

    Attributes:
        services: The hub.
        threads: Where handlers run.
    """

    services: Services
    threads: Threads

    def read(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """Answer with a handler that changes nothing."""
        return partial(self._logged, partial(self._simple, handler, False))

    def write(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """Answer with a handler that may change something."""
        return partial(self._logged, partial(self._simple, handler, True))

    def guarded(
        self, guard: Callable[[Call], None], handler: Handler, *, limit: int, what: str
    ) -> Callable[[Request], Awaitable[Response]]:
        """Answer with a handler of large bodies, taken only after ``guard`` has let it pass."""
        return partial(self._logged, partial(self._spooled, guard, handler, limit, what))

    def streaming(
        self, handler: Callable[[Request, Call], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """Answer with a coroutine that takes the body itself."""

        async def answer(request: Request) -> tuple[Response, User | None]:
            call = self._call(request, None)
            return await handler(request, call), None

        return partial(self._logged, answer)

    async def _logged(
        self, answer: Callable[[Request], Awaitable[tuple[Response, User | None]]], request: Request
    ) -> Response:
        start = time.perf_counter()
        who = None
        try:
            response, who = await answer(request)
        except Fault as fault:
            response = fault.response()
        except ClientDisconnect:
            response = Response(status_code=400)
        except (OSError, sqlite3.OperationalError) as error:
            response = _storage_fault(error).response()
        took = 1000 * (time.perf_counter() - start)
        path = request.scope["path"].encode("ascii", "backslashreplace").decode()[:300]
        _log.info(
            "%s %s %s %d %.0f ms",
            who.name if who else "-",
            request.method,
            path,
            response.status_code,
            took,
        )
        return response

    async def _simple(
        self, handler: Handler, writes: bool, request: Request
    ) -> tuple[Response, User | None]:
        body = bytearray()
        if request.method not in ("GET", "HEAD"):
            await receive(request, body.extend, self.threads, limit=_BODY_LIMIT, what="the request")

        def work() -> tuple[Response, User | None]:
            call = replace(self._call(request, self._user(request)), body=bytes(body))
            return handler(call), call.user

        return await self.threads.run(work, writes=writes)

    async def _spooled(
        self,
        guard: Callable[[Call], None],
        handler: Handler,
        limit: int,
        what: str,
        request: Request,
    ) -> tuple[Response, User | None]:
        def admit() -> Call:
            call = self._call(request, self._user(request))
            guard(call)
            return call

        call = await self.threads.run(admit, writes=False)
        with spooled(self.services) as stream:
            await receive(request, stream.write, self.threads, limit=limit, what=what)
            stream.seek(0)
            work = partial(handler, replace(call, stream=stream))
            return await self.threads.run(work, writes=True), call.user

    def _user(self, request: Request) -> User | None:
        authorization = request.headers.get("authorization")
        if authorization is None:
            return None
        with self.services.database.reading() as connection:
            return accounts.authenticate(connection, authorization)

    def _call(self, request: Request, user: User | None) -> Call:
        return Call(
            services=self.services,
            params={name: _decoded(value) for name, value in request.path_params.items()},
            query=request.query_params,
            headers=request.headers,
            base=_base(request),
            path=request.scope["path"],
            user=user,
        )


def _storage_fault(error: OSError | sqlite3.OperationalError) -> Fault:
    """Say that the disk does not take more; other errors go on.

    Raises:
        OSError: Something else.
        sqlite3.OperationalError: Something else.
    """
    full = (
        is_storage(error) if isinstance(error, OSError) else error.sqlite_errorcode & 0xFF in _FULL
    )
    if not full:
        raise error
    _log.error("cannot write: %s", error)
    return Fault(507, "this hub cannot write: its disk is full or not writable")


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


def spooled(services: Services) -> "tempfile.SpooledTemporaryFile[bytes]":
    """Give a temporary file that is in memory as long as it is small."""
    return tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY, dir=str(services.blobs.scratch))


async def receive(
    request: Request,
    take: Callable[[bytes], object],
    threads: Threads,
    *,
    limit: int,
    what: str,
) -> None:
    """Take a request's body in pieces; large ones are taken in a thread.

    Raises:
        Fault: 413; it is larger than the limit.
    """
    announced = request.headers.get("content-length", "0")
    fault = too_large(what, _size(limit))
    if len(announced) > 15 or int(announced) > limit:
        raise fault
    total, waiting = 0, bytearray()
    async for piece in request.stream():
        total += len(piece)
        if total > limit:
            raise fault
        waiting += piece
        if len(waiting) >= _PIECE:
            await threads.run(partial(take, bytes(waiting)), writes=True)
            waiting.clear()
    take(bytes(waiting))


def _size(limit: int) -> str:
    return f"{limit // 2**30} GiB" if limit >= 2**30 else f"{limit // 2**20} MiB"
