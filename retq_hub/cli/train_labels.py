"""``retq train-labels``: fit an artifact that grades images to labelled images."""

from pathlib import Path
from typing import Any

import click

from retq_hub.cli.console import BarProgress, print_json
from retq_hub.cli.options import (
    artifact_options,
    json_option,
    label_options,
    licence_named,
    open_labels,
    slug,
)

__all__ = ["train_labels_command"]


@click.command("train-labels")
@label_options(split="train")
@artifact_options(folder="The artifact's folder.", owner="The artifact's", says="what it says")
@click.option(
    "--recipe",
    "kind",
    type=click.Choice(["exact", "flair"]),
    default="exact",
    show_default=True,
    help="flair: as FLAIR's linear probe, nothing is chosen.",
)
@click.option(
    "--pooling",
    type=click.Choice(["embedding", "mean", "attention"]),
    default="embedding",
    show_default=True,
    help="How an image becomes one vector; attention: learned from the labels too.",
)
@click.option("--weigh-by", help="A segmentation query whose map weighs the tokens.")
@click.option(
    "--basis",
    "bases",
    multiple=True,
    help="Whose tokens are averaged, as 7 or 3,7; several: tried.",
)
@click.option("--max-layers", default=1, show_default=True, help="Layers combined in the search.")
@click.option("--vectors", default=1, show_default=True, help="Attention vectors to be learned.")
@click.option("--l2", type=float, help="Weight of the L2 term; searched if not given.")
@click.option("--balanced", is_flag=True, help="All classes count the same.")
@click.option("--seed", default=0, show_default=True, help="Deals the images into folds.")
@click.option("--backbone", help="Its id; the default one if not given.")
@click.option("--author", multiple=True, help="Who made it; may be given several times.")
@click.option("--licence", help="SPDX identifier; the data set's licence if not given.")
@json_option
def train_labels_command(
    output: Path,
    name: str | None,
    number: str,
    summary: str | None,
    kind: Any,  # noqa: ANN401 - one of click's choices
    pooling: Any,  # noqa: ANN401 - one of click's choices
    weigh_by: str | None,
    bases: tuple[str, ...],
    max_layers: int,
    vectors: int,
    l2: float | None,
    balanced: bool,
    seed: int,
    backbone: str | None,
    author: tuple[str, ...],
    licence: str | None,
    as_json: bool,
    **labels: Any,  # noqa: ANN401 - the label set's options
) -> None:
    """Train on images with labels, and write an artifact that grades images.

    What is left open is chosen by cross-validation over the given images. A killed run carries on
    where it was.
    """
    found = open_labels(**labels, default_split="train")
    from retq_hub.backbone import Backbone
    from retq_hub.labels.recipe import LabelRecipe
    from retq_hub.labels.training import train_labels
    from retq_hub.manifest import to_json
    from retq_hub.query import Query

    progress = BarProgress()
    manifest = train_labels(
        found,
        output,
        name=name or slug(output.resolve().name),
        version=number,
        summary=summary,
        recipe=LabelRecipe(
            kind=kind,
            pooling=pooling,
            bases=bases,
            max_layers=max_layers,
            vectors=vectors,
            l2=l2,
            balanced=balanced,
            seed=seed,
        ),
        weigh_by=None if weigh_by is None else Query.from_pretrained(weigh_by, progress=progress),
        backbone=None if backbone is None else Backbone.asleep(backbone, progress=progress),
        licence=licence_named(licence),
        authors=author or ("not named",),
        progress=progress,
    )
    if not as_json:
        click.echo(str(output))
        return
    print_json(
        {
            "folder": str(output),
            "name": manifest.name,
            "version": manifest.version,
            "digest": manifest.digest,
            "basis": to_json(manifest.basis),
            "pooling": to_json(manifest.pooling),
            "l2": manifest.training.l2,
            "head": to_json(manifest.head),
            "trials": to_json(manifest.training.trials or ()),
        }
    )
