"""How the Hub is asked: where, as whom, for how long; each failure of the client is one line.

Endpoint, login, cache and offline mode are the stock client's own. Its patience is not: some of its
calls never time out, others wait as long as a server tells them to. Here each call has a deadline.
"""

import os
import random
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from json import JSONDecodeError
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from retq_hub.errors import (
    NetworkError,
    NotFoundError,
    RetqError,
    StorageError,
    Unreachable,
    is_storage,
)
from retq_hub.text import printable

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

__all__ = ["MAX_BYTES", "PATIENCE_S", "ask", "cache_folder", "endpoint", "hub_api", "is_offline"]

T = TypeVar("T")

PATIENCE_S = 30.0
"""For how long another try of a call may begin."""

MAX_BYTES = 64 * 2**20
"""No answer but a file is larger."""

_LONGEST_PAUSE_S = 30.0
_WAITS_S = (0.5, 1.0, 2.0)
_REFUSED_S = 1.0
_LOOK_UP_S = 5.0
_found: set[str] = set()
_NEXT = {403: "check what your login may do", 404: "check HF_ENDPOINT"}
_TRUE = frozenset({"1", "ON", "YES", "TRUE"})


def endpoint() -> str:
    """Give the Hub's address, without a slash at its end: ``HF_ENDPOINT``, else the public Hub."""
    from huggingface_hub import constants

    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def cache_folder() -> Path:
    """Give the client's cache folder: ``HF_HUB_CACHE``, ``HF_HOME``, else the client's own."""
    from huggingface_hub import constants

    if named := os.environ.get("HF_HUB_CACHE"):
        return Path(os.path.expandvars(named)).expanduser()
    if home := os.environ.get("HF_HOME"):
        return Path(os.path.expandvars(home)).expanduser() / "hub"
    return Path(constants.HF_HUB_CACHE)


def is_offline() -> bool:
    """Whether the user wants no network: ``HF_HUB_OFFLINE``."""
    from huggingface_hub import constants

    named = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return named.upper() in _TRUE or constants.is_offline_mode()


def hub_api() -> "HfApi":
    """Give the client's own API, with its login.

    Raises:
        Unreachable: The user wants no network.
    """
    from huggingface_hub import HfApi

    from retq_hub import __version__

    if is_offline():
        raise Unreachable(
            f"{endpoint()} is not asked, for HF_HUB_OFFLINE is set", hint="unset it to ask"
        )

    return HfApi(endpoint=endpoint(), library_name="retq", library_version=__version__)


def ask(
    what: str,
    call: Callable[[], T],
    *,
    patience_s: float = PATIENCE_S,
    max_bytes: int | None = MAX_BYTES,
) -> T:
    """Call the client; try again for a while where the Hub is busy, silent or cut off.

    Args:
        what: What is asked for, for messages: ``someone/drusen@v1.0.0``.
        call: Calls the client; may be called several times.
        patience_s: For how long another try may begin.
        max_bytes: No answer may be larger; None: any may.

    Raises:
        NotFoundError: There is no such repository, revision or file.
        Unreachable: The Hub did not answer, or only that it is busy.
        NetworkError: It refused.
        StorageError: The cache cannot be written.
    """
    from retq_hub.hub.session import REFUSALS, STUMBLES, Busy, Watch, watched

    until = time.monotonic() + patience_s
    _look_up(what, until)
    for wait_s in (*_WAITS_S, None):
        watch = Watch(until, max_bytes)
        try:
            with watched(watch):
                return call()
        except Busy as busy:
            answer, wanted = _line(busy), busy.wait_s
        except STUMBLES as error:
            answer, wanted = _line(error), None
        except REFUSALS as error:
            raise _translated(error, what) from error
        if watch.is_refused:
            until = min(until, time.monotonic() + _REFUSED_S)
        pause = wanted if wanted is not None else _jittered(wait_s)
        if pause is None or wait_s is None or pause > _LONGEST_PAUSE_S:
            break
        if time.monotonic() + pause > until:
            break
        time.sleep(pause)
    asks = f" and asks to wait {wanted:.0f} s" if wanted else ""
    raise Unreachable(
        f"{endpoint()} did not deliver {what}: {answer}{asks}",
        hint="try again later; check the network and HF_ENDPOINT",
    )


