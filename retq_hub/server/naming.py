"""Names: of repositories, files, branches and tags; what may not be one is refused here."""

import re
from dataclasses import dataclass

from retq_hub.names import is_commit
from retq_hub.server.faults import bad_request

__all__ = [
    "KINDS",
    "RepoId",
    "check_name",
    "check_path",
    "check_ref",
    "check_text",
    "check_user_name",
    "is_version_tag",
]

KINDS = ("models", "datasets")
"""The kinds of repositories, as they stand in URLs."""

_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?")
_VERSION_TAG = re.compile(
    r"v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?"
)
_NO_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)")
_RESERVED = frozenset(
    [
        "about",
        "admin",
        "api",
        "assets",
        "datasets",
        "favicon.ico",
        "lfs",
        "login",
        "models",
        "queries",
        "query",
        "robots.txt",
        "search",
        "settings",
        "spaces",
        "static",
        "try",
    ]
)
_MAX_PATH = 1024
_MAX_SEGMENT = 255
_MAX_DEPTH = 64


@dataclass(frozen=True, kw_only=True)
class RepoId:
    """A repository as URLs name it.

    Attributes:
        kind: ``models`` or ``datasets``.
        namespace: The user that it belongs to.
        name: Its name there.
    """

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def type(self) -> str:
        """The kind in the singular, as the protocol's documents name it."""
        return self.kind.removesuffix("s")

    @property
    def url_path(self) -> str:
        """The path of its page: ``ns/name`` or ``datasets/ns/name``."""
        return str(self) if self.kind == "models" else f"{self.kind}/{self}"


def check_user_name(name: str) -> None:
    """Refuse what cannot be a user's name, because addresses begin with it.

    Raises:
        Fault: 400.
    """
    check_name(name)
    if name.lower() in _RESERVED:
        raise bad_request(f"{name} is not free: the hub's own addresses begin with it")


def check_name(name: str) -> None:
    """Refuse what can be neither a user's nor a repository's name.

    Raises:
        Fault: 400.
    """
    odd = "--" in name or ".." in name or name.endswith(".git")
    if odd or not _NAME.fullmatch(name):
        raise bad_request(
            f"{name[:100]!r} cannot be a name: letters, digits, - _ . up to 96, neither -- nor .."
        )


def check_path(path: str) -> None:
    """Refuse what cannot be the path of a file in a repository.

    Raises:
        Fault: 400.
    """
    parts = path.split("/")
    encoded = path.encode("utf-8", errors="replace")
    if (
        not path.isprintable()
        or "\\" in path
        or len(encoded) > _MAX_PATH
        or len(parts) > _MAX_DEPTH
        or any(part in ("", ".", "..") or part.lower() == ".git" for part in parts)
        or any(len(part.encode("utf-8", errors="replace")) > _MAX_SEGMENT for part in parts)
    ):
        raise bad_request(f"{path[:200]!r} cannot be the path of a file")


def check_ref(name: str) -> None:
    """Refuse what cannot be the name of a branch or a tag.

    Raises:
        Fault: 400.
    """
    if (
        not 0 < len(name) <= _MAX_SEGMENT
        or not name.isprintable()
        or _NO_REF.search(name)
        or name[0] in "-./"
        or name[-1] in "./"
        or name == "HEAD"
        or name.startswith("refs/")
        or is_commit(name)
    ):
        raise bad_request(f"{name[:100]!r} cannot be the name of a branch or tag")


def check_text(text: str, *, what: str, limit: int, least: int = 0) -> None:
    """Refuse a text that is too short, too long, or no text.

    Raises:
        Fault: 400.
    """
    if not least <= len(text) <= limit:
        raise bad_request(f"{what} has {len(text)} characters, {least} to {limit} are allowed")
    if "\x00" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise bad_request(f"{what} holds characters that are no text")


def is_version_tag(name: str) -> bool:
    """Whether a tag names a version: ``v`` and a semantic version."""
    return _VERSION_TAG.fullmatch(name) is not None
