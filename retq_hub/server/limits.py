"""Bounds on what a connection may send before anything of the hub has looked at it."""

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from retq_hub.server.faults import Fault

__all__ = ["Bounded", "BoundedProtocol"]

_MAX_HEAD = 32 * 1024


class Bounded:
    """Refuses requests with over-long addresses and headers.

    Args:
        app: What answers the others.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http" and _head_size(scope) > _MAX_HEAD:
            answer = Fault(431, f"the request's head is larger than {_MAX_HEAD // 1024} KiB")
            await answer.response()(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _head_size(scope: Scope) -> int:
    headers = sum(len(name) + len(value) for name, value in scope["headers"])
    return headers + len(scope["raw_path"]) + len(scope["query_string"])


class BoundedProtocol(HttpToolsProtocol):
    """Hangs up on a client whose request's head, or what follows the body, does not end.

    The first would be kept in memory as it comes, or hold a connection for ever.
    """

    HEAD_S = 20.0
    """So long may a head take to arrive."""

    _in_head = True
    _heard = 0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._head_is_here()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has come; count what is neither a whole head nor body."""
        if self._in_head and not self._heard:
            self._await_head()
        self._heard += len(data)
        super().data_received(data)
        if self._heard > _MAX_HEAD and not self.transport.is_closing():
            self.send_400_response("The request's head is too large.")

    def on_headers_complete(self) -> None:
        """Note that the body begins."""
        self._in_head = False
        self._head_is_here()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._heard = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that another head may follow."""
        self._in_head = True
        self._heard = 0
        super().on_message_complete()

    def _await_head(self) -> None:
        self._head_is_here()
        self._deadline = self.loop.call_later(self.HEAD_S, self._give_up)

    def _head_is_here(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
