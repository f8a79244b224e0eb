"""``retq pull``: verified copies of queries. No torch here."""

from pathlib import Path

import click

from retq_hub.cli.console import BarProgress, print_json
from retq_hub.cli.options import json_option

__all__ = ["pull_command"]


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
    from retq_hub import lookup

    progress = BarProgress()
    places = {name: str(lookup.pull(name, into=output, progress=progress)) for name in names}
    if as_json:
        print_json(places)
    else:
        click.echo("\n".join(places.values()))
