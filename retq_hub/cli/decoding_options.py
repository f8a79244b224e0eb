"""The option that says how photographs are decoded."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["decoding_option"]

F = TypeVar("F", bound=Callable[..., Any])


def decoding_option(command: F) -> F:
    """Add ``--decoding`` to a command."""
    return click.option(
        "--decoding",
        type=click.Choice(["full", "scaled"]),
        help="scaled: decode JPEGs only as large as needed; faster. [default: full]",
    )(command)
