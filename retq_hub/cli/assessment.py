"""``retq evaluate`` with labels: score a query that speaks of whole images."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from retq_hub.cli.console import BarProgress, print_json, print_table
from retq_hub.errors import UsageError
from retq_hub.headline import GRADED
from retq_hub.storage import check_writable

if TYPE_CHECKING:
    from retq_hub.assessment.gradation import Figure
    from retq_hub.assessment.gradebook import Assessment, Other
    from retq_hub.labels.labelset import LabelSet
    from retq_hub.manifest import QueryManifest
    from retq_hub.store.store import Store

__all__ = ["Wanted", "default_scale", "refuse_masks", "run"]

_WIDEST = 10
_SCALES = {"ordinal": "ordinal", "softmax": "multiclass", "sigmoid": "multilabel"}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be done with an assessment."""

    against: str | None
    report: Path | None
    keep: bool
    allow_mismatch: bool
    store: "Store | None"
    as_json: bool


def default_scale(manifest: "QueryManifest") -> str:
    """Say how one column of labels is read for a query, if nothing else is said."""
    return _SCALES[manifest.head.activation]


def run(folder: Path, labels: "LabelSet", wanted: Wanted, *, progress: BarProgress) -> None:
    """Score a query on a split with labels and print what was found."""
    from dataclasses import replace

    from retq_hub import registry
    from retq_hub.assessment import gradesheet
    from retq_hub.assessment.scoring import assess, record

    if wanted.report:
        check_writable(wanted.report)
    found = assess(
        folder,
        labels,
        against=registry.locate(wanted.against, progress=progress) if wanted.against else None,
        store=wanted.store,
        allow_mismatch=wanted.allow_mismatch,
        progress=progress,
    )
    if wanted.keep:
        found = replace(found, manifest=record(folder, found))
        click.echo(f"recorded in {folder}, whose digest is {found.manifest.digest[:12]}", err=True)
    if wanted.report:
        gradesheet.write_gradesheet(wanted.report, found, labels=labels)
    if wanted.as_json:
        print_json(found.document())
        return
    _print(found)
    if wanted.report:
        click.echo(f"\n{wanted.report / gradesheet.PAGE}")


def refuse_masks(**given: object) -> None:
    """Refuse options that go with masks beside those that go with labels.

    Raises:
        UsageError: Some are given.
    """
    if wrong := [f"--{name}" for name, value in given.items() if value not in (None, ())]:
        raise UsageError(
            f"{', '.join(wrong)} and labels do not go together",
            hint="masks have a --target, labels a --column",
        )


def _print(found: "Assessment") -> None:
    click.echo(
        f"{found.query} on {found.dataset}, split {found.split}: {len(found.images)} images, "
        f"{len(found.targets)} {'findings' if found.confusion is None else 'classes'}\n"
    )
    _print_figures(found.figures)
    rows = [
        (
            one.name,
            str(one.n_images),
            str(one.n_predicted),
            _share(one.sensitivity),
            _share(one.specificity),
            f"{one.auroc.value:.4f}" if one.auroc else "-",
        )
        for one in found.classes
    ]
    click.echo()
    heads = ("", "images", "predicted", "sensitivity", "specificity", "AUROC")
    print_table(heads, rows, right=5)
    _print_confusion(found)
    click.echo(f"\nexpected calibration error {found.calibration_error:.4f}")
    _print_groups(found)
    if found.against:
        _print_differences(found.against)
    said = [f"{one.kind} {one.graded.id}" for one in found.typical]
    click.echo(f"\nby the probability of what is true: {', '.join(said)}")


def _print_figures(figures: "dict[str, Figure]") -> None:
    rows = [
        (GRADED[name], f"{one.value:.4f}", f"{one.ci95[0]:.4f} - {one.ci95[1]:.4f}")
        for name, one in figures.items()
    ]
    print_table(("over all images", "value", "95 % interval"), rows, right=2)
    most = max((one.n_resamples for one in figures.values()), default=0)
    fewer = [
        f"{GRADED[name]} {one.n_resamples}"
        for name, one in figures.items()
        if one.n_resamples < most
    ]
    if fewer:
        click.echo(
            f"of {most} resamples those that lack a class do not count:\n  {', '.join(fewer)}"
        )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _print_confusion(found: "Assessment") -> None:
    if found.confusion is None or len(found.confusion) > _WIDEST:
        return
    numbers = [str(number) for number in range(len(found.confusion))]
    rows = [
        (f"{number} {name}", *map(str, row))
        for number, name, row in zip(numbers, found.targets, found.confusion, strict=True)
    ]
    click.echo()
    print_table(("true \\ predicted", *numbers), rows, right=len(numbers))


def _print_groups(found: "Assessment") -> None:
    if not found.groups:
        return
    names = list(found.figures)
    rows = [
        (
            group or "(not named)",
            str(one.n_images),
            *(f"{one.figures[name].value:.4f}" if name in one.figures else "-" for name in names),
        )
        for group, one in found.groups.items()
    ]
    click.echo()
    heads = ("group", "images", *(GRADED[name] for name in names))
    print_table(heads, rows, right=1 + len(names))


def _print_differences(against: "Other") -> None:
    rows = [
        (GRADED[name], f"{one.value:+.4f}", f"{one.ci95[0]:+.4f} to {one.ci95[1]:+.4f}")
        for name, one in against.differences.items()
    ]
    click.echo(f"\nagainst {against.query}\n")
    print_table(("difference", "value", "95 % interval"), rows, right=2)
