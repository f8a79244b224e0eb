"""The client's session in our calls: no request waits for ever, and waiting is not its business.

The session stays the client's, with whatever settings the user gave it. What is added to it acts in
a `watched` block alone: there requests and their answers have a deadline, and what may go better
next time ends the client's own tries, which know none.
"""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from huggingface_hub import get_session
from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # the one it uses

from retq_hub.text import printable

__all__ = ["REFUSALS", "STUMBLES", "Busy", "Watch", "watched"]

STUMBLES = (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError)
"""What may go better next time."""

REFUSALS = (httpx.HTTPError, OSError, ValueError, KeyError, TypeError)
"""How the client says that it did not get what it asked for, or cannot make anything of it."""

_BUSY = frozenset({408, 429, 500, 502, 503, 504})
_CONNECT_S, _READ_S, _WRITE_S = 5.0, 10.0, 60.0
_LEAST_BYTES_S = 1000
"""An answer that comes more slowly, after the deadline, is given up."""

_NAME = re.compile(r"(?!\.)[\w.:+=-]+", re.ASCII)
_LOCK = Lock()


class Busy(Exception):
    """The Hub did not answer, or that it cannot answer now; ends the client's own waiting.

    Attributes:
        answer: What was said or seen.
        wait_s: For how long the Hub asks to wait.
    """

    def __init__(self, answer: str, wait_s: float | None = None) -> None:
        super().__init__(answer)
        self.answer = answer
        self.wait_s = wait_s


@dataclass
class Watch:
    """What is known of one try.

    Attributes:
        until: No request begins later, on the monotonic clock.
        most_bytes: No answer may be larger; None: any may.
        heads: What the client has asked for already.
        is_refused: Whether no connection could be made.
    """

    until: float
    most_bytes: int | None
    heads: set[str] = field(default_factory=set)
    is_refused: bool = False


_WATCH: ContextVar[Watch | None] = ContextVar("retq_hub_watch", default=None)
_under_way: set[int] = set()
"""Watches of all threads; a thread that the client starts for one of them knows of none."""


@contextmanager
def watched(watch: Watch) -> Iterator[None]:
    """Put a deadline on all requests that this thread sends in the block."""
    _prepare(get_session())
    mark = _WATCH.set(watch)
    _under_way.add(id(watch))
    try:
        yield
    finally:
        _under_way.discard(id(watch))
        _WATCH.reset(mark)


def _prepare(session: Any) -> None:  # noqa: ANN401 - the client's own httpx
    """Add to a session what acts in a watched block; the client may have made it anew."""
    with _LOCK:
        hooks = session.event_hooks
        if _on_request in hooks["request"]:
            return
        session.event_hooks = {
            "request": [*hooks["request"], _on_request],
            "response": [*hooks["response"], _on_response],
        }
        session.send = _sending(session.send)


def _sending(send: Any) -> Any:  # noqa: ANN401 - a method of the client's own httpx
    """End the client's tries where a connection fails: with them it would drop the session, too.

    Only the first question for a file's head goes on: there the client's cache may serve.
    """

    def sent(request: Any, **options: Any) -> Any:  # noqa: ANN401
        watch = _WATCH.get()
        try:
            return send(request, **options)
        except STUMBLES as error:
            if watch is None:
                raise
            watch.is_refused |= isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            if request.method == "HEAD":
                raise
            raise Busy(str(error) or type(error).__name__) from error

    return sent


def _on_request(request: Any) -> None:  # noqa: ANN401 - the client's own httpx
    """Let no request begin after the deadline, and none wait for ever.

    A client that asks for the same file's head again is waiting for a Hub that does not answer.
    """
    watch = _WATCH.get()
    if watch is None:
        if _under_way:
            _limit(request, _WRITE_S)
        return
    if time.monotonic() > watch.until:
        raise Busy("it took too long")
    if request.method == "HEAD":
        if str(request.url) in watch.heads:
            raise Busy("it cannot be reached")
        watch.heads.add(str(request.url))
    _limit(request, _read_limit_s(watch) if request.method in ("GET", "HEAD") else _WRITE_S)


def _limit(request: Any, limit_s: float) -> None:  # noqa: ANN401 - the client's own httpx
    limits = request.extensions.get("timeout", {})
    most = {"connect": min(_CONNECT_S, limit_s), "read": limit_s, "write": limit_s, "pool": limit_s}
    request.extensions["timeout"] = {
        kind: min(limits.get(kind) or most_s, most_s) for kind, most_s in most.items()
    }


def _read_limit_s(watch: Watch) -> float:
    named = os.environ.get("HF_HUB_DOWNLOAD_TIMEOUT", "")
    limit_s = float(named) if named.isdecimal() and int(named) else _READ_S
    return max(1.0, min(limit_s, watch.until - time.monotonic()))


def _on_response(response: Any) -> None:  # noqa: ANN401 - the client's own httpx
    """Take waiting out of the client's hands: it would wait as long as any server says."""
    watch = _WATCH.get()
    if watch is None:
        return
    if response.status_code in _BUSY:
        said = response.headers.get("Retry-After", "").strip()
        answer = f"{response.status_code} {response.reason_phrase}"
        raise Busy(answer, float(said) if said.isdecimal() else None)
    if response.request.method == "HEAD" and not _leads_on(response):
        _check_names(response.headers)
    response.stream = _Bounded(response.stream, watch)


def _leads_on(response: Any) -> bool:  # noqa: ANN401 - the client's own httpx
    """Whether the client will ask the same host once more, and take nothing from this answer."""
    url = response.request.url
    return bool(response.has_redirect_location) and (
        url.join(response.headers["Location"]).netloc == url.netloc
    )


def _check_names(headers: Any) -> None:  # noqa: ANN401 - the client's own httpx
    """Refuse digests and commits that are paths: the client names files of its cache by them."""
    digest = "X-Linked-Etag" if headers.get("X-Linked-Etag") else "ETag"
    for name in (digest, "X-Repo-Commit"):
        said = headers.get(name, "").removeprefix("W/").strip('"')
        if said and not _NAME.fullmatch(said):
            raise ValueError(f"{name} {printable(said, most=80)!r} is no digest")


class _Bounded(httpx.SyncByteStream):
    """The body of an answer, as long as it keeps coming and does not grow too large."""

    def __init__(self, stream: Any, watch: Watch) -> None:  # noqa: ANN401 - the client's own httpx
        self._stream = stream
        self._until = watch.until
        self._most = watch.most_bytes

    def __iter__(self) -> Iterator[bytes]:
        """Give the body piece by piece."""
        size = 0
        for piece in self._stream:
            size += len(piece)
            if time.monotonic() > self._until + size / _LEAST_BYTES_S:
                raise Busy("it came too slowly")
            if self._most is not None and size > self._most:
                raise ValueError(f"the answer is larger than {self._most} bytes")
            yield piece

    def close(self) -> None:
        """Let the connection go."""
        self._stream.close()
