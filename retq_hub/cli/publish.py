"""``retq push`` and ``retq yank``: publish a query on a Hub, withdraw a version. No torch here."""

from pathlib import Path

import click

from retq_hub import names
from retq_hub.cli.console import print_json, print_table
from retq_hub.cli.options import json_option
from retq_hub.errors import UsageError
from retq_hub.manifest import to_json
from retq_hub.publication import Pushed, push, yank
from retq_hub.text import printable

__all__ = ["push_command", "yank_command"]


@click.command("push")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--repo", required=True, help="The repository: ns/name.")
@click.option("--private", is_flag=True, help="Make it private, if it has to be made.")
@click.option("--pr", is_flag=True, help="Open a pull request on somebody else's repository.")
@click.option("-m", "--message", help="What is said of the commit.")
@click.option("--dry-run", is_flag=True, help="Show what would be done; write nothing.")
@json_option
def push_command(
    folder: Path,
    repo: str,
    private: bool,
    pr: bool,
    message: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Publish the artifact in FOLDER on a Hub: checked, one commit, tagged with its version.

    A published version never moves. Log in with `hf auth login` or set HF_TOKEN; HF_ENDPOINT names
    another Hub than the public one.
    """
    done = push(folder, repo, private=private, pr=pr, message=message, dry_run=dry_run)
    if as_json:
        print_json(to_json(done))
        return
    if dry_run:
        _show(done)
    click.echo(_said(done))


@click.command("yank")
@click.argument("name")
@click.option("--reason", help="Why; whoever pins the version reads it.")
@click.option("--undo", is_flag=True, help="Take it back.")
def yank_command(name: str, reason: str | None, undo: bool) -> None:
    """Withdraw a published version, ns/NAME@VERSION: it is no longer taken unless pinned."""
    parsed = names.parse(name)
    if parsed.kind != "hub" or parsed.version is None:
        raise UsageError(f"{name} names no version on a Hub", hint="it looks like ns/name@1.0.0")
    if undo == bool(reason):
        raise UsageError("give --reason TEXT, or --undo", hint="one of the two")
    changed = yank(parsed.text, parsed.version, reason=reason or "", undo=undo)
    state = "not yanked" if undo else f"yanked: {reason}"
    click.echo(f"{parsed.text} {parsed.version} is {state}{'' if changed else ' (it was already)'}")


def _show(done: Pushed) -> None:
    """Print what would be done, and how it differs from what is published."""
    if done.files:
        rows = [(one.path, _size(one.size), one.kind) for one in done.files]
        print_table(["file", "size", "on the Hub"], rows)
        click.echo("")
    if done.differences:
        click.echo(f"Compared with {done.against}:")
        for line in done.differences:
            click.echo(f"  {printable(line, most=None)}")
        click.echo("")


def _size(size: int) -> str:
    return f"{size} B" if size < 1000 else f"{size / 1000:.1f} kB"


def _said(done: Pushed) -> str:
    name = f"{done.repo}@v{done.version}"
    return {
        "planned": f"This would be {name}. Nothing was sent.",
        "published": f"{name} is published: {done.url}",
        "tagged": f"{name} is tagged; its files were there already: {done.url}",
        "unchanged": f"{name} is already published: {done.url}",
        "proposed": f"{name} is proposed: {done.url}",
    }[done.outcome]
