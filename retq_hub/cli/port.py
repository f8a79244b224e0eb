"""``retq port``: carry a query to another backbone."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from retq_hub.cli.console import BarProgress, print_json, print_table
from retq_hub.cli.options import artifact_options, json_option, licence_named, slug

if TYPE_CHECKING:
    from retq_hub.manifest import QueryManifest

__all__ = ["port_command"]


@click.command("port")
@click.argument("query")
@click.option("--to", "backbone", required=True, help="The backbone: its id, or its spec's file.")
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    required=True,
    help="A folder of images; they need no labels.",
)
@artifact_options()
@click.option(
    "--basis",
    "bases",
    multiple=True,
    help="What to read, as for retq train; several: tried. Like the source's if not given.",
)
@click.option("--l2", type=float, help="Weight of the L2 term; searched if not given.")
@click.option("--seed", default=0, show_default=True, help="Deals the images into folds.")
@click.option("--author", multiple=True, help="Who made it; the source's if not given.")
@click.option("--licence", help="SPDX identifier; the source's licence if not given.")
@json_option
def port_command(
    query: str,
    backbone: str,
    images: Path,
    output: Path,
    name: str | None,
    number: str,
    summary: str | None,
    bases: tuple[str, ...],
    l2: float | None,
    seed: int,
    author: tuple[str, ...],
    licence: str | None,
    as_json: bool,
) -> None:
    """Fit QUERY on another backbone, to what it says itself of images without labels.

    A fifth of the images is set aside: on these both queries are compared. How well the new one
    does is not known until `retq evaluate` measures it.
    """
    from retq_hub.porting import port

    progress = BarProgress()
    done = port(
        query,
        backbone,
        images,
        output,
        name=name or slug(output.resolve().name),
        version=number,
        summary=summary,
        bases=bases,
        l2=l2,
        seed=seed,
        licence=licence_named(licence),
        authors=author,
        progress=progress,
    )
    if as_json:
        print_json(_document(done.folder, done.manifest))
        return
    _print(done.manifest)
    click.echo(f"\n{done.folder}")


def _document(folder: Path, manifest: "QueryManifest") -> dict[str, object]:
    from retq_hub.manifest import to_json

    members = ("derived", "basis", "head", "agreement")
    return {
        "folder": str(folder),
        "name": manifest.name,
        "version": manifest.version,
        "digest": manifest.digest,
        "l2": manifest.training.l2,
        "trials": to_json(manifest.training.trials or ()),
    } | {one: to_json(getattr(manifest, one)) for one in members}


def _print(manifest: "QueryManifest") -> None:
    """Say how far source and port agree."""
    found = manifest.agreement or ()
    (source,) = manifest.derived or ()
    click.echo(
        f"{manifest.name} against {source.name} {source.version} on {found[0].n_images} images "
        "that were set aside\n"
    )
    rows = []
    for one in found:
        for figure, value in one.values.items():
            low, high = value.ci95
            interval = f"{low:.4f} - {high:.4f}"
            rows.append((one.target, figure, f"{value.value:.4f}", interval, str(one.n_marked)))
    columns = ("target", "agreement", "mean", "95 % interval", "images that show it")
    print_table(columns, rows, wrap=("target", "images that show it"), right=3)
