"""``retq index``: the index of a registry."""

from pathlib import Path

import click

from retq_hub import index
from retq_hub.embedded import REGISTRY
from retq_hub.errors import CheckFailed
from retq_hub.storage import write_json

__all__ = ["index_command"]


@click.group("index")
def index_command() -> None:
    """Build or check the index of a registry folder."""


@index_command.command("build")
@click.argument("folder", type=click.Path(path_type=Path), default=REGISTRY)
def build_command(folder: Path) -> None:
    """Make index.json from the artifacts in FOLDER; the embedded registry if not given."""
    document = index.build(folder)
    write_json(folder / "index.json", document)
    click.echo(f"{folder / 'index.json'}: {len(document['records'])} records")


@index_command.command("check")
@click.argument("folder", type=click.Path(path_type=Path), default=REGISTRY)
def check_command(folder: Path) -> None:
    """Compare index.json with the artifacts in FOLDER."""
    if found := index.findings(folder):
        raise CheckFailed(str(folder / "index.json"), found, hint="run `retq index build`")
    click.echo("the index is in step with the artifacts")
