"""``retq list``, ``search`` and ``pull``: what the registries hold. No torch here."""

from pathlib import Path

import click

from retq_hub import registry
from retq_hub.cli.console import BarProgress, print_json, print_table
from retq_hub.cli.options import json_option
from retq_hub.manifest import to_json

__all__ = ["list_command", "pull_command", "search_command"]


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
    """Get verified copies of queries and print where they lie.

    NAME, NAME@VERSION, or of a Hub ns/NAME, ns/NAME@VERSION (also a branch or commit). A composed
    pipeline comes with its queries.
    """
    from retq_hub import assembly

    progress = BarProgress()
    places = {name: str(assembly.pull(name, into=output, progress=progress)) for name in names}
    if as_json:
        print_json(places)
    else:
        click.echo("\n".join(places.values()))


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
