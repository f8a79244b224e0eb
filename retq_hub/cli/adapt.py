"""``retq adapt``: adapt a text query to a few labelled images."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from retq_hub.manifest import QueryManifest

__all__ = ["adapt_command"]


@click.command("adapt")
@click.argument("query")
@label_options(split="train")
@click.option(
    "--method",
    type=click.Choice(["ss-text", "lp++", "clap"]),
    default="ss-text",
    show_default=True,
    help="ss-text: closed form, for any numbers of images; the others learn in steps.",
)
@click.option("--shots", type=int, help="Draw so many images of each class; else all are taken.")
@click.option("--seed", default=0, show_default=True, help="Of the drawing.")
@artifact_options(says="what it tells apart")
@click.option("--backbone", help="Its id, or its spec's file; the text query's if not given.")
@click.option("--author", multiple=True, help="Who made it; may be given several times.")
@click.option("--licence", help="SPDX identifier; the data set's licence if not given.")
@json_option
def adapt_command(
    query: str,
    method: str,
    shots: int | None,
    seed: int,
    output: Path,
    name: str | None,
    number: str,
    summary: str | None,
    backbone: str | None,
    author: tuple[str, ...],
    licence: str | None,
    as_json: bool,
    **data: Any,  # noqa: ANN401 - the options of the labels
) -> None:
    """Adapt QUERY, made of a text for each class, to a few labelled images.

    Classes are matched by name. Nothing is chosen on other images than those that are learned from;
    how well the new query does is not known until `retq evaluate` measures it.
    """
    labels = open_labels(**data, default_split="train", default_scale="multiclass")
    from retq_hub.backbone import Backbone
    from retq_hub.labels.adaptation import adapt

    progress = BarProgress()
    manifest = adapt(
        query,
        labels,
        output,
        name=name or slug(output.resolve().name),
        version=number,
        summary=summary,
        method=method,
        shots=shots,
        seed=seed,
        backbone=Backbone.asleep(backbone, progress=progress) if backbone else None,
        licence=licence_named(licence),
        authors=author or ("not named",),
        progress=progress,
    )
    if as_json:
        print_json(_document(output, manifest))
        return
    click.echo(str(output))


def _document(folder: Path, manifest: "QueryManifest") -> dict[str, object]:
    from retq_hub.manifest import to_json

    return {
        "folder": str(folder),
        "name": manifest.name,
        "version": manifest.version,
        "digest": manifest.digest,
        "targets": [one.name for one in manifest.targets],
        "images": list(manifest.data[0].n_positive),
        "training": to_json(manifest.training),
    }
