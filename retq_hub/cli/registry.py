"""``retq info`` and ``retq pull``: one query, wherever it lies. No torch here."""

from pathlib import Path

import click

from retq_hub import registry
from retq_hub.cli.console import BarProgress, print_facts, print_json
from retq_hub.cli.options import json_option
from retq_hub.manifest import Basis, to_json

__all__ = ["info_command", "pull_command"]


@click.command("info")
@click.argument("name")
@json_option
def info_command(name: str, as_json: bool) -> None:
    """Show what is known of a query: NAME, NAME@VERSION or ./FOLDER."""
    from retq_hub import artifact
    from retq_hub.card import NOT_A_DEVICE, UNKNOWN, combination
    from retq_hub.notation import meaning, upsampling, written

    manifest = artifact.read_manifest(registry.locate(name, progress=BarProgress()))
    if as_json:
        print_json({**to_json(manifest), "digest": manifest.digest})
        return
    spec = registry.backbone_specs().get(manifest.backbone.id)
    size = spec.preprocessing.size_px if spec else 0
    others = (spec.licence if spec else UNKNOWN, *(data.licence for data in manifest.data))
    rows = [
        ("name", f"{manifest.name} {manifest.version}"),
        ("marks", ", ".join(target.label for target in manifest.targets)),
        ("summary", manifest.summary),
        ("backbone", f"{manifest.backbone.id}, weights {manifest.backbone.weights_digest[:12]}"),
        ("reads", f"{written(manifest.basis, size_px=size)}: {_cost(manifest.basis)}"),
        ("upsampling", upsampling(manifest.head)),
        ("threshold", ", ".join(f"{value:g}" for value in manifest.head.thresholds)),
        ("probabilities", meaning(manifest.head)),
        *(
            ("trained on", f"{one.title}, {one.split}, {one.n_images} images")
            for one in manifest.data
        ),
        *(
            (
                "measured on",
                f"{one.dataset}, {one.split}, {one.n_images} images: AUROC "
                f"{one.values['auroc'].mean:.4f}, Dice {one.values['dice'].mean:.4f}",
            )
            for one in manifest.metrics
        ),
        (
            "licence",
            f"{manifest.licence.id}; with backbone and data: "
            f"{combination((manifest.licence, *others))}",
        ),
        ("digest", manifest.digest),
        ("note", NOT_A_DEVICE),
    ]
    print_facts(rows)


@click.command("pull")
@click.argument("names", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="A folder to copy into; the cache if not given.",
)
@json_option
def pull_command(names: tuple[str, ...], output: Path | None, as_json: bool) -> None:
    """Get verified copies of queries and print where they lie."""
    places = {name: str(registry.pull(name, into=output, progress=BarProgress())) for name in names}
    if as_json:
        print_json(places)
    else:
        click.echo("\n".join(places.values()))


def _cost(basis: Basis) -> str:
    """Say how often the backbone runs for an image."""
    runs = sum(one.tiles**2 for one in basis.passes) * len(basis.views or ("plain",))
    return f"{runs} backbone pass{'es' if runs > 1 else ''} an image"
