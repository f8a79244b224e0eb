"""What can be wrong with the records of an index: each by itself, and all of them together."""

import re
from collections.abc import Iterable, Iterator, Mapping

from retq_hub import names
from retq_hub.errors import Finding
from retq_hub.kinds import KINDS
from retq_hub.record import Record
from retq_hub.text import printable

__all__ = ["MAX_TEXT", "is_repo", "is_sound", "plain", "together"]

MAX_TEXT = 200
"""Characters of any text in a record."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9]|[-.](?=[a-z0-9])){0,95}")
_REPO = re.compile(r"[\w-][\w.-]{0,95}/[\w-][\w.-]{0,95}", re.ASCII)
_VERSION = re.compile(
    r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})(-[0-9A-Za-z.-]{1,64})?", re.ASCII
)
_PATH = re.compile(r"[a-z0-9][\w.-]*(?:/[a-z0-9][\w.-]*)*", re.ASCII | re.IGNORECASE)
_HEX = re.compile(r"[0-9a-f]+")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


def is_sound(record: Record) -> bool:
    """Whether a record is as the schema wants it, quickly; the schema says what is wrong."""
    return (
        _is_named(record)
        and _is_placed(record)
        and _is_digest(record.digest, record.weights_digest, record.preprocessing_digest)
        and _is_text(record)
        and record.floats >= 1
        and all(value is None or 0 <= value <= 1 for value in (record.dice, record.auroc))
        and (record.kappa is None or -1 <= record.kappa <= 1)
        and (record.kind is None or record.kind in KINDS[1:])
        and all(-1 <= one.cosine <= 1 for one in record.near or ())
    )


def is_repo(repo: str) -> bool:
    """Whether this can be a repository of a Hub."""
    return bool(_REPO.fullmatch(repo)) and ".." not in repo


def plain(text: str) -> str:
    """Give a text as a record may hold it: not empty, short, without control characters."""
    return printable(text, most=MAX_TEXT) or "?"


def together(records: Iterable[Record]) -> Iterator[Finding]:
    """Find what is wrong with records that are sound each by itself; they are gone through once."""
    known: set[str] = set()
    references: list[tuple[str, str]] = []
    following: dict[str, str] = {}
    last = None
    for one in records:
        key = (one.name, names.order(one.version))
        if key == last:
            yield Finding(where=one.key, what="is there twice")
        elif last is not None and key < last:
            yield Finding(where=one.key, what="is not in its place: names and versions are sorted")
        last = key
        if "/" in one.name and one.name != one.repo:
            yield Finding(where=one.key, what="has the name of a repository and is none of its")
        known |= {one.name, one.key}
        references += [(one.key, near.name) for near in one.near or ()]
        following.pop(one.name, None)
        if one.superseded_by is not None:
            references.append((one.key, one.superseded_by))
            following[one.key] = following[one.name] = one.superseded_by
    for where, other in references:
        if other not in known:
            yield Finding(where=where, what=f"refers to {other}, which is not in the index")
    yield from _circles(following)


def _circles(following: Mapping[str, str]) -> Iterator[Finding]:
    """Find names that are superseded by themselves, be it over others."""
    done: set[str] = set()
    for start in following:
        steps: dict[str, None] = {}
        now = start
        while now in following and now not in done:
            done.add(now)
            steps[now] = None
            now = following[now]
        if now in steps:
            circle = [*steps][[*steps].index(now) :]
            yield Finding(where=now, what=f"supersedes itself: {' -> '.join([*circle[:9], now])}")


def _is_named(record: Record) -> bool:
    return bool(
        _VERSION.fullmatch(record.version)
        and (_NAME.fullmatch(record.name) or is_repo(record.name))
    )


def _is_placed(record: Record) -> bool:
    """Whether it lies in the registry's folder, or at a commit of a repository."""
    if record.path is not None:
        return bool(_PATH.fullmatch(record.path)) and record.repo is None and record.commit is None
    return bool(
        record.repo is not None
        and record.commit is not None
        and is_repo(record.repo)
        and len(record.commit) == 40
        and _HEX.fullmatch(record.commit)
    )


def _is_digest(*digests: str | None) -> bool:
    return all(one is None or (len(one) == 64 and _HEX.fullmatch(one)) for one in digests)


def _is_text(record: Record) -> bool:
    required = (record.summary, record.backbone, record.licence, *record.targets, *record.datasets)
    optional = [one for one in (record.yanked, record.superseded_by) if isinstance(one, str)]
    near = [one.name for one in record.near or ()]
    texts = (*required, *optional, *near)
    return (
        all(texts)
        and bool(record.targets)
        and max(map(len, texts)) <= MAX_TEXT
        and not _CONTROL.search("".join(texts))
    )