def _look_up(what: str, until: float) -> None:
    """Find the Hub's host, once: the system may take half a minute to say that it finds none.

    Raises:
        Unreachable: It did not say in time.
    """
    parts = urlsplit(endpoint())
    host = parts.hostname
    if host is None or host in _found or _is_behind_proxy(parts.scheme, host):
        return

    def find() -> None:
        with suppress(OSError, UnicodeError):
            socket.getaddrinfo(host, None)
        _found.add(host)

    # A daemon: nothing can stop the question, and nobody should have to wait for its end.
    asked = Thread(target=find, daemon=True)
    asked.start()
    asked.join(max(0.0, min(_LOOK_UP_S, until - time.monotonic())))
    if asked.is_alive():
        raise Unreachable(
            f"{endpoint()} did not deliver {what}: nobody says where {host} is",
            hint="check the network and HF_ENDPOINT",
        )


def _is_behind_proxy(scheme: str, host: str) -> bool:
    """Whether a proxy looks the host up, not this machine."""
    from urllib.request import getproxies, proxy_bypass

    named = getproxies()
    return bool(named.get(scheme) or named.get("all")) and not proxy_bypass(host)


def _jittered(wait_s: float | None) -> float | None:
    """Keep many clients that were sent away together from coming back together."""
    return None if wait_s is None else wait_s * random.uniform(0.75, 1.25)


def _translated(error: Exception, what: str) -> RetqError:
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, LocalEntryNotFoundError):
        return _uncached(error, what)
    if isinstance(error, RevisionNotFoundError | EntryNotFoundError | HFValidationError):
        return NotFoundError(
            f"the Hub has no {what} (or your login may not see it)", hint="check name and login"
        )
    if isinstance(error, HfHubHTTPError):
        return _refused(error, what)
    if isinstance(error, OSError) and is_storage(error):
        return StorageError(
            f"the Hub's cache cannot be written: {error.strerror}",
            hint="free some space or set HF_HUB_CACHE to another folder",
        )
    if isinstance(error, JSONDecodeError | KeyError | TypeError):
        return NetworkError(
            f"{endpoint()} did not answer like a Hub when asked for {what}",
            hint="check HF_ENDPOINT and proxies",
        )
    if isinstance(error, ValueError):
        return NetworkError(f"{what}: {_line(' '.join(str(error).split()))}")
    return Unreachable(f"{what} was not delivered: {_line(error)}", hint="try again later")


def _uncached(error: Exception, what: str) -> RetqError:
    """The client could not ask, and has nothing in its cache."""
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error.__cause__, HfHubHTTPError):
        return _refused(error.__cause__, what)
    return Unreachable(
        f"{what} cannot be reached and is not in the local cache",
        hint="check the network, HF_ENDPOINT and HF_HUB_OFFLINE",
    )


def _refused(error: "HfHubHTTPError", what: str) -> RetqError:
    from huggingface_hub import get_token
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    repo = what.partition("@")[0]
    if isinstance(error, GatedRepoError):
        return NetworkError(
            f"{repo} is gated",
            hint=f"accept its terms at {endpoint()}/{repo}, then `hf auth login`",
        )
    if isinstance(error, RepositoryNotFoundError):
        login = "check the name" if get_token() else "check the name, or `hf auth login`"
        return NotFoundError(f"the Hub has no {what} (or your login may not see it)", hint=login)
    answer = error.response
    if answer.status_code == 401:
        hint = (
            "log in again with `hf auth login`" if get_token() else "`hf auth login`, or HF_TOKEN"
        )
        return NetworkError(f"{endpoint()} does not accept your login for {what}", hint=hint)
    said = f": {_line(error.server_message)}" if error.server_message else ""
    return NetworkError(
        f"{what} was not delivered: the Hub answered {answer.status_code} "
        f"{answer.reason_phrase}{said}",
        hint=_NEXT.get(answer.status_code, "try again later"),
    )


def _line(error: object) -> str:
    """Give the first line of what was said, without the token if somebody repeats it."""
    from huggingface_hub import get_token

    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    token = get_token()
    return printable(line.replace(token, "***") if token else line)
