"""What a name says before anything is looked up: a query of a registry, of a Hub, or a folder."""

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeVar

from retq_hub.errors import UsageError

__all__ = [
    "Name",
    "folded",
    "is_commit",
    "is_path",
    "newest",
    "order",
    "parse",
    "slug",
    "version_of",
]

T = TypeVar("T")

_PLAIN = re.compile(r"[a-z0-9](?:[a-z0-9]|[-.](?=[a-z0-9])){0,95}")
_REPO = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
_PIN = re.compile(r"[\w.-]+(?:/[\w.-]+)*", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_VERSION = re.compile(r"v?(\d{1,9}\.\d{1,9}\.\d{1,9}(?:-[0-9A-Za-z.-]{1,64})?)", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Name:
    """A name taken apart.

    Attributes:
        kind: Where it is looked up: the registries, or a Hub.
        text: Without the pin: ``idrid-disc``, ``someone/drusen``.
        pin: What follows ``@``: a version, for a Hub also a commit, branch or tag; None: the
            newest version.
    """

    kind: Literal["registry", "hub"]
    text: str
    pin: str | None

    @property
    def version(self) -> str | None:
        """The version that the pin names, without ``v``; None where it names none."""
        return version_of(self.pin) if self.pin else None


def parse(name: str) -> Name:
    """Take ``name[@version]`` or ``ns/name[@revision]`` apart.

    Raises:
        UsageError: This can be no name.
    """
    text, at, pin = name.partition("@")
    is_repo = bool(_REPO.fullmatch(text)) and ".." not in text
    good_pin = (_PIN if is_repo else _VERSION).fullmatch(pin) and ".." not in pin
    if (at and not good_pin) or not (is_repo or _PLAIN.fullmatch(text)):
        raise UsageError(f"{name!r} is no name of a query", hint=_hint(name))
    return Name(kind="hub" if is_repo else "registry", text=text, pin=pin or None)


def _hint(name: str) -> str:
    """Say what was probably meant."""
    text, _, pin = name.partition("@")
    if "://" in text:
        return "name it someone/drusen; HF_ENDPOINT says on which Hub"
    if _PLAIN.fullmatch(text.lower()):
        if pin == "latest":
            return f"say {text.lower()}, that is the newest version"
        if text != text.lower():
            return f"did you mean {name.lower()}?"
    return "names look like idrid-disc, idrid-disc@1.0.0 or someone/drusen, folders like ./mine"


def is_path(name: str) -> bool:
    """Whether a name can only be a path: ``./mine``, ``/data/mine``, ``~/mine``."""
    return name.startswith((".", "/", "~"))


def is_commit(name: str) -> bool:
    """Whether a name is a whole commit id of a Hub: 40 hexadecimal digits."""
    return _COMMIT.fullmatch(name) is not None


def version_of(pin: str) -> str | None:
    """Give the version that a pin or tag names, without ``v``; None where it names none."""
    found = _VERSION.fullmatch(pin)
    return found[1] if found else None


def folded(text: str) -> str:
    """Give a text in lower case and without accents: ``Drüsen`` is ``drusen``."""
    apart = unicodedata.normalize("NFKD", text.lower())
    return "".join(one for one in apart if not unicodedata.combining(one))


def slug(text: str) -> str:
    """Make a target's name of what the user calls it: ``Optic Disc`` is ``optic-disc``.

    Raises:
        UsageError: No letter or digit is left.
    """
    found = re.sub(r"[^a-z0-9]+", "-", folded(text)).strip("-")
    if not found:
        raise UsageError(f"{text!r} is no target", hint="use a word like disc or drusen")
    return found


def order(version: str) -> tuple[object, ...]:
    """Give what versions sort by, as semver.org, 2.0.0, paragraph 11 does."""
    core, _, pre = version.partition("-")
    parts = [(0, int(one), "") if one.isdigit() else (1, 0, one) for one in pre.split(".")]
    return (*map(int, core.split(".")), not pre, *(parts if pre else ()))


def newest(found: Iterable[T], *, version: Callable[[T], str]) -> T | None:
    """Choose what a name means without a version; a pre-release only where there is no release.

    Args:
        found: What may be chosen, the newest first. No more is looked at than needed.
        version: Gives the version of one of them.
    """
    draft = None
    for one in found:
        if "-" not in version(one):
            return one
        draft = draft or one
    return draft
