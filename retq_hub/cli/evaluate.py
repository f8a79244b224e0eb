"""``retq evaluate``: score a query on a split."""

from typing import Any

import click

from retq_hub.cli.console import BarProgress, print_json, print_table
from retq_hub.cli.options import dataset_options, json_option, open_dataset

__all__ = ["evaluate_command"]


@click.command("evaluate")
@click.argument("query")
@dataset_options(split="test")
@click.option("--record", "keep", is_flag=True, help="Put the figures into the query's manifest.")
@click.option("--allow-mismatch", is_flag=True, help="Even if made for another backbone.")
@json_option
def evaluate_command(
    query: str,
    keep: bool,
    allow_mismatch: bool,
    as_json: bool,
    **data: Any,  # noqa: ANN401 - the data set's options
) -> None:
    """Score QUERY per image on a split: AUROC, AUPRC, Dice and IoU at 392 x 392 pixels."""
    dataset = open_dataset(**data, default_split="test")
    from retq_hub import registry
    from retq_hub.evaluation import evaluate, record

    folder = registry.locate(query)
    found = evaluate(folder, dataset, allow_mismatch=allow_mismatch, progress=BarProgress())
    if keep:
        record(folder, found)
    if as_json:
        print_json(found.document())
        return
    click.echo(
        f"{found.query} on {found.dataset}, split {found.split}: {len(found.images)} images, "
        f"threshold {found.threshold:g}"
    )
    rows = [
        (
            name,
            f"{one.mean:.4f}",
            f"{one.ci95[0]:.4f} - {one.ci95[1]:.4f}",
            f"{one.min:.4f}",
            f"{one.max:.4f}",
        )
        for name, one in found.metrics.items()
    ]
    print_table(("", "mean", "95 % interval", "worst", "best"), rows, right=4)
