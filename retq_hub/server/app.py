"""The hub as an ASGI application: the protocol's routes first, then what is mounted beside them."""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Router
from starlette.types import Receive, Scope, Send

from retq_hub.server.calls import Json
from retq_hub.server.endpoints import Endpoint, Threads
from retq_hub.server.faults import Fault
from retq_hub.server.routes import (
    files,
    gates,
    large,
    publishing,
    repositories,
    revisions,
    talk,
    users,
)
from retq_hub.server.services import Services, open_services

__all__ = ["Pages", "create_app"]

Pages = Callable[[Services], Sequence[BaseRoute]]
"""Makes further routes, such as a gallery's, from the hub's parts."""

_OURS = re.compile(
    rb"/api/|/lfs/|(/[^/]+){1,3}/resolve/|(/[^/]+){2,3}\.git/|(/[^/]+){2,3}/ask-access$"
)


class _Protocol(BaseRoute):
    """Takes the protocol's requests, and matches their paths as they were sent.

    A branch may have a slash in its name, which clients send as ``%2F``; in a decoded path it could
    not be told from the slash after it.
    """

    def __init__(self, router: Router) -> None:
        self._router = router

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Say whether a request is one of the protocol."""
        if scope["type"] != "http" or not _OURS.match(scope["raw_path"]):
            return Match.NONE, {}
        return Match.FULL, {"path": scope["raw_path"].decode("ascii", "backslashreplace")}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on."""
        await self._router(scope, receive, send)


async def _unknown(scope: Scope, receive: Receive, send: Send) -> None:
    answer = Fault(404, "this hub does not speak that part of the protocol").response()
    await answer(scope, receive, send)


def create_app(
    data: Path, *, refuse_invalid: bool = False, pages: Sequence[Pages] = ()
) -> Starlette:
    """Put a hub together.

    Args:
        data: Its folder; no other process may serve it.
        refuse_invalid: Refuse commits whose artifact is not intact.
        pages: What is served beside the protocol, which takes precedence.

    Raises:
        StorageError: The folder cannot be used.
    """
    services = open_services(data, refuse_invalid=refuse_invalid)
    endpoint = Endpoint(services=services, threads=Threads())
    groups = (repositories, files, revisions, publishing, large, talk, gates, users)
    router = Router(
        [route for group in groups for route in group.routes(endpoint)],
        redirect_slashes=False,
        default=_unknown,
    )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        services.database.close()

    return Starlette(
        routes=[_Protocol(router), *(route for make in pages for route in make(services))],
        exception_handlers={HTTPException: _refused, Exception: _crashed},
        lifespan=lifespan,
    )


async def _refused(request: Request, error: Any) -> Response:  # noqa: ANN401 - HTTPException
    return Fault(error.status_code, str(error.detail), headers=dict(error.headers or {})).response()


async def _crashed(request: Request, error: Exception) -> Response:
    return Json({"error": "the hub failed on this request; its log says more"}, status_code=500)
