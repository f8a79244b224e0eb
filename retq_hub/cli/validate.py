"""``retq validate``: is an artifact intact, and does it behave as when it was made?"""

from pathlib import Path

import click

from retq_hub import lookup, registry
from retq_hub.cli.console import BarProgress, print_json
from retq_hub.cli.options import json_option
from retq_hub.errors import CheckFailed
from retq_hub.text import printable
from retq_hub.validation import validate, validate_pipeline

__all__ = ["validate_command"]


@click.command("validate")
@click.argument("name")
@click.option("--replay", is_flag=True, help="Also run the backbone on the probe image.")
@json_option
def validate_command(name: str, replay: bool, as_json: bool) -> None:
    """Check an artifact: NAME, ns/NAME or ./FOLDER. Leaves with 1 if something is wrong.

    A lock or a composed pipeline is checked with all its members.
    """
    progress = BarProgress()
    found = lookup.either(name, lambda: registry.locate(name, progress=progress), progress=progress)
    if isinstance(found, Path):
        verdict = validate(found, replay=replay, progress=progress)
    else:
        verdict = validate_pipeline(found, replay=replay, progress=progress)
    if as_json:
        print_json(
            {
                "folder": str(verdict.folder),
                "intact": verdict.intact,
                "reproduces": verdict.reproduces,
                "findings": [{"where": one.where, "what": one.what} for one in verdict.findings],
                "notes": list(verdict.notes),
            }
        )
    else:
        click.echo(f"intact      {'yes' if verdict.intact else 'no'}")
        tried = {None: "not tried (--replay)", True: "yes", False: "no"}[verdict.reproduces]
        click.echo(f"reproduces  {tried}")
        for line in (*map(str, verdict.findings), *verdict.notes):
            click.echo(f"- {printable(line, most=None)}")
    if not verdict.ok:
        raise CheckFailed(str(verdict.folder), verdict.findings)
