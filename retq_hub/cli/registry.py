"""``retq list``, ``search``, ``info`` and ``pull``: what the registries hold. No torch here."""

from pathlib import Path

import click

from retq_hub import registry
from retq_hub.cli.console import print_facts, print_json, print_table
from retq_hub.cli.options import json_option
from retq_hub.manifest import Basis, to_json

__all__ = ["info_command", "list_command", "pull_command", "search_command"]


@click.command("list")
@click.option("--all", "every", is_flag=True, help="Also older and yanked versions.")
@json_option
def list_command(every: bool, as_json: bool) -> None:
    """List the queries of all registries."""
    found = registry.entries() if every else registry.search([])
    _print(found, as_json)


@click.command("search")
@click.argument("words", nargs=-1, required=True)
@json_option
def search_command(words: tuple[str, ...], as_json: bool) -> None:
    """Find queries by words of their name, summary, targets, data or licence."""
    _print(registry.search(words), as_json)


@click.command("info")
@click.argument("name")
@json_option
def info_command(name: str, as_json: bool) -> None:
    """Show what is known of a query: NAME, NAME@VERSION or ./FOLDER."""
    from retq_hub import artifact
    from retq_hub.card import NOT_A_DEVICE, UNKNOWN, combination
    from retq_hub.notation import meaning, upsampling, written

    manifest = artifact.read_manifest(registry.locate(name))
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
    places = {name: str(registry.pull(name, into=output)) for name in names}
    if as_json:
        print_json(places)
    else:
        click.echo("\n".join(places.values()))


def _cost(basis: Basis) -> str:
    """Say how often the backbone runs for an image."""
    runs = sum(one.tiles**2 for one in basis.passes) * len(basis.views or ("plain",))
    return f"{runs} backbone pass{'es' if runs > 1 else ''} an image"


def _print(found: list[registry.Entry], as_json: bool) -> None:
    if as_json:
        print_json([to_json(one.record) for one in found])
        return
    one_backbone = len({one.record.backbone for one in found}) == 1
    rows = [
        (
            one.record.name,
            one.record.version + (" (yanked)" if one.record.yanked else ""),
            ", ".join(one.record.targets),
            *([] if one_backbone else [one.record.backbone]),
            "-" if one.record.auroc is None else f"{one.record.auroc:.4f}",
            "-" if one.record.dice is None else f"{one.record.dice:.4f}",
        )
        for one in found
    ]
    backbone = [] if one_backbone else ["backbone"]
    print_table(
        ["name", "version", "marks", *backbone, "AUROC", "Dice"], rows, wrap="marks", right=2
    )
    if one_backbone:
        click.echo(f"\nMade for {found[0].record.backbone}.")
