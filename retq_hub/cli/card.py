"""``retq card``: an artifact's model card and picture, made anew or checked."""

from dataclasses import replace
from pathlib import Path

import click

from retq_hub import cardfile, registry
from retq_hub.artifact import CARD, PICTURE
from retq_hub.cli.console import BarProgress, print_json
from retq_hub.cli.options import json_option
from retq_hub.errors import CheckFailed, Finding, UsageError
from retq_hub.metadata import is_repo_id
from retq_hub.presentation import Presented, present

__all__ = ["card_command"]


@click.command("card")
@click.argument("names", nargs=-1, required=True)
@click.option("--repo", help="Its Hub repository, ns/name, for the lines on how to use it.")
@click.option(
    "--image",
    type=click.Path(path_type=Path),
    help="A photograph for the picture; the example if not given.",
)
@click.option("--check", is_flag=True, help="Only say whether card and picture are up to date.")
@json_option
def card_command(
    names: tuple[str, ...], repo: str | None, image: Path | None, check: bool, as_json: bool
) -> None:
    """Make card and picture of ./FOLDER anew.

    With --check a query's NAME will do. What people wrote between the card's markers is kept. A
    card that was changed elsewhere is laid aside as README.old.md.
    """
    if repo is not None and not ("/" in repo and is_repo_id(repo)):
        raise UsageError(f"{repo!r} is no name of a Hub repository", hint="such as ns/name")
    if repo is not None and len(names) > 1:
        raise UsageError(f"--repo {repo} fits one query, not {len(names)}", hint="name one")
    if check and image is not None:
        raise UsageError("--check looks at the picture that is there", hint="leave --image out")
    if check:
        _check([registry.locate(name, progress=BarProgress()) for name in names], repo, as_json)
        return
    folders = [_folder(name) for name in names]
    done = present(folders, repo=repo, image=image, progress=BarProgress())
    if as_json:
        print_json([_document(one) for one in done])
        return
    for one in done:
        click.echo(f"{one.manifest.name} {one.manifest.version}, {one.folder}")
        click.echo(f"  {CARD:<12} {_said(one.card)}\n  {PICTURE:<12} {one.picture}")


def _check(folders: list[Path], repo: str | None, as_json: bool) -> None:
    found = {folder: cardfile.findings(folder, repo=repo) for folder in folders}
    if as_json:
        print_json(
            [
                {
                    "folder": str(folder),
                    "up_to_date": not some,
                    "findings": [{"where": one.where, "what": one.what} for one in some],
                }
                for folder, some in found.items()
            ]
        )
    else:
        for folder, some in found.items():
            if not some:
                click.echo(f"{folder}: up to date")
    if old := [_in(folder, one) for folder, some in found.items() for one in some]:
        raise CheckFailed("cards", old, hint="`retq card ./FOLDER` makes them anew")


def _in(folder: Path, finding: Finding) -> Finding:
    return replace(finding, where=str(folder / finding.where))


def _folder(name: str) -> Path:
    """Give the folder that is named; what is only found by its name is published, and stays."""
    folder = registry.locate(name)
    if Path(name).expanduser().resolve() != folder.resolve():
        raise UsageError(
            f"{name} is published: its card is not made anew by its name",
            hint=f"if it is yours, name its folder: {folder}",
        )
    return folder


def _said(card: cardfile.Renewal) -> str:
    if not card.changed:
        return "up to date"
    return "written" + (f"; the one before is {card.aside.name}" if card.aside else "")


def _document(one: Presented) -> dict[str, object]:
    return {
        "name": one.manifest.name,
        "version": one.manifest.version,
        "folder": str(one.folder),
        "card": "written" if one.card.changed else "up to date",
        "aside": str(one.card.aside) if one.card.aside else None,
        "picture": one.picture,
    }
