"""Files wherever they lie: on this machine, or at a URL that fsspec knows how to read.

A location is an absolute path or a URL. Credentials are the store's own matter: they come from
where its library looks for them, never from a URL.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

from retq_hub import images
from retq_hub.errors import BadInputError, ImageError, NetworkError, NotFoundError, UsageError

__all__ = ["find", "is_url", "located", "opened", "read", "walk"]

_FOREIGN = {
    "aiohttp": "ClientError",
    "azure.core.exceptions": "AzureError",
    "botocore.exceptions": "BotoCoreError",
    "gcsfs.retry": "HttpError",
}
"""What stores raise that is no OSError, by the modules that are there if they do."""


_PASSWORD = re.compile(r":/+[^/?#]*:[^/?#]*@([^/?#:]*)")
"""In a URL, or in one of several that are chained."""


def is_url(text: str) -> bool:
    """Whether a text is a URL, and no path."""
    scheme, _, rest = text.partition("://")
    return bool(rest) and scheme.replace("+", "").isalnum()


def located(text: str) -> str:
    """Give the location of what a user named: a URL as it is, a path made absolute.

    Raises:
        UsageError: The URL holds a password.
    """
    if secret := _PASSWORD.search(text):
        raise UsageError(
            f"a URL of {secret[1]} holds a password, which would stand in the results",
            hint="give it to the store's library, as its documentation says",
        )
    if not is_url(text):
        return str(Path(text).expanduser().absolute())
    parts = urlsplit(text)
    return url2pathname(parts.path) if parts.scheme == "file" else text


def read(location: str) -> bytes:
    """Read an image's file.

    Raises:
        ImageError: It is missing, cannot be read, or larger than any image may be.
        UsageError: What reads such URLs is not installed.
    """
    if not is_url(location):
        return images.read(Path(location))
    try:
        with opened(location) as stream:
            content = stream.read(images.MAX_BYTES + 1)
    except (NotFoundError, NetworkError) as error:
        raise ImageError(error.found, hint=error.hint) from error
    except UsageError as error:
        # What is not installed concerns all images; a URL that nobody could read, this one.
        if isinstance(error.__cause__, ImportError):
            raise
        raise ImageError(error.found, hint=error.hint) from error
    if len(content) > images.MAX_BYTES:
        raise ImageError(
            f"{location} has more than the {images.MAX_BYTES} bytes that are read",
            hint="scale it down first",
        )
    return content


@contextmanager
def opened(location: str) -> Iterator[BinaryIO]:
    """Open a file for reading, as a context.

    Raises:
        NotFoundError: It is not there.
        NetworkError: It cannot be read.
        UsageError: It lies where nothing here can read.
    """
    if not is_url(location):
        with _reading(location), Path(location).open("rb") as file:
            yield file
        return
    system, path = _system(location)
    with _reading(location), system.open(path, "rb") as stream:
        yield stream


def walk(location: str, suffixes: tuple[str, ...]) -> Iterator[str]:
    """Give the files below a folder at a URL, one folder at a time; hidden ones left out.

    Args:
        location: The folder's URL.
        suffixes: Lower-case endings of the files that are wanted.

    Raises:
        NetworkError: It cannot be listed.
        UsageError: It lies where nothing here can read.
    """
    system, path = _system(location)
    for place in _below(system, path, location, suffixes):
        yield location.rstrip("/") + "/" + place.removeprefix(path).lstrip("/")


def find(pattern: str) -> list[str]:
    """Give the files that a location with ``*``, ``?`` or ``[`` names, sorted.

    Raises:
        NetworkError: They cannot be listed.
        UsageError: They lie where nothing here can read.
    """
    if not is_url(pattern):
        root = Path(Path(pattern).anchor)
        inside = root.glob(str(Path(pattern).relative_to(root)))
        return sorted(str(one) for one in inside if one.is_file())
    system, path = _system(pattern)
    with _reading(pattern):
        found = system.glob(path, detail=True)
    names = [str(one["name"]) for one in found.values() if one["type"] == "file"]
    return sorted(str(system.unstrip_protocol(name)) for name in names)


def _below(
    system: Any,  # noqa: ANN401 - fsspec is not typed
    path: str,
    location: str,
    suffixes: tuple[str, ...],
) -> Iterator[str]:
    with _reading(location):
        inside = sorted(system.ls(path, detail=True), key=lambda one: str(one["name"]))
    for one in inside:
        place = str(one["name"]).rstrip("/")
        if place.rpartition("/")[2].startswith(".") or place == str(path).rstrip("/"):
            continue
        if one["type"] == "directory":
            yield from _below(system, place, location, suffixes)
        elif place.lower().endswith(suffixes):
            yield place


def _system(location: str) -> tuple[Any, str]:
    """Give the file system of a location, and the path in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise UsageError(
            f"fsspec is not installed, which reads {location}", hint='pip install "retq-hub[ray]"'
        ) from error
    try:
        system, path = url_to_fs(location, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise UsageError(
            f"{location} cannot be read here: {error}", hint="install what reads such URLs"
        ) from error
    return system, str(path)


@contextmanager
def _reading(location: str) -> Iterator[None]:
    """Turn all that file systems raise into errors of ours."""
    try:
        yield
    except FileNotFoundError as error:
        why = error.__cause__
        if why is not None and not isinstance(why, FileNotFoundError):
            # A server that does not answer is called that too.
            reason = (str(why).splitlines() or [""])[0] or type(why).__name__
            found = f"{location} cannot be read ({reason})"
            raise NetworkError(found, hint="check the address, or try again") from error
        what = "URL" if is_url(location) else "path"
        raise NotFoundError(f"there is no file {location}", hint=f"check the {what}") from error
    except _errors() as error:
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        found = f"{location} cannot be read ({reason})"
        if not is_url(location):
            raise BadInputError(found, hint="check the path") from error
        raise NetworkError(found, hint="check the credentials, or try again") from error


def _errors() -> tuple[type[Exception], ...]:
    there = [(sys.modules[one], name) for one, name in _FOREIGN.items() if one in sys.modules]
    return (OSError, ValueError, *(getattr(module, name) for module, name in there))
