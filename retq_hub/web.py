"""Files from a web server: bounded in size and time, tried again where the server stumbles."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from retq_hub.errors import NetworkError, NotFoundError, Unreachable, storage_errors

if TYPE_CHECKING:
    from requests import Response

__all__ = ["Answer", "get"]

CONNECT_S, READ_S = 5.0, 10.0
"""For how long a server may be silent."""

PATIENCE_S = 20.0
"""For how long another try may begin."""

_WHOLE_S = 600.0
_WAITS_S = (0.5, 1.0, 2.0)
_BUSY = frozenset({408, 429, 500, 502, 503, 504})
_MAX_REDIRECTS = 5
_CHUNK_BYTES = 2**18


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a server said.

    Attributes:
        changed: Whether a body came; False: what the caller has is still right.
        marks: The headers to send next time, to ask whether it has changed.
    """

    changed: bool
    marks: dict[str, str]


class _Stumble(Exception):
    """Something that may go better next time."""

    def __init__(self, what: str, wait_s: float | None = None) -> None:
        super().__init__(what)
        self.wait_s = wait_s


def get(
    url: str,
    path: Path,
    *,
    max_bytes: int,
    marks: Mapping[str, str] | None = None,
    patience_s: float = PATIENCE_S,
) -> Answer:
    """Download a file.

    Args:
        url: Where it is, ``https`` or ``http``.
        path: Where it is written to.
        max_bytes: It may be so large.
        marks: Of the answer that brought what the caller has.
        patience_s: For how long another try may begin; 0: there is one try.

    Raises:
        NotFoundError: The server has no such file.
        Unreachable: The server is silent, busy, or breaks off.
        NetworkError: It refuses, or sends too much.
        StorageError: The file cannot be written.
    """
    until = time.monotonic() + patience_s
    for wait_s in (*_WAITS_S, None):
        try:
            return _once(url, path, max_bytes, marks or {})
        except _Stumble as stumble:
            pause = stumble.wait_s if stumble.wait_s is not None else wait_s
            if wait_s is None or pause is None or time.monotonic() + pause > until:
                raise Unreachable(
                    f"{url} was not delivered: {stumble}",
                    hint="try again later; check the network",
                ) from stumble
            time.sleep(pause)
    raise AssertionError("the last try returns or raises")


def _once(url: str, path: Path, max_bytes: int, marks: Mapping[str, str]) -> Answer:
    with _stumbling(), _opened(url, marks) as answer:
        if answer.status_code == 304 and marks:
            return Answer(changed=False, marks=dict(marks))
        _check_status(url, answer)
        size = 0
        until = time.monotonic() + _WHOLE_S
        with storage_errors(path), path.open("wb") as stream:
            for chunk in answer.iter_content(_CHUNK_BYTES):
                size += len(chunk)
                if size > max_bytes:
                    raise NetworkError(f"{url} is larger than {max_bytes} bytes", hint="")
                if time.monotonic() > until:
                    raise _Stumble("it came too slowly")
                stream.write(chunk)
        stated = answer.headers.get("Content-Length", "")
        if stated.isdecimal() and "Content-Encoding" not in answer.headers and size < int(stated):
            raise _Stumble(f"it broke off after {size} of {stated} bytes")
        wanted = {"If-None-Match": "ETag", "If-Modified-Since": "Last-Modified"}
        known = {
            ask: answer.headers[said] for ask, said in wanted.items() if said in answer.headers
        }
        return Answer(changed=True, marks=known)


@contextmanager
def _opened(url: str, marks: Mapping[str, str]) -> "Iterator[Response]":
    """Ask for a file, over some redirects, but not to another scheme than https."""
    import requests

    with requests.Session() as session:
        for _ in range(_MAX_REDIRECTS + 1):
            answer = session.get(
                url,
                headers=dict(marks),
                stream=True,
                timeout=(CONNECT_S, READ_S),
                allow_redirects=False,
            )
            if not answer.is_redirect:
                with answer:
                    yield answer
                return
            goal = urljoin(url, answer.headers["Location"])
            answer.close()
            if urlsplit(goal).scheme not in {"https", urlsplit(url).scheme}:
                raise NetworkError(f"{url} leads to {goal:.200}, which is not followed", hint="")
            url = goal
    raise NetworkError(f"{url} leads on and on", hint="ask who runs the server")


@contextmanager
def _stumbling() -> Iterator[None]:
    """Tell what may go better next time from what will not."""
    import requests

    try:
        yield
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
        raise NetworkError(f"{error} is no address", hint="correct it") from error
    except requests.RequestException as error:
        raise _Stumble(_reason(error)) from error


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return "the server does not answer"
    if isinstance(error, requests.Timeout) or "Read timed out" in str(error):
        return f"nothing came for {READ_S:.0f} s"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "it broke off"
    if isinstance(error, requests.ConnectionError):
        return "the server cannot be reached"
    return type(error).__name__


def _check_status(url: str, answer: "Response") -> None:
    if answer.status_code == 200:
        return
    said = f"the server answered {answer.status_code} {answer.reason}"
    if answer.status_code in (404, 410):
        raise NotFoundError(f"there is no {url}", hint="check the address")
    if answer.status_code in _BUSY:
        asked = answer.headers.get("Retry-After", "").strip()
        raise _Stumble(said, float(asked) if asked.isdecimal() and len(asked) < 9 else None)
    raise NetworkError(f"{url} was not delivered: {said}", hint="ask who runs the server")
