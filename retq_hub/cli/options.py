"""Options that several commands share."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from retq_hub import names
from retq_hub.errors import UsageError

if TYPE_CHECKING:
    from retq_hub.dataset import Dataset
    from retq_hub.manifest import Licence

__all__ = ["dataset_options", "json_option", "licence_named", "open_dataset", "slug"]

Command = TypeVar("Command", bound=Callable[..., Any])

_PATH = click.Path(path_type=Path)


def json_option(command: Command) -> Command:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(command)


def dataset_options(*, split: str, several: bool = False) -> Callable[[Command], Command]:
    """Add the options that name a split of a data set.

    Args:
        split: The split that is used if none is named.
        several: Whether more than one target may be named.
    """
    options = (
        click.option("--dataset", help="A published data set: idrid or hvdropdb."),
        click.option("--data", type=_PATH, help="Folder of the published data set."),
        click.option("--images", type=_PATH, help="Your own images, with --masks."),
        click.option("--masks", type=_PATH, help="Masks named like their images."),
        click.option("--csv", "table", type=_PATH, help="A CSV with image, mask and split."),
        click.option(
            "--target",
            required=True,
            multiple=True,
            help="What the masks mark: disc, lesions ..."
            + (" Several make one query of several vectors." if several else ""),
        ),
        click.option("--split", help=f"train, test or all; {split} if not given."),
    )

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def open_dataset(
    *,
    dataset: str | None,
    data: Path | None,
    images: Path | None,
    masks: Path | None,
    table: Path | None,
    target: str | tuple[str, ...],
    split: str | None,
    default_split: str,
) -> "Dataset":
    """Open the data set that the options name.

    Raises:
        UsageError: They name none, or several.
    """
    from retq_hub import datasets

    if not isinstance(target, str):
        if len(target) != 1:
            raise UsageError(
                f"targets {', '.join(target)}: one is scored at a time", hint="name one --target"
            )
        (target,) = target
    ways = [dataset is not None, images is not None or masks is not None, table is not None]
    if sum(ways) != 1:
        raise UsageError(
            "name the data in one way",
            hint="--dataset NAME --data DIR, or --images DIR --masks DIR, or --csv FILE",
        )
    part = split or default_split
    if table is not None:
        return datasets.from_csv(table, target=target, split=part, name=table.stem)
    if dataset is None:
        if images is None or masks is None:
            raise UsageError("--images and --masks go together")
        if split not in (None, "all"):
            raise UsageError(
                f"--images and --masks have no split {split!r}", hint="list the pairs in a CSV"
            )
        return datasets.from_folders(images, masks, target=target, name=images.resolve().name)
    if data is None:
        raise UsageError(f"--dataset {dataset} needs --data", hint="the folder it lies in")
    return datasets.open_dataset(dataset, data, target=target, split=part)


def licence_named(identifier: str | None) -> "Licence | None":
    """Make a licence of its identifier; ``NC`` in it forbids commercial use."""
    from retq_hub.manifest import Licence

    if identifier is None:
        return None
    return Licence(id=identifier, commercial_use=False if "NC" in identifier.split("-") else None)


def slug(name: str) -> str:
    """Make a query's name of a folder's."""
    return re.sub(r"[^a-z0-9.]+", "-", names.folded(name)).strip("-.")
