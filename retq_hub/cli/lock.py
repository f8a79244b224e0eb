"""``retq lock`` and ``retq sync``: pin queries with their backbone, and bring them here again."""

from dataclasses import asdict
from pathlib import Path

import click

from retq_hub.cli.console import BarProgress, print_json, print_table
from retq_hub.cli.options import json_option
from retq_hub.errors import UsageError
from retq_hub.lock import FILE, Lock
from retq_hub.manifest import to_json

__all__ = ["lock_command", "sync_command"]


@click.command("lock")
@click.option("-q", "--query", "queries", multiple=True, required=True, help="A query; repeatable.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help=f"The lock's file, {FILE} if not given; with --name a folder.",
)
@click.option("--backbone", help="Its id; the first query's own if not given.")
@click.option("--name", help="Make a pipeline to share: a folder with lock and card.")
@click.option("--version", help="Of the pipeline; 1.0.0 if not given.")
@click.option("--summary", help="Of the pipeline, one line.")
@json_option
def lock_command(
    queries: tuple[str, ...],
    output: Path | None,
    backbone: str | None,
    name: str | None,
    version: str | None,
    summary: str | None,
    as_json: bool,
) -> None:
    """Pin queries and their backbone by commits and digests."""
    from retq_hub import assembly

    progress = BarProgress()
    if name is None:
        if version or summary:
            raise UsageError("--version and --summary describe a pipeline", hint="add --name")
        path = output or Path(FILE)
        lock = assembly.lock(queries, path, backbone=backbone, progress=progress)
    else:
        path = output or Path(name)
        lock = assembly.compose(
            queries,
            path,
            name=name,
            version=version or "1.0.0",
            summary=summary,
            backbone=backbone,
            progress=progress,
        )
    if as_json:
        print_json({"path": str(path), "digest": lock.digest, **to_json(lock)})
    else:
        _print(lock, path)


@click.command("sync")
@click.argument("lock", default=FILE)
@json_option
def sync_command(lock: str, as_json: bool) -> None:
    """Bring here all that LOCK pins, verified: a file, ./FOLDER or ns/name.

    Nothing is asked of a network for what is here already.
    """
    from retq_hub import composition
    from retq_hub.syncing import sync

    progress = BarProgress()
    found = composition.locate(lock, progress=progress)
    done = []
    try:
        for one in sync(found.lock, found.base, progress=progress):
            done.append(one)
    finally:
        if as_json:
            print_json([{**asdict(one), "place": str(one.place)} for one in done])
        elif done:
            rows = [(one.name, one.version or "-", one.origin, one.state) for one in done]
            print_table(("member", "version", "from", ""), rows, wrap="from")


def _print(lock: Lock, path: Path) -> None:
    rows = [(one.name, one.version, str(one.origin), one.digest[:12]) for one in lock.queries]
    print_table(("query", "version", "from", "digest"), rows, wrap="from")
    many = "query" if len(rows) == 1 else "queries"
    click.echo(
        f"\n{path} pins {len(rows)} {many} for {lock.backbone.id}, "
        f"weights {lock.backbone.weights_digest[:12]}."
    )
