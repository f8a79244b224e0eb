"""The options that say what runs a backbone."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from retq_hub.engines.choice import ENGINES, PLAIN, PRECISIONS

__all__ = ["engine_options"]

Command = TypeVar("Command", bound=Callable[..., Any])


def engine_options(command: Command) -> Command:
    """Add ``--engine`` and ``--precision``."""
    precision = click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        default=PLAIN.precision,
        show_default=True,
        help="In what it computes.",
    )
    engine = click.option(
        "--engine",
        type=click.Choice(ENGINES),
        default=PLAIN.engine,
        show_default=True,
        help="What runs the backbone; auto: the fastest here that marks the same.",
    )
    return engine(precision(command))
