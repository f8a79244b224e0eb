"""What a name stands for where it may be a query's or a composed pipeline's.

A plain name is a query's of a registry; for it nothing is loaded that reads locks or asks a Hub.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from retq_hub import names, registry
from retq_hub.progress import Progress

if TYPE_CHECKING:
    from retq_hub.composition import Composition

__all__ = ["either", "pull"]

T = TypeVar("T")


def either(
    name: str, query: Callable[[], T], *, progress: Progress | None = None
) -> "T | Composition":
    """Give the composed pipeline that a name stands for, or else what it gives as a query's name.

    Args:
        name: As for a query: a name of a registry or a Hub, or a path.
        query: Looks the name up as a query's.
        progress: As for `retq_hub.composition.locate`.

    Raises:
        RetqError: As ``query``, or as `retq_hub.composition.locate`.
    """
    if _is_plain(name):
        return query()
    from retq_hub import composition

    return composition.either(name, query, progress=progress)


def pull(name: str, *, into: Path | None = None, progress: Progress | None = None) -> Path:
    """Get a query, or a composed pipeline with all its queries, verified; no backbone is fetched.

    Args:
        name: As for `retq_hub.registry.pull`, or a composed pipeline's.
        into: A folder in which ``<name>/`` is made; the cache if not given.
        progress: Where to say what should be known.

    Returns:
        Where it lies.

    Raises:
        UsageError: A folder of that name holds something else, or a copy would not be whole.
        RetqError: As `retq_hub.registry.pull` and `retq_hub.composition.locate`, or of a member.
    """
    found = either(
        name, lambda: registry.pull(name, into=into, progress=progress), progress=progress
    )
    if isinstance(found, Path):
        return found
    from retq_hub import assembly

    return assembly.fetch(found, into=into, progress=progress)


def _is_plain(name: str) -> bool:
    """Whether a name can only be a query's of a registry."""
    return not ("/" in name or names.is_path(name) or name.endswith(".lock"))
