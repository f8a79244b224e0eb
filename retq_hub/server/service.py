"""The process that serves a hub: its socket, its lock, its log."""

import logging
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import uvicorn
from filelock import FileLock, Timeout

from retq_hub.errors import StorageError, UsageError
from retq_hub.server.app import Pages, create_app
from retq_hub.server.limits import Bounded, BoundedProtocol

__all__ = ["serve"]

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
    with _listen(host, port) as listener, _lock(data):
        app = create_app(data, refuse_invalid=refuse_invalid, pages=pages)
        _log_to_stderr()
        config = uvicorn.Config(
            Bounded(app),
            http=BoundedProtocol,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_STOP_S,
        )
        name = f"[{host}]" if ":" in host else host
        address = f"http://{name}:{listener.getsockname()[1]}"
        _Server(config, ready=lambda: ready(address)).run(sockets=[listener])


def _lock(data: Path) -> AbstractContextManager[object]:
    """Take a hub's folder for this process, until the block ends."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        return FileLock(data / "lock").acquire(timeout=0)
    except Timeout as error:
        raise StorageError(
            f"{data} is served by another process", hint="stop that one, or name another folder"
        ) from error
    except OSError as error:
        raise StorageError(
            f"{data} cannot be used: {error.strerror}", hint="name another folder with --data"
        ) from error


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
