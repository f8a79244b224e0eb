"""``retq list`` and ``retq search``: which queries there are. No torch here."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from retq_hub import discovery, registry, stock
from retq_hub.cli.console import BarProgress, print_json, print_table
from retq_hub.cli.options import json_option
from retq_hub.discovery import Hit
from retq_hub.errors import UsageError
from retq_hub.kinds import CLASSIFICATION, KINDS, SEGMENTATION
from retq_hub.manifest import to_json
from retq_hub.wish import Wish

__all__ = ["list_command", "search_command"]

Command = TypeVar("Command", bound=Callable[..., Any])

_FITS = {True: "yes", False: "no", None: "?"}


def _backbone_option(command: Command) -> Command:
    text = "Only queries that can be used with this backbone."
    return click.option("--backbone", metavar="ID", help=text)(command)


def _kind_option(command: Command) -> Command:
    text = "Only queries of this kind."
    return click.option("--kind", type=click.Choice(KINDS), help=text)(command)


@click.command("list")
@click.option("--all", "every", is_flag=True, help="Also older and yanked versions.")
@_backbone_option
@_kind_option
@json_option
def list_command(every: bool, backbone: str | None, kind: str | None, as_json: bool) -> None:
    """List the queries of all registries."""
    ours = discovery.at_hand(registry.backbone_spec(backbone or registry.DEFAULT_BACKBONE))
    wish = Wish(backbone=ours if backbone else None, kind=kind)
    progress = BarProgress()
    if every:
        found = [one for one in stock.entries(progress=progress) if wish.matches(one.record)]
    else:
        found = stock.search(wish, progress=progress)
    _print(discovery.hits(found, ours), ours.id, as_json)


@click.command("search")
@click.argument("words", nargs=-1)
@click.option("--target", metavar="TEXT", help="Part of what a target is called.")
@_backbone_option
@_kind_option
@click.option("--dataset", metavar="TEXT", help="Part of what a data set is called.")
@click.option("--licence", metavar="SPDX", help="The query's licence.")
@click.option("--min-dice", type=click.FloatRange(0, 1), help="The least mean Dice.")
@click.option("--hub/--no-hub", default=True, help="Ask the Hub too (yes).")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many.")
@json_option
def search_command(
    words: tuple[str, ...],
    target: str | None,
    backbone: str | None,
    kind: str | None,
    dataset: str | None,
    licence: str | None,
    min_dice: float | None,
    hub: bool,
    limit: int | None,
    as_json: bool,
) -> None:
    """Find queries by words of their name, summary, targets, data or licence.

    All registries and the Hub are searched. WORDS may be left out if an option says what is looked
    for.
    """
    filters = (target, backbone, kind, dataset, licence, min_dice)
    if not words and all(one is None for one in filters):
        raise UsageError("search for what?", hint="give words or a filter; `retq list` shows all")
    ours = discovery.at_hand(registry.backbone_spec(backbone or registry.DEFAULT_BACKBONE))
    wish = Wish(
        words=words,
        target=target,
        backbone=ours if backbone else None,
        kind=kind,
        dataset=dataset,
        licence=licence,
        min_dice=min_dice,
    )
    found = discovery.search(wish, ours, on_hub=hub, limit=limit, progress=BarProgress())
    _print(found, ours.id, as_json)


def _print(found: Sequence[Hit], backbone: str, as_json: bool) -> None:
    if as_json:
        print_json([to_json(one) for one in found])
        return
    if not found:
        click.echo("nothing found", err=True)
        return
    kinds = [kind for kind in KINDS if any(one.kind == kind for one in found)]
    for kind in kinds:
        if kinds != [SEGMENTATION]:
            click.echo(f"{kind}:")
        _print_kind([one for one in found if one.kind == kind], graded=kind == CLASSIFICATION)
        click.echo("")
    click.echo(f"fits: can be used with {backbone}")


def _print_kind(found: Sequence[Hit], *, graded: bool) -> None:
    """Print queries of one kind, with the figures that these have."""
    rows = [
        (
            one.name,
            (one.version or "") + (" (yanked)" if one.yanked else ""),
            ", ".join(one.targets),
            _FITS[one.fits],
            _figure(one.auroc),
            _figure(one.kappa if graded else one.dice),
        )
        for one in found
    ]
    verb, figure = ("tells", "kappa") if graded else ("marks", "Dice")
    columns = ["name", "version", verb, "fits", "AUROC", figure]
    print_table(columns, rows, wrap=("name", verb), right=2)


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
