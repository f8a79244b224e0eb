"""From a request to a handler and back: body, user, threads; one line in the log."""

import logging
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from retq_hub.errors import is_storage
from retq_hub.server import accounts
from retq_hub.server.calls import Call, Handler, call_of
from retq_hub.server.faults import Fault, too_large
from retq_hub.server.services import Services

__all__ = ["Endpoint", "Threads", "receive"]

_log = logging.getLogger("retq_hub.server")

_BODY_LIMIT = 2 * 2**20
_PIECE = 2**20
_IN_MEMORY = 4 * 2**20
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR)

T = TypeVar("T")

Answer = Callable[[Request], Awaitable[Response]]


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

    def read(self, handler: Handler) -> Answer:
        """Answer with a handler that changes nothing."""
        return partial(self._logged, partial(self._simple, handler, False))

    def write(self, handler: Handler) -> Answer:
        """Answer with a handler that may change something."""
        return partial(self._logged, partial(self._simple, handler, True))

    def guarded(
        self, guard: Callable[[Call], None], handler: Handler, *, limit: int, what: str
    ) -> Answer:
        """Answer with a handler of large bodies, taken only after ``guard`` has let it pass."""
        return partial(self._logged, partial(self._spooled, guard, handler, limit, what))

    def streaming(self, handler: Callable[[Request, Call], Awaitable[Response]]) -> Answer:
        """Answer with a coroutine that takes the body itself; nobody is logged in."""

        async def answer(request: Request) -> Response:
            return await handler(request, call_of(request, self.services, None))

        return partial(self._logged, answer)

    async def _logged(self, answer: Answer, request: Request) -> Response:
        start = time.perf_counter()
        request.state.who = "-"
        try:
            response = await answer(request)
        except Fault as fault:
            response = fault.response()
        except ClientDisconnect:
            response = Response(status_code=400)
        except (OSError, sqlite3.OperationalError) as error:
            response = _storage_fault(error).response()
        _log.info(
            "%s %s %s %d %.0f ms",
            request.state.who,
            request.method,
            request.scope["path"][:300],
            response.status_code,
            1000 * (time.perf_counter() - start),
        )
        return response

    async def _simple(self, handler: Handler, writes: bool, request: Request) -> Response:
        body = bytearray()
        if request.method not in ("GET", "HEAD"):
            await receive(request, body.extend, self.threads, limit=_BODY_LIMIT, what="the request")

        def work() -> Response:
            return handler(replace(self._call(request), body=bytes(body)))

        return await self.threads.run(work, writes=writes)

    async def _spooled(
        self,
        guard: Callable[[Call], None],
        handler: Handler,
        limit: int,
        what: str,
        request: Request,
    ) -> Response:
        def admit() -> Call:
            call = self._call(request)
            guard(call)
            return call

        call = await self.threads.run(admit, writes=False)
        scratch = str(self.services.blobs.scratch)
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY, dir=scratch) as stream:
            await receive(request, stream.write, self.threads, limit=limit, what=what)
            stream.seek(0)
            work = partial(handler, replace(call, stream=stream))
            return await self.threads.run(work, writes=True)

    def _call(self, request: Request) -> Call:
        """Make a call of a request, and say in the log whose it is."""
        user = None
        if authorization := request.headers.get("authorization"):
            with self.services.database.reading() as connection:
                user = accounts.authenticate(connection, authorization)
                request.state.who = user.name
        return call_of(request, self.services, user)


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
