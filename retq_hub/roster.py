"""The queries of a pipeline by name: loaded, pinned by a lock, held against a backbone."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from retq_hub import compatibility, syncing
from retq_hub.composition import Composition
from retq_hub.errors import BackboneMismatch, DigestMismatch, UsageError
from retq_hub.lock import PinnedQuery
from retq_hub.progress import Progress
from retq_hub.query import Query
from retq_hub.spec import BackboneSpec

__all__ = ["check_shape", "checked", "named", "pinned"]


def named(
    queries: Iterable[str | Path | Query],
    *,
    names: Iterable[str] = (),
    progress: Progress | None = None,
) -> dict[str, Query]:
    """Load queries and name them: as the user named them, folders by the manifest's name.

    Args:
        queries: Names, folders, repositories on the Hub, or queries.
        names: What the first of them are called.
        progress: Where to report what is to be said of them.

    Raises:
        UsageError: Two have one name, or there is none.
        NotFoundError: There is no such query.
    """
    queries = [queries] if isinstance(queries, str | Path | Query) else queries
    given = list(names)
    found: dict[str, Query] = {}
    for number, one in enumerate(queries):
        query = one if isinstance(one, Query) else Query.from_pretrained(one, progress=progress)
        plain = isinstance(one, str) and "/" not in one and not one.startswith(".")
        name = str(one).partition("@")[0] if plain else query.manifest.name
        name = given[number] if number < len(given) else name
        if name in found:
            raise UsageError(
                f"two queries are named {name!r}",
                hint="leave one out, or give Pipeline(queries={...}) names of your own",
            )
        found[name] = query
    if not found:
        raise UsageError("a pipeline needs at least one query", hint="`retq list` shows them")
    return found


def pinned(located: Composition, *, progress: Progress | None = None) -> dict[str, Query]:
    """Load the queries that a lock pins, and no others; what is not here yet is fetched.

    Args:
        located: The lock, and where it lies.
        progress: Where to report a download.

    Raises:
        NotFoundError: A member is no longer where the lock says.
        IntegrityError: Something is not what is pinned; both digests are named.
        NetworkError: What is missing cannot be fetched.
    """
    return {one.name: _exactly(one, located.base, progress) for one in located.lock.queries}


def checked(queries: Mapping[str, Query], check: Callable[[Query], str | None]) -> list[str]:
    """Hold queries against a backbone; give what the user should know, a line each.

    Args:
        queries: By name.
        check: Decides on one of them; gives what is to be said of it, if anything.

    Raises:
        BackboneMismatch: As ``check``; the query is named.
    """
    notes: list[str] = []
    for name, query in queries.items():
        try:
            note = check(query)
        except BackboneMismatch as error:
            raise BackboneMismatch(f"{name}: {error.found}", hint=error.hint) from error
        notes += [f"{name}: {note}"] if note else []
    return notes


def check_shape(query: Query, spec: BackboneSpec) -> None:
    """Refuse a query that reads what a backbone does not have.

    Raises:
        BackboneMismatch: It reads a layer that is not there, or has vectors of another width.
    """
    compatibility.check_shape(
        query.manifest,
        spec,
        floats=query.vector.shape[1],
        attention=None if query.attention is None else query.attention[0].shape,
    )


def _exactly(one: PinnedQuery, base: Path, progress: Progress | None) -> Query:
    """Load a query of a lock."""
    query = Query.from_pretrained(syncing.find(one, base, progress=progress).folder)
    if (actual := query.manifest.digest) != one.digest:
        what = f"{one.name}, changed meanwhile,"
        raise DigestMismatch(what, expected=one.digest, actual=actual, hint="try again")
    return query
