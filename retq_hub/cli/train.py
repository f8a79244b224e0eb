"""``retq train``: fit a query to images and masks."""

import re
from pathlib import Path
from typing import Any

import click

from retq_hub.cli.console import BarProgress, print_json
from retq_hub.cli.options import dataset_options, json_option, open_dataset
from retq_hub.errors import UsageError

__all__ = ["train_command"]


@click.command("train")
@dataset_options(split="train")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The query's folder."
)
@click.option("--name", help="The query's name; the folder's if not given.")
@click.option("--version", "number", default="1.0.0", show_default=True, help="Its version.")
@click.option("--summary", help="A line on what it marks.")
@click.option("--layers", help="Blocks to read, such as 7 or 3,5,7; searched if not given.")
@click.option("--max-layers", default=1, show_default=True, help="Blocks combined in the search.")
@click.option("--l2", type=float, help="Weight of the L2 term; searched if not given.")
@click.option("--seed", default=0, show_default=True, help="Deals the images into folds.")
@click.option("--backbone", help="Its id; the default one if not given.")
@click.option("--author", multiple=True, help="Who made it; may be given several times.")
@click.option("--licence", help="SPDX identifier; the data set's licence if not given.")
@json_option
def train_command(
    output: Path,
    name: str | None,
    number: str,
    summary: str | None,
    layers: str | None,
    max_layers: int,
    l2: float | None,
    seed: int,
    backbone: str | None,
    author: tuple[str, ...],
    licence: str | None,
    as_json: bool,
    **data: Any,  # noqa: ANN401 - the data set's options
) -> None:
    """Train a query on images and masks, and write its artifact.

    Layers, L2 weight and threshold are chosen by cross-validation over the given images. A killed
    run carries on where it was.
    """
    dataset = open_dataset(**data, default_split="train")
    from retq_hub.backbone import LazyBackbone
    from retq_hub.manifest import Licence
    from retq_hub.registry import DEFAULT_BACKBONE
    from retq_hub.training import Recipe, train

    progress = BarProgress()
    done = train(
        dataset,
        output,
        name=name or _slug(output.resolve().name),
        version=number,
        summary=summary,
        recipe=Recipe(layers=_layers(layers), max_layers=max_layers, l2=l2, seed=seed),
        backbone=LazyBackbone(backbone or DEFAULT_BACKBONE, progress=progress),
        licence=Licence(id=licence) if licence else None,
        authors=author or ("not named",),
        progress=progress,
    )
    best = done.choice.best
    if as_json:
        print_json(
            {
                "folder": str(done.folder),
                "name": done.manifest.name,
                "version": done.manifest.version,
                "digest": done.manifest.digest,
                "layers": list(best.layers),
                "l2": best.l2,
                "threshold": best.threshold,
                "held_out_dice": best.dice,
                "loss": done.loss,
            }
        )
        return
    click.echo(str(done.folder))


def _slug(name: str) -> str:
    """Make a query's name of a folder's."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")


def _layers(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--layers {text} is no list of numbers", hint="such as 3,5,7") from error
