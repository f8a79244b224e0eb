"""An index in memory, as text: what is looked up is decoded, the rest is only searched for bytes.

Decoding 100,000 records takes longer than anybody wants to wait for one of them. So an index has
one record a line, sorted by name: a name is found by bisection, words by a search through the
bytes, and only the records that are touched are decoded and checked. A small index may be laid out
in any way; it is checked throughout.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import msgspec
from msgspec import Raw, Struct

from retq_hub import names, schema
from retq_hub.errors import Finding, ManifestError, NotFoundError
from retq_hub.lines import Lines
from retq_hub.manifest import to_json
from retq_hub.record import Record, newest
from retq_hub.soundness import is_sound, together
from retq_hub.wish import Wish

__all__ = ["MAX_BYTES", "Broken", "Catalogue", "in_order", "lay_out", "read"]

MAX_BYTES = 128 * 2**20
"""An index may be so large; one of 100,000 records takes half of it."""

_SMALL_BYTES = 2**20
_MAX_LINE_BYTES = 2**16
_MAX_REPORTED = 20
_NEAR_NAMES = 2000
_SPEC = "retq-index/1"
_END = b"]}\n"


class Broken(Struct, frozen=True, kw_only=True):
    """What carries the tag of a query on a Hub and is none.

    Attributes:
        repo: The repository.
        commit: The commit that was looked at.
        version: The version whose tag names the commit; None if there is no such tag.
        reason: What is wrong.
    """

    repo: str
    commit: str
    reason: str
    version: str | None = None


class _Document(Struct):
    spec: str
    records: list[Raw]
    broken: tuple[Broken, ...] = ()


_document = msgspec.json.Decoder(_Document).decode
_record = msgspec.json.Decoder(Record).decode


class Catalogue:
    """The records of an index.

    Args:
        text: The index as `lay_out` writes it.
        place: Where it comes from, for messages.

    Attributes:
        broken: What was found broken on a Hub.

    Raises:
        ManifestError: It is no index, or laid out in another way.
    """

    def __init__(self, text: bytes, *, place: str) -> None:
        self._place = place
        start, stop = text.find(b"\n") + 1, len(text) - len(_END)
        if not 0 < start <= stop or not text.endswith(_END) or text[stop - 1 : stop] != b"\n":
            raise _refused(
                place, "is not laid out one record a line", "make it with `retq index build`"
            )
        self.broken = _parsed(text[:start] + _END, place).broken
        self._lines = Lines(text, start=start, stop=stop, opening=b'{"name":"')
        self._is_small = len(text) <= _SMALL_BYTES

    def all(self) -> list[Record]:
        """Give all records, by name and version.

        Raises:
            ManifestError: The index is broken; the findings are in it.
        """
        self.check()
        return [self._at(place) for place in self._lines.places()]

    def check(self) -> None:
        """Refuse an index with anything wrong in it; its artifacts are not looked at.

        Raises:
            ManifestError: The findings are in it.
        """
        bad: list[bytes] = []
        found = list(islice(together(self._sound(bad)), _MAX_REPORTED))
        if found := _explained(bad) if bad else found:
            raise ManifestError(self._place, found, hint="`retq index build` makes it anew")

    def named(self, name: str) -> list[Record]:
        """Give the versions of a name, the oldest first.

        Raises:
            ManifestError: One of them is broken.
        """
        key = name.encode("utf-8", "replace")
        place = self._lines.lowest(key)
        if place >= self._lines.stop or self._lines.key(place) != key:
            return []
        return [self._at(one) for one in self._run(place)[0]]

    def names(self, like: str) -> list[str]:
        """Give names to compare a misspelled one with; of a large index some that begin alike."""
        place = self._lines.start if self._is_small else self._lines.lowest(like[:2].encode())
        found: dict[str, None] = {}
        while place < self._lines.stop and len(found) < _NEAR_NAMES:
            found[self._lines.key(place).decode("ascii", "replace")] = None
            place = self._lines.after(place)
        return list(found)

    def matching(self, wish: Wish) -> Iterator[Record]:
        """Give what is looked for: of each name the newest version, if that matches.

        Raises:
            ManifestError: A record that was looked at is broken.
        """
        done = self._lines.start
        for place in self._lines.holding(wish.needles):
            if place >= done:
                places, done = self._run(self._first(place))
                found = newest(self._at(one, sound=False) for one in reversed(places))
                if found is not None and wish.matches(found):
                    if not is_sound(found):
                        raise self._broken(msgspec.json.encode(to_json(found)))
                    yield found

    def _sound(self, bad: list[bytes]) -> Iterator[Record]:
        """Give the records one by one; broken ones go into ``bad``, until that is full."""
        for place in self._lines.places():
            line = self._line(place)
            record = _decoded(line)
            if record is not None:
                yield record
                continue
            bad.append(line)
            if len(bad) == _MAX_REPORTED:
                return

    def _run(self, place: int) -> tuple[list[int], int]:
        """Give the places of the records of a name that begin at a place, and the next one."""
        key = self._lines.key(place)
        places = []
        while place < self._lines.stop and self._lines.key(place) == key:
            places.append(place)
            place = self._lines.after(place)
        return places, place

    def _first(self, place: int) -> int:
        """Give the place of the first record of the same name."""
        key = self._lines.key(place)
        while place > self._lines.start:
            before = self._lines.first(self._lines.start, place - 1)
            if self._lines.key(before) != key:
                break
            place = before
        return place

    def _at(self, place: int, *, sound: bool = True) -> Record:
        """Decode a record, and check it unless it need not be ``sound`` yet."""
        line = self._line(place)
        record = _decoded(line, sound=sound)
        if record is None:
            raise self._broken(line)
        return record

    def _broken(self, line: bytes) -> ManifestError:
        return ManifestError(
            self._place, _explained([line]), hint="`retq index build` makes it anew"
        )

    def _line(self, place: int) -> bytes:
        return self._lines.line(place, most=_MAX_LINE_BYTES).removesuffix(b",")


def read(path: Path, *, place: str = "") -> Catalogue:
    """Read an index; a large one is checked where it is used.

    Args:
        path: The file.
        place: Where it comes from, for messages; the file if not given.

    Raises:
        NotFoundError: There is none.
        ManifestError: It is broken, or too large.
    """
    place = place or str(path)
    text = _bytes(path, place)
    if len(text) > _SMALL_BYTES:
        return Catalogue(text, place=place)
    document = _parsed(text, place)
    lines = [bytes(one) for one in document.records]
    records = [one for one in map(_decoded, lines) if one is not None]
    if len(records) < len(lines):
        bad = [line for line in lines if _decoded(line) is None]
        raise ManifestError(place, _explained(bad), hint="`retq index build` makes it anew")
    found = Catalogue(lay_out(records, document.broken), place=place)
    found.check()
    return found


def _bytes(path: Path, place: str) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _refused(place, f"is larger than {MAX_BYTES // 2**20} MiB", "get it again")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {path}", hint="check the path") from error
    except OSError as error:
        what = f"cannot be read ({error.strerror or error})"
        raise _refused(place, what, "check the path and its permissions") from error


def lay_out(records: Iterable[Record], broken: Sequence[Broken] = ()) -> bytes:
    """Write an index: one record a line, by name and version; the same records give the same bytes.

    Args:
        records: Sound ones, in any order.
        broken: What was found broken on a Hub.
    """
    head = {"spec": _SPEC, "broken": to_json(broken)} if broken else {"spec": _SPEC}
    lines = ",\n".join(_compact(to_json(one)) for one in in_order(records))
    body = f"{lines}\n" if lines else ""
    return f'{_compact(head)[:-1]},"records":[\n{body}]}}\n'.encode()


def in_order(records: Iterable[Record]) -> list[Record]:
    """Sort records by name and version."""
    return sorted(records, key=lambda one: (one.name, names.order(one.version)))


def _compact(document: object) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _parsed(text: bytes, place: str) -> _Document:
    try:
        document = _document(text)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise _refused(place, f"is no index ({error})", "get it again") from error
    if document.spec != _SPEC:
        raise _refused(place, f"is {document.spec[:40]!r}, not {_SPEC!r}", "get it again")
    return document


def _decoded(line: bytes, *, sound: bool = True) -> Record | None:
    """Decode a record; None if it is broken, at a glance or, if it must be ``sound``, at all."""
    try:
        record = _record(line)
    except (msgspec.MsgspecError, RecursionError):
        return None
    return record if not sound or is_sound(record) else None


def _explained(lines: Sequence[bytes]) -> list[Finding]:
    """Say what is wrong with broken records, with the first of them if they are many."""
    found = []
    for line in lines:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            found.append(Finding(where="a record", what=f"is not JSON: {line[:60]!r}"))
            continue
        name = record.get("name") if isinstance(record, dict) else None
        where = f"{name!r:.100}" if isinstance(name, str) else "a record"
        document = {"spec": _SPEC, "records": [record]}
        found += [
            replace(one, where=one.where.replace("records/0", where, 1))
            for one in schema.findings(document, schema.INDEX)
        ] or [Finding(where=where, what="has a number or text beyond all bounds")]
        if len(found) >= _MAX_REPORTED:
            break
    return found[:_MAX_REPORTED]


def _refused(place: str, what: str, hint: str) -> ManifestError:
    return ManifestError(place, [Finding(where="", what=what)], hint=hint)
