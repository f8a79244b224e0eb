"""``retq algebra``: queries compared with queries, and made of queries."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from retq_hub.cli.console import BarProgress, print_json, print_table
from retq_hub.cli.options import Command, artifact_options, json_option, licence_named, slug
from retq_hub.similarity import THRESHOLD

if TYPE_CHECKING:
    from retq_hub.lineage import Identity
    from retq_hub.query import Query

__all__ = ["algebra_command"]


class _Result(TypedDict):
    """What is said of the query that is made."""

    output: Path
    name: str | None
    number: str
    summary: str | None
    licence: str | None
    as_json: bool


def _result_options(command: Command) -> Command:
    """Add the options that say what the query that is made is called."""
    options = (
        artifact_options(folder="The new query's folder.", owner="Its"),
        click.option("--licence", help="SPDX identifier; the sources' licence if not given."),
        json_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group("algebra")
def algebra_command() -> None:
    """Compare queries of one backbone, and make queries of queries.

    What is made has no figures: measure it with `retq evaluate --record`.
    """


@algebra_command.command("cosine")
@click.argument("queries", nargs=-1, required=True)
@json_option
def cosine_command(queries: tuple[str, ...], as_json: bool) -> None:
    """Say how alike the vectors of QUERIES are, the most alike first."""
    from retq_hub.algebra import cosines
    from retq_hub.manifest import to_json

    found = cosines(_loaded(queries))
    if as_json:
        print_json(to_json(found))
        return
    rows = [
        (
            *(f"{query} {target}" for query, target in zip(one.queries, one.targets, strict=True)),
            "near duplicate" if one.value >= THRESHOLD else "",
            f"{one.value:.4f}",
            "-" if one.correlation is None else f"{one.correlation:.4f}",
        )
        for one in found
    ]
    columns = ("vector", "and", "", "cosine", "correlation")
    print_table(columns, rows, wrap=("vector", "and", ""), right=2)


@algebra_command.command("merge")
@click.argument("queries", nargs=-1, required=True)
@_result_options
def merge_command(queries: tuple[str, ...], **result: Unpack[_Result]) -> None:
    """Put the targets of QUERIES side by side in one query; each keeps its threshold."""
    from retq_hub.algebra import merge

    loaded = _loaded(queries)
    _make(lambda identity: merge(loaded, identity), result)


@algebra_command.command("mean")
@click.argument("queries", nargs=-1, required=True)
@_result_options
def mean_command(queries: tuple[str, ...], **result: Unpack[_Result]) -> None:
    """Average the logits of QUERIES for the same targets."""
    from retq_hub.algebra import mean

    loaded = _loaded(queries)
    _make(lambda identity: mean(loaded, identity), result)


@algebra_command.command("subtract")
@click.argument("query")
@click.argument("other")
@_result_options
def subtract_command(query: str, other: str, **result: Unpack[_Result]) -> None:
    """Subtract the logits of OTHER from those of QUERY."""
    from retq_hub.algebra import subtract

    first, second = _loaded([query, other])
    _make(lambda identity: subtract(first, second, identity), result)


@algebra_command.command("orthogonalise")
@click.argument("query")
@click.argument("other")
@_result_options
def orthogonalise_command(query: str, other: str, **result: Unpack[_Result]) -> None:
    """Take from QUERY what its vectors have in common with those of OTHER."""
    from retq_hub.algebra import orthogonalise

    first, second = _loaded([query, other])
    _make(lambda identity: orthogonalise(first, second, identity), result)


def _loaded(queries: Sequence[str]) -> "list[Query]":
    from retq_hub.query import Query

    progress = BarProgress()
    return [Query.from_pretrained(one, progress=progress) for one in queries]


def _make(operation: "Callable[[Identity], Query]", result: _Result) -> None:
    """Make a query, write it with its card and picture, and say where it lies."""
    from retq_hub.lineage import Identity, keep
    from retq_hub.manifest import to_json

    output = result["output"]
    identity = Identity(
        name=result["name"] or slug(output.resolve().name),
        version=result["number"],
        summary=result["summary"],
        licence=licence_named(result["licence"]),
    )
    manifest = keep(operation(identity), output, progress=BarProgress())
    if result["as_json"]:
        members = ("name", "version", "digest", "targets", "basis", "head", "derived")
        found = {one: to_json(getattr(manifest, one)) for one in members}
        print_json({"folder": str(output)} | found)
        return
    click.echo(str(output))
