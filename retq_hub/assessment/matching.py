"""Which target of a query is which label of a data set."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retq_hub.errors import UsageError
from retq_hub.labels.labelset import LabelSet
from retq_hub.manifest import QueryManifest, Target

__all__ = ["Match", "match"]


@dataclass(frozen=True, kw_only=True)
class Match:
    """Labels in a query's words.

    Attributes:
        targets: The query's targets that are scored: all, or the findings that have labels.
        columns: Their numbers among all of the query's targets.
        truth: (n,) int64, the number of each image's target; of findings (n, C) bool.
        note: What the user should know of it; may be empty.
    """

    targets: tuple[Target, ...]
    columns: list[int]
    truth: NDArray[np.int64] | NDArray[np.bool_]
    note: str


def match(manifest: QueryManifest, labels: LabelSet) -> Match:
    """Find the labels' targets among the query's: by name, else by order.

    Grades may be fewer than the query's: a data set need not show the highest.

    Args:
        manifest: The query's.
        labels: The split.

    Raises:
        UsageError: Labels are grades or classes and the query tells findings, or the other way
            round; or there are other targets than the query's, or some of them elsewhere.
    """
    _check_scale(manifest, labels)
    ours = [one.name for one in manifest.targets]
    theirs = [one.name for one in labels.targets]
    note = ""
    if set(theirs) <= set(ours):
        columns = [ours.index(name) for name in theirs]
    elif _is_in_order(ours, theirs, labels.scale):
        columns = list(range(len(theirs)))
        note = (
            f"{manifest.name} calls its targets {', '.join(ours)}, the labels are "
            f"{', '.join(theirs)}: they are taken in this order"
        )
    else:
        raise UsageError(
            f"{manifest.name} tells {len(ours)} targets ({', '.join(ours)}), the labels of "
            f"{labels.id} are {len(theirs)} ({', '.join(theirs)})",
            hint="name the --column that holds what it tells",
        )
    if labels.scale == "multilabel":
        targets = tuple(manifest.targets[one] for one in columns)
        return Match(targets=targets, columns=columns, truth=labels.values, note=note)
    return Match(
        targets=manifest.targets,
        columns=list(range(len(ours))),
        truth=np.array(columns, dtype=np.int64)[labels.values.astype(np.int64)],
        note=note,
    )


def _is_in_order(ours: list[str], theirs: list[str], scale: str) -> bool:
    """Whether the order may say what names do not: names of both must not contradict it."""
    alike = len(theirs) == len(ours) or (scale == "ordinal" and len(theirs) < len(ours))
    places = {name: number for number, name in enumerate(ours)}
    return alike and all(places.get(name, n) == n for n, name in enumerate(theirs))


def _check_scale(manifest: QueryManifest, labels: LabelSet) -> None:
    several = manifest.head.activation == "sigmoid"
    if several != (labels.scale == "multilabel"):
        tells = "findings that may stand together" if several else "one class of an image"
        raise UsageError(
            f"{manifest.name} tells {tells}, the labels of {labels.id} are {labels.scale}",
            hint="--scale multilabel reads columns of findings, 0 or 1; ordinal grades; "
            "multiclass classes",
        )
