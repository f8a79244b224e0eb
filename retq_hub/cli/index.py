"""``retq index``: the index of a registry."""

from pathlib import Path

import click

from retq_hub import index
from retq_hub.cli.console import BarProgress, say
from retq_hub.embedded import REGISTRY
from retq_hub.errors import CheckFailed

__all__ = ["index_command"]

_FOLDER = click.argument("folder", type=click.Path(path_type=Path), default=REGISTRY)


@click.group("index")
def index_command() -> None:
    """Build, check and change the index of a registry folder.

    FOLDER is the registry's; the embedded one if not given.
    """


@index_command.command("add")
@click.argument("name")
@_FOLDER
def add_command(name: str, folder: Path) -> None:
    """Put a record of a published query, NS/NAME[@VERSION], into FOLDER.

    It is fetched from the Hub and checked; a pull request with the files that change proposes it.
    """
    from retq_hub.contribution import add

    click.echo(add(name, folder))


@index_command.command("build")
@_FOLDER
@click.option("--from-hub", is_flag=True, help="Also collect all queries of the Hub.")
def build_command(folder: Path, from_hub: bool) -> None:
    """Make index.json from the artifacts, records and notices in FOLDER."""
    if from_hub:
        from retq_hub.collection import collect

        made = collect(folder, progress=BarProgress())
    else:
        made = index.build(folder)
    index.write(folder, made)
    for one in made.broken:
        version = f"@{one.version}" if one.version else ""
        say(f"broken: {one.repo}{version}: {one.reason}")
    near = sum(one.near is not None for one in made.records)
    click.echo(
        f"{folder / index.FILE}: {_counted(len(made.records))}, {len(made.broken)} broken, "
        f"{near} with near duplicates"
    )


@index_command.command("check")
@_FOLDER
def check_command(folder: Path) -> None:
    """Check index.json, and compare it with what lies in FOLDER."""
    if found := index.findings(folder):
        raise CheckFailed(str(folder / index.FILE), found, hint="run `retq index build`")
    click.echo("the index is in step with the folder")


@index_command.command("yank")
@click.argument("name")
@_FOLDER
@click.option("--reason", help="Why; shown to whoever still pins it.")
@click.option("--undo", is_flag=True, help="Take it back.")
def yank_command(name: str, folder: Path, reason: str | None, undo: bool) -> None:
    """Withdraw a version, NAME@VERSION, of FOLDER: only an exact pin still finds it."""
    if undo == (reason is not None):
        raise click.UsageError("say why with --reason TEXT, or take it back with --undo")
    index.yank(folder, name, reason=reason)
    click.echo(f"{name} is {'no longer ' if undo else ''}yanked")


def _counted(records: int) -> str:
    return "1 record" if records == 1 else f"{records} records"
