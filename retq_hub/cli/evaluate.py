"""``retq evaluate``: score a query on a split with masks, or with labels."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from retq_hub.cli import assessment
from retq_hub.cli.console import BarProgress, print_json, print_table
from retq_hub.cli.options import (
    dataset_options,
    json_option,
    label_options,
    open_dataset,
    open_labels,
)
from retq_hub.cli.stored_options import from_tokens_option, open_store
from retq_hub.errors import UsageError
from retq_hub.storage import check_writable

if TYPE_CHECKING:
    from retq_hub.comparison import Comparison
    from retq_hub.figures import Evaluation

__all__ = ["evaluate_command"]


@click.command("evaluate")
@click.argument("query")
@dataset_options(split="test", needs_target=False)
@label_options()
@click.option("--against", metavar="QUERY", help="Compare with another query, image by image.")
@click.option(
    "--size",
    "size_px",
    type=click.IntRange(32, 2048),
    help="Side of the square that is compared, in pixels; 392 if not given.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    help="Folder for report.html and evaluation.json.",
)
@click.option("--record", "keep", is_flag=True, help="Put the figures into the query's manifest.")
@click.option("--allow-mismatch", is_flag=True, help="Even if made for another backbone.")
@from_tokens_option
@json_option
def evaluate_command(
    query: str,
    against: str | None,
    size_px: int | None,
    report: Path | None,
    keep: bool,
    allow_mismatch: bool,
    from_tokens: Path | None,
    as_json: bool,
    labels: Path | None,
    column: tuple[str, ...],
    scale: str | None,
    **data: Any,  # noqa: ANN401 - the data set's options
) -> None:
    """Score QUERY on a split: masks per image, over all pixels and per lesion, or labels."""
    if keep and allow_mismatch:
        raise UsageError(
            "--record keeps figures of the backbone that a query was made for, --allow-mismatch "
            "lets others in",
            hint="leave one of the two out",
        )
    if labels or column:
        wanted = assessment.Wanted(
            against=against,
            report=report,
            keep=keep,
            allow_mismatch=allow_mismatch,
            store=open_store(from_tokens),
            as_json=as_json,
        )
        _assess(query, labels, column, scale, wanted, size=size_px, **data)
        return
    dataset = open_dataset(**data, default_split="test")
    from retq_hub import registry, scorecard
    from retq_hub.evaluation import EVALUATION_PX, evaluate, record

    size_px = size_px or EVALUATION_PX
    if keep and size_px != EVALUATION_PX:
        raise UsageError(
            f"--record keeps figures at {EVALUATION_PX} pixels, not at --size {size_px}",
            hint="leave one of the two out",
        )
    if report:
        check_writable(report)
    progress = BarProgress()
    folder = registry.locate(query, progress=progress)
    found = evaluate(
        folder,
        dataset,
        against=registry.locate(against, progress=progress) if against else None,
        size_px=size_px,
        store=open_store(from_tokens),
        allow_mismatch=allow_mismatch,
        progress=progress,
    )
    if keep:
        found = replace(found, manifest=record(folder, found))
        click.echo(f"recorded in {folder}, whose digest is {found.manifest.digest[:12]}", err=True)
    if report:
        scorecard.write_scorecard(report, found, dataset=dataset)
    if as_json:
        print_json(found.document())
        return
    _print(found)
    if report:
        click.echo(f"\n{report / scorecard.PAGE}")


def _assess(
    query: str,
    labels: Path | None,
    column: tuple[str, ...],
    scale: str | None,
    wanted: assessment.Wanted,
    *,
    dataset: str | None,
    data: Path | None,
    split: str | None,
    table: Path | None,
    **masks: object,
) -> None:
    assessment.refuse_masks(csv=table, **masks)
    from retq_hub import artifact, registry

    progress = BarProgress()
    folder = registry.locate(query, progress=progress)
    found = open_labels(
        labels=labels,
        column=column,
        scale=scale,
        dataset=dataset,
        data=data,
        split=split,
        default_split="test",
        default_scale=assessment.default_scale(artifact.read_manifest(folder)),
    )
    assessment.run(folder, found, wanted, progress=progress)


def _print(found: "Evaluation") -> None:
    click.echo(
        f"{found.query} for {found.target} on {found.dataset}, split {found.split}: "
        f"{len(found.images)} images at {found.size_px} x {found.size_px} pixels, "
        f"threshold {found.threshold:g}\n"
    )
    rows = [
        (
            name,
            f"{one.mean:.4f}",
            f"{one.ci95[0]:.4f} - {one.ci95[1]:.4f}",
            *_from_worst(name, f"{one.min:.4f}", f"{one.max:.4f}"),
        )
        for name, one in found.metrics.items()
    ]
    print_table(("per image", "mean", "95 % interval", "worst", "best"), rows, right=4)
    _print_together(found)
    if found.groups:
        _print_groups(found)
    if found.against:
        _print_comparison(found.against)
    said = [
        f"{one.kind} {one.metrics.id} ({one.metrics.values['dice']:.4f})" for one in found.examples
    ]
    click.echo(f"\nby Dice: {', '.join(said)}")


def _from_worst(name: str, low: str, high: str) -> tuple[str, str]:
    return (high, low) if name == "hd95" else (low, high)


def _print_together(found: "Evaluation") -> None:
    pooled, lesions = found.pooled, found.lesions
    said = ", ".join(
        f"{name.upper()} {area:.4f}{_interval(pooled.ci95, name)}"
        for name, area in (("auroc", pooled.auroc), ("auprc", pooled.auprc))
    )
    click.echo(f"\nall pixels: {said}\n  expected calibration error {pooled.calibration_error:.4f}")
    low, high = lesions.ci95
    click.echo(
        f"{lesions.n_lesions} lesions: mean sensitivity {lesions.mean_sensitivity:.4f} "
        f"(95 % interval {low:.4f} - {high:.4f})\n"
        f"  at 1/8, 1/4, 1/2, 1, 2, 4, 8 false positives an image: "
        f"{', '.join(f'{one:.3f}' for one in lesions.sensitivities)}\n"
        f"  at the threshold {lesions.touched:.1%} of them touched, {lesions.false_regions:.2f} "
        "regions an image that touch none"
    )


def _interval(intervals: dict[str, tuple[float, float]] | None, name: str) -> str:
    if not intervals:
        return ""
    low, high = intervals[name]
    return f" ({low:.4f} - {high:.4f})"


def _print_groups(found: "Evaluation") -> None:
    names = [name for name in ("auroc", "auprc", "dice") if name in found.metrics]
    sizes = {group: sum(one.group == group for one in found.images) for group in found.groups}
    rows = [
        (
            group or "(not named)",
            str(sizes[group]),
            *(f"{figures[name].mean:.4f}" if name in figures else "-" for name in names),
        )
        for group, figures in found.groups.items()
    ]
    click.echo()
    print_table(("group", "images", *names), rows, right=1 + len(names))


def _print_comparison(against: "Comparison") -> None:
    rows = [
        (
            name,
            f"{one.mean:+.4f}",
            f"{one.ci95[0]:+.4f} to {one.ci95[1]:+.4f}",
            f"{one.wins}/{one.ties}/{one.losses}",
        )
        for name, one in against.differences.items()
    ]
    click.echo(f"\nagainst {against.query}, threshold {against.threshold:g}\n")
    print_table(("difference", "mean", "95 % interval", "wins/ties/losses"), rows, right=3)
