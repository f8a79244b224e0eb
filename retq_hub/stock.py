"""What the registries hold: their records, looked up by name or by what somebody looks for.

A name and version counts where it is found first. A folder that is no registry is an error. A URL
that cannot be used is not: it is named, the others are asked, and only who then finds nothing is
told that it may be for this.
"""

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from retq_hub import artifact, catalogue, names, places, sources
from retq_hub.catalogue import Catalogue
from retq_hub.errors import NetworkError, NotFoundError, Unreachable, UsageError
from retq_hub.index import FILE
from retq_hub.progress import Progress, tell
from retq_hub.record import Record, newest
from retq_hub.wish import Wish

__all__ = ["Entry", "Stock", "entries", "find", "latest", "opened", "search"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A record and the registry that holds it, as it is named in ``RETQ_REGISTRY``."""

    registry: str
    record: Record


@dataclass(frozen=True, kw_only=True)
class Stock:
    """The registries' indexes, in the order in which they are asked.

    Attributes:
        indexes: By the registry's name.
        failures: What could not be used, and why, a line each.
    """

    indexes: dict[str, Catalogue]
    failures: tuple[str, ...] = ()

    def all(self) -> list[Entry]:
        """Give all entries, by name and version.

        Raises:
            ManifestError: An index is broken.
        """
        return _merged((place, index.all()) for place, index in self.indexes.items())

    def named(self, name: str) -> list[Entry]:
        """Give the versions of a name, the oldest first.

        Raises:
            ManifestError: A record of that name is broken.
        """
        return _merged((place, index.named(name)) for place, index in self.indexes.items())

    def matching(self, wish: Wish) -> Iterator[Entry]:
        """Give what is looked for: of each name the newest version, if that matches.

        Raises:
            ManifestError: A record that was looked at is broken.
        """
        done: set[str] = set()
        for place, index in self.indexes.items():
            others = [one for one in self.indexes.values() if one is not index]
            for record in index.matching(wish):
                if record.name in done:
                    continue
                if not any(one.named(record.name) for one in others):
                    yield Entry(registry=place, record=record)
                    continue
                done.add(record.name)
                yield from (
                    one for one in latest(self.named(record.name)) if wish.matches(one.record)
                )

    def near(self, name: str) -> list[str]:
        """Give names that look like one that is not there."""
        known = [one for index in self.indexes.values() for one in index.names(name)]
        return difflib.get_close_matches(name, dict.fromkeys(known), n=3)


def opened(*, progress: Progress | None = None) -> Stock:
    """Open the indexes of all registries.

    Args:
        progress: Where to say that one cannot be used or that an old copy serves; a Python warning
            if not given.

    Raises:
        NotFoundError: A folder has no index.
        ManifestError: The index of a folder is broken.
        UsageError: A registry's URL is none.
    """
    indexes: dict[str, Catalogue] = {}
    failures = []
    for place in sources.registries():
        try:
            indexes[place] = _index(place, progress)
        except NetworkError as error:
            failures.append(error.found)
            tell(progress, error.found)
    return Stock(indexes=indexes, failures=tuple(failures))


def entries(*, progress: Progress | None = None) -> list[Entry]:
    """Give all entries of all registries, by name and version.

    Raises:
        NotFoundError: A folder has no index.
        ManifestError: An index is broken.
    """
    return opened(progress=progress).all()


def latest(found: Iterable[Entry]) -> list[Entry]:
    """Keep of each name the newest version that is not yanked.

    Args:
        found: By name and version; pre-releases count only among themselves.
    """
    versions: dict[str, dict[str, Entry]] = {}
    for one in found:
        versions.setdefault(one.record.name, {})[one.record.version] = one
    chosen = (
        (each, newest(one.record for one in reversed(each.values()))) for each in versions.values()
    )
    return [each[record.version] for each, record in chosen if record is not None]


def search(wish: Wish, *, progress: Progress | None = None) -> list[Entry]:
    """Give the newest versions that are what somebody looks for, by name.

    Raises:
        NotFoundError: A folder has no index.
        ManifestError: An index is broken.
    """
    found = opened(progress=progress).matching(wish)
    return sorted(found, key=lambda one: one.record.name)


def find(name: str, *, progress: Progress | None = None) -> Entry:
    """Resolve ``name`` or ``name@version`` in the registries.

    Raises:
        UsageError: This can be no name.
        NotFoundError: No registry has it; the message says which names are near.
        Unreachable: No registry at hand has it, and one cannot be asked.
    """
    parsed = names.parse(name)
    if parsed.kind == "hub":
        raise UsageError(f"{name} names a repository on a Hub, not a query of a registry")
    stock = opened(progress=progress)
    versions = stock.named(parsed.text)
    found = (
        latest(versions)
        if parsed.version is None
        else [one for one in versions if one.record.version == parsed.version]
    )
    if not found:
        raise _missing(parsed, stock, [one.record.version for one in versions])
    return found[0]


def _missing(parsed: names.Name, stock: Stock, have: list[str]) -> NotFoundError | Unreachable:
    """Say why a name was not found."""
    plain = parsed.text
    if stock.failures:
        asked = plain if parsed.version is None else f"{plain}@{parsed.version}"
        return Unreachable(
            f"no registry at hand has {asked}, and {stock.failures[0]}",
            hint="try again later",
        )
    if have and parsed.version is None:
        return NotFoundError(f"all versions of {plain} are yanked", hint="pin one with @version")
    if have:
        return NotFoundError(
            f"{plain} has no version {parsed.version}", hint=f"it has {', '.join(have)}"
        )
    what = f"no registry has a query named {plain!r}"
    if places.has(Path(plain), artifact.MANIFEST):
        return NotFoundError(what, hint=f"for the folder, say ./{plain}")
    near = stock.near(plain)
    return NotFoundError(
        what, hint=f"did you mean {' or '.join(near)}?" if near else "`retq list` shows all"
    )


def _merged(found: Iterable[tuple[str, list[Record]]]) -> list[Entry]:
    first: dict[str, Entry] = {}
    for place, records in found:
        for record in records:
            first.setdefault(record.key, Entry(registry=place, record=record))
    return sorted(
        first.values(), key=lambda one: (one.record.name, names.order(one.record.version))
    )


def _index(place: str, progress: Progress | None) -> Catalogue:
    if not sources.is_url(place):
        return _read(places.path_of(place) / FILE)
    from retq_hub import site

    kept = site.copy(place)
    if kept.note:
        tell(progress, f"registry {place}: {kept.note}")
    return _read(kept.index)


def _read(path: Path) -> Catalogue:
    try:
        found = path.stat()
    except OSError:
        return catalogue.read(path)
    return _remembered(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=8)
def _remembered(path: Path, changed_ns: int, size: int) -> Catalogue:
    """Read an index once as long as it does not change."""
    return catalogue.read(path)
