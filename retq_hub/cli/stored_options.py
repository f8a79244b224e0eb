"""Options of commands that read stored tokens in the place of photographs."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from retq_hub.errors import UsageError

if TYPE_CHECKING:
    from retq_hub.store.store import Store

__all__ = ["check_given", "from_tokens_option", "open_store"]

Command = TypeVar("Command", bound=Callable[..., Any])


def from_tokens_option(command: Command) -> Command:
    """Add ``--from-tokens``."""
    return click.option(
        "--from-tokens",
        type=click.Path(path_type=Path),
        metavar="STORE",
        help="Read what `retq embed` stored, not the backbone.",
    )(command)


def check_given(store: Path | None, images: tuple[str, ...], **others: object) -> None:
    """Refuse neither images nor a store, both, and what does not go with either.

    Args:
        store: What ``--from-tokens`` names.
        images: What the user named.
        others: Options that need photographs or a backbone.

    Raises:
        UsageError: Something does not fit.
    """
    if store is None and not images:
        raise UsageError("there are no images", hint="name files, folders or patterns")
    if store is None:
        return
    given = ["IMAGES"] if images else []
    given += [f"--{name}" for name, value in others.items() if value]
    if given:
        raise UsageError(
            f"--from-tokens reads a store alone, in this process: {', '.join(given)} cannot be "
            "given beside it",
            hint="leave one out",
        )


def open_store(folder: Path | None) -> "Store | None":
    """Open the store that ``--from-tokens`` names, if it does."""
    if folder is None:
        return None
    from retq_hub.store.store import Store

    return Store(folder)
