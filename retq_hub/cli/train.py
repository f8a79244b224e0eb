"""``retq train``: fit a query to images and masks."""

from pathlib import Path
from typing import Any

import click

from retq_hub.cli.console import BarProgress, print_json
from retq_hub.cli.options import (
    artifact_options,
    dataset_options,
    json_option,
    licence_named,
    open_dataset,
    slug,
)
from retq_hub.cli.stored_options import from_tokens_option, open_store

__all__ = ["train_command"]


@click.command("train")
@dataset_options(split="train", several=True)
@artifact_options()
@click.option(
    "--recipe",
    "kind",
    type=click.Choice(["exact", "paper"]),
    default="exact",
    show_default=True,
    help="paper: as published, with thousands of backbone passes; takes --seed and --epochs only.",
)
@click.option(
    "--epochs",
    default=150,
    show_default=True,
    help="Epochs of the paper recipe's 150.",
)
@click.option(
    "--basis",
    "bases",
    multiple=True,
    help="What to read, as 7 or 2x2:7+1x1:3,7 or 1x1@518:7; several: tried.",
)
@click.option("--max-layers", default=1, show_default=True, help="Layers combined in the search.")
@click.option("--max-tiles", default=1, show_default=True, help="Tiles a side in the search.")
@click.option("--pixels", is_flag=True, help="Try pixel channels beside the tokens.")
@click.option("--flips", is_flag=True, help="Try averaging over two and four flips.")
@click.option("--sharpen", is_flag=True, help="Try upsampling led by the image.")
@click.option(
    "--views",
    default="plain",
    show_default=True,
    help="Views to train on, as plain,mirrored,brighter; docs/cli.md lists them.",
)
@click.option("--l2", type=float, help="Weight of the L2 term; searched if not given.")
@click.option(
    "--loss",
    type=click.Choice(["entropy", "softmax", "dice"]),
    default="entropy",
    show_default=True,
    help="What is minimised; softmax where targets exclude each other.",
)
@click.option(
    "--positive-weight",
    default=1.0,
    show_default=True,
    help="How much more they count.",
)
@click.option(
    "--measure",
    type=click.Choice(["dice", "iou"]),
    default="dice",
    show_default=True,
    help="What bases and thresholds are chosen by.",
)
@click.option(
    "--calibration",
    type=click.Choice(["prior", "platt", "isotonic", "none"]),
    default="prior",
    show_default=True,
    help="prior: above 0.5 is marked; platt, isotonic: probabilities are frequencies.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    help="Deals the images into folds.",
)
@click.option("--backbone", help="Its id; the default one if not given.")
@click.option("--author", multiple=True, help="Who made it; may be given several times.")
@click.option("--licence", help="SPDX identifier; the data set's licence if not given.")
@from_tokens_option
@json_option
def train_command(
    output: Path,
    name: str | None,
    number: str,
    summary: str | None,
    kind: Any,  # noqa: ANN401 - one of click's choices
    epochs: int,
    bases: tuple[str, ...],
    max_layers: int,
    max_tiles: int,
    pixels: bool,
    flips: bool,
    sharpen: bool,
    views: str,
    l2: float | None,
    loss: str,
    positive_weight: float,
    measure: Any,  # noqa: ANN401 - one of click's choices
    calibration: Any,  # noqa: ANN401 - one of click's choices
    seed: int,
    backbone: str | None,
    author: tuple[str, ...],
    licence: str | None,
    from_tokens: Path | None,
    as_json: bool,
    **data: Any,  # noqa: ANN401 - the data set's options
) -> None:
    """Train a query on images and masks, and write its artifact.

    Layers, L2 weight and threshold are chosen by cross-validation over the given images. A killed
    run carries on where it was.
    """
    targets: tuple[str, ...] = data.pop("target")
    sets = [open_dataset(**data, target=one, default_split="train") for one in targets]
    from retq_hub.backbone import Backbone
    from retq_hub.manifest import to_json
    from retq_hub.recipe import Recipe, loss_named
    from retq_hub.registry import DEFAULT_BACKBONE
    from retq_hub.training import train

    progress = BarProgress()
    store = open_store(from_tokens)
    done = train(
        sets,
        output,
        name=name or slug(output.resolve().name),
        version=number,
        summary=summary,
        recipe=Recipe(
            kind=kind,
            epochs=epochs,
            bases=bases,
            max_layers=max_layers,
            max_tiles=max_tiles,
            pixels=pixels,
            flips=flips,
            sharpen=sharpen,
            views=tuple(one.strip() for one in views.split(",")),
            l2=l2,
            loss=loss_named(loss, positive_weight=positive_weight),
            measure=measure,
            calibration=calibration,
            seed=seed,
        ),
        backbone=Backbone.asleep(backbone or DEFAULT_BACKBONE, progress=progress),
        store=store,
        licence=licence_named(licence),
        authors=author or ("not named",),
        progress=progress,
    )
    training = done.manifest.training
    if as_json:
        print_json(
            {
                "folder": str(done.folder),
                "name": done.manifest.name,
                "version": done.manifest.version,
                "digest": done.manifest.digest,
                "basis": to_json(done.manifest.basis),
                "l2": training.l2,
                "head": to_json(done.manifest.head),
                "trials": to_json(training.trials or ()),
                "loss": done.curve.rows[-1].loss,
            }
        )
        return
    click.echo(str(done.folder))
