"""Options that several commands share."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from retq_hub import names
from retq_hub.errors import UsageError

if TYPE_CHECKING:
    from retq_hub.dataset import Dataset
    from retq_hub.labels.labelset import LabelSet
    from retq_hub.manifest import Licence

__all__ = [
    "artifact_options",
    "dataset_options",
    "json_option",
    "label_options",
    "licence_named",
    "open_dataset",
    "open_labels",
    "slug",
]

Command = TypeVar("Command", bound=Callable[..., Any])

_PATH = click.Path(path_type=Path)


def json_option(command: Command) -> Command:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(command)


def artifact_options(
    *, folder: str = "The query's folder.", owner: str = "The query's", says: str = "what it marks"
) -> Callable[[Command], Command]:
    """Add the options that say where an artifact that is made lies, and what it is called.

    Args:
        folder: What ``--output`` is.
        owner: Whose ``--name`` is given.
        says: What ``--summary`` is a line on.
    """
    return _adding(
        [
            click.option("-o", "--output", type=_PATH, required=True, help=folder),
            click.option("--name", help=f"{owner} name; the folder's if not given."),
            click.option(
                "--version",
                "number",
                default="1.0.0",
                show_default=True,
                callback=_checked_version,
                help="Its version.",
            ),
            click.option("--summary", help=f"A line on {says}."),
        ]
    )


def dataset_options(
    *, split: str, several: bool = False, needs_target: bool = True
) -> Callable[[Command], Command]:
    """Add the options that name a split of a data set.

    Args:
        split: The split that is used if none is named.
        several: Whether more than one target may be named.
        needs_target: Whether one must be named; not where labels may be given in place of masks.
    """
    options = [
        click.option("--dataset", help="A published data set: idrid or hvdropdb."),
        click.option("--data", type=_PATH, help="Folder of the published data set."),
        click.option("--images", type=_PATH, help="Your own images, with --masks."),
        click.option("--masks", type=_PATH, help="Masks named like their images."),
        click.option("--csv", "table", type=_PATH, help="A CSV with image, mask and split."),
        click.option(
            "--target",
            required=needs_target,
            multiple=True,
            help="What the masks mark: disc, lesions ..."
            + (" Several make one query of several vectors." if several else ""),
        ),
        _split_option(split),
    ]
    return _adding(options)


def label_options(*, split: str | None = None) -> Callable[[Command], Command]:
    """Add the options that name a split with image-level labels.

    Args:
        split: The split that is used if none is named; None for a command that has the options of
            `dataset_options` already.
    """
    options = [
        click.option("--labels", type=_PATH, help="A CSV with image, labels and split."),
        click.option(
            "--column",
            multiple=True,
            help="The column of labels. Several are findings that may stand together.",
        ),
        click.option("--scale", help="What labels are: ordinal, multiclass or multilabel."),
    ]
    if split:
        options += [
            click.option("--dataset", help="A published data set: idrid-grading."),
            click.option("--data", type=_PATH, help="Folder of the published data set."),
            _split_option(split),
        ]
    return _adding(options)


def _checked_version(_: click.Context, __: click.Parameter, number: str) -> str:
    if names.version_of(number) != number:
        raise UsageError(f"--version {number} is no version", hint="it looks like 1.1.0")
    return number


def _split_option(split: str) -> Callable[[Command], Command]:
    return click.option("--split", help=f"train, test or all; {split} if not given.")


def _adding(options: Sequence[Callable[[Command], Command]]) -> Callable[[Command], Command]:
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
        if not target:
            raise UsageError(
                "no target is named", hint="--target says what masks mark, --column which labels"
            )
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


def open_labels(
    *,
    labels: Path | None,
    column: tuple[str, ...],
    scale: str | None,
    dataset: str | None,
    data: Path | None,
    split: str | None,
    default_split: str,
    default_scale: str | None = None,
) -> "LabelSet":
    """Open the labelled images that the options name.

    Without ``default_scale`` it must be said what one column of a CSV holds.

    Raises:
        UsageError: They name none, or several, or it is not clear what a column holds.
    """
    from retq_hub.labels import sets

    if (labels is None) == (dataset is None):
        raise UsageError(
            "name the labels in one way", hint="--labels FILE, or --dataset NAME --data DIR"
        )
    if not column:
        raise UsageError("no column of labels is named", hint="name it with --column")
    part = split or default_split
    if labels is not None:
        scale = scale or ("multilabel" if len(column) > 1 else default_scale)
        if scale is None:
            raise UsageError(
                f"nothing says what the labels in {column[0]!r} are",
                hint="--scale ordinal for grades, multiclass for classes, multilabel for a finding",
            )
        return sets.from_csv(labels, columns=column, split=part, scale=scale, name=labels.stem)
    if data is None:
        raise UsageError(f"--dataset {dataset} needs --data", hint="the folder it lies in")
    if len(column) > 1:
        raise UsageError(f"{dataset} is read one column at a time", hint="name one --column")
    return sets.open_labels(str(dataset), data, column=column[0], split=part)


def licence_named(identifier: str | None) -> "Licence | None":
    """Make a licence of its identifier; ``NC`` in it forbids commercial use."""
    from retq_hub.manifest import Licence

    if identifier is None:
        return None
    return Licence(id=identifier, commercial_use=False if "NC" in identifier.split("-") else None)


def slug(name: str) -> str:
    """Make a query's name of a folder's."""
    return re.sub(r"[^a-z0-9.]+", "-", names.folded(name)).strip("-.")
