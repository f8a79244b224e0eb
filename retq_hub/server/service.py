"""The process that serves a hub: its socket, its lock, its limits, its log."""

import logging
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import uvicorn
from filelock import FileLock, Timeout
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from retq_hub.errors import StorageError, UsageError
from retq_hub.server.app import Pages, create_app
from retq_hub.server.faults import Fault

__all__ = ["serve"]

_MAX_HEAD = 32 * 1024
_BACKLOG = 1024
_STOP_S = 10


def serve(
    data: Path,
    *,
    host: str,
    port: int,
    refuse_invalid: bool,
    ready: Callable[[str], None],
    pages: Sequence[Pages] = (),
) -> None:
    """Serve a hub until the process is told to stop.

    Args:
        data: The hub's folder.
        host: Address to listen at.
        port: Port to listen at; 0: any free one.
        refuse_invalid: Refuse commits whose artifact is not intact.
        ready: Is told the hub's address once it answers.
        pages: What is served beside the protocol.

    Raises:
        StorageError: The folder cannot be used, or another process serves it.
        UsageError: The address cannot be listened at.
    """
    listener = _listen(host, port)
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(data / "lock")
        lock.acquire(timeout=0)
    except Timeout as error:
        raise StorageError(
            f"{data} is served by another process", hint="stop that one, or name another folder"
        ) from error
    except OSError as error:
        raise StorageError(
            f"{data} cannot be used: {error.strerror}", hint="name another folder with --data"
        ) from error
    with lock:
        app = create_app(data, refuse_invalid=refuse_invalid, pages=pages)
        _log_to_stderr()
        config = uvicorn.Config(
            _Bounded(app),
            http=_Protocol,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_STOP_S,
        )
        name = f"[{host}]" if ":" in host else host
        address = f"http://{name}:{listener.getsockname()[1]}"
        _Server(config, ready=lambda: ready(address)).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns off Nagle's algorithm only on sockets that say they are TCP's; with it, every
    # answer takes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"cannot listen at {host}:{port}: {error.strerror}",
            hint="choose another --port or --host",
        ) from error
    return listener


def _log_to_stderr() -> None:
    """Log one line a request; addresses are logged without their query, headers never."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    for name, level in (("retq_hub.server", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.addHandler(handler)
        logger.propagate = False


class _Server(uvicorn.Server):
    """Says when it is ready."""

    def __init__(self, config: uvicorn.Config, *, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


class _Bounded:
    """Refuses requests with over-long addresses and headers."""

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


class _Protocol(HttpToolsProtocol):
    """Hangs up on a client whose request's head does not end; it would be kept in memory."""

    _in_head = True
    _heard = 0

    def data_received(self, data: bytes) -> None:
        self._heard += len(data)
        super().data_received(data)
        if self._in_head and self._heard > _MAX_HEAD and not self.transport.is_closing():
            self.send_400_response("The request's head is too large.")

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        self._heard = 0
        super().on_message_complete()
