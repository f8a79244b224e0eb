"""``--areas``: write what is said of images, and no pictures of it."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from retq_hub.errors import UsageError

__all__ = ["areas_option", "check_areas"]

Command = TypeVar("Command", bound=Callable[..., Any])


def areas_option(command: Command) -> Command:
    """Add ``--areas``."""
    return click.option("--areas", is_flag=True, help="Write rows only: no masks, no pictures.")(
        command
    )


def check_areas(areas: bool, *, probability: str | None, volumes: bool) -> None:
    """Refuse what cannot be had with rows alone.

    Args:
        areas: Whether no masks and pictures are to be written.
        probability: What was said of writing probabilities.
        volumes: Whether there are volumes among the images.

    Raises:
        UsageError: Probabilities are asked for, or there are volumes.
    """
    if areas and probability:
        raise UsageError(
            f"--areas writes no maps, but --probability {probability} asks for some",
            hint="leave one of them out",
        )
    if areas and volumes:
        raise UsageError(
            "--areas is for photographs, but there are volumes among the images",
            hint="leave --areas or the volumes out",
        )
