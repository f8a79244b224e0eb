"""``retq embed``: put images into a store of embeddings and tokens."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from retq_hub.cli.console import BarProgress, print_facts, print_json
from retq_hub.cli.options import json_option
from retq_hub.errors import UsageError

if TYPE_CHECKING:
    from retq_hub.backbone import Backbone
    from retq_hub.preparation import Needs
    from retq_hub.store.intake import Embedded

__all__ = ["embed_command"]


@click.command("embed")
@click.argument("images", nargs=-1, required=True)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The store's folder."
)
@click.option("-q", "--query", "queries", multiple=True, help="Store what it reads; repeatable.")
@click.option(
    "--basis", "bases", multiple=True, help="Store these tokens, as 7 or 2x2:7+1x1:3,7; repeatable."
)
@click.option("--tokens", is_flag=True, help="Store the last layer's tokens.")
@click.option("--backbone", help="Its id; that of the first query if not given.")
@click.option("--allow-mismatch", is_flag=True, help="Even if queries are for another backbone.")
@json_option
def embed_command(
    images: tuple[str, ...],
    output: Path,
    queries: tuple[str, ...],
    bases: tuple[str, ...],
    tokens: bool,
    backbone: str | None,
    allow_mismatch: bool,
    as_json: bool,
) -> None:
    """Store embeddings of IMAGES (files, folders, patterns), and tokens if asked for.

    Done ones are skipped on a second run.
    """
    if (tokens > 0) + bool(bases) + bool(queries) > 1:
        raise UsageError("name what to store in one way", hint="-q, --basis or --tokens")
    _check_places(images)
    from retq_hub.segment import find_images, outside
    from retq_hub.store.intake import embed

    progress = BarProgress()
    jobs = outside(find_images(images), output)
    if queries:
        loaded, needs = _of_queries(queries, backbone, allow_mismatch, progress)
    else:
        loaded, needs = _of_bases(bases, tokens, backbone, progress)
    done = embed(loaded, jobs, output, needs, progress=progress)
    for error in done.failed.values():
        progress.note(f"retq: {error}")
    if as_json:
        print_json(_document(done, output))
    else:
        _print(done, output)
    if done.failed:
        used = done.done + done.skipped
        raise SystemExit(1 if used else list(done.failed.values())[-1].exit_code)


def _check_places(images: tuple[str, ...]) -> None:
    """Refuse what only `retq segment` reads."""
    from retq_hub.archives.sources import is_list
    from retq_hub.objects import is_url

    for one in images:
        if is_list(one) or is_url(one):
            raise UsageError(
                f"{one} is a {'list' if is_list(one) else 'URL'}, and no image or folder on this "
                "machine",
                hint="name files, folders or patterns",
            )


def _of_queries(
    queries: tuple[str, ...], backbone: str | None, allow_mismatch: bool, progress: BarProgress
) -> "tuple[Backbone, Needs]":
    from retq_hub.pipeline import Pipeline

    pipeline = Pipeline.from_pretrained(
        queries, backbone=backbone, allow_mismatch=allow_mismatch, progress=progress
    )
    for note in pipeline.notes:
        progress.note(note)
    return pipeline.backbone, pipeline.needs


def _of_bases(
    bases: tuple[str, ...], tokens: bool, backbone: str | None, progress: BarProgress
) -> "tuple[Backbone, Needs]":
    from retq_hub import notation
    from retq_hub.backbone import Backbone
    from retq_hub.plans import last_layer, plan
    from retq_hub.preparation import Needs
    from retq_hub.registry import DEFAULT_BACKBONE

    loaded = Backbone.from_pretrained(backbone or DEFAULT_BACKBONE, progress=progress)
    size_px = loaded.spec.preprocessing.size_px
    named = [notation.parse(one, size_px=size_px) for one in bases]
    wanted = [last_layer(loaded.spec)] if tokens else named
    channels = any(basis.pixels for basis in wanted)
    return loaded, Needs(plan=plan(wanted), embed=True, channels=channels)


def _document(done: "Embedded", output: Path) -> dict[str, object]:
    return {
        "store": str(output),
        "done": done.done,
        "skipped": done.skipped,
        "failed": {image: error.found for image, error in done.failed.items()},
        "backbone": done.contents.backbone.id,
        "weights_digest": done.contents.weights_digest,
        "preprocessing_digest": done.contents.backbone.preprocessing_digest,
        "engine": done.contents.engine,
        "tensors": {
            name: {"dtype": row.dtype, "shape": list(row.shape)}
            for name, row in done.contents.tensors.items()
        },
        "bytes_per_image": done.contents.bytes_per_image,
    }


def _print(done: "Embedded", output: Path) -> None:
    contents = done.contents
    print_facts(
        [
            ("store", str(output)),
            ("backbone", f"{contents.backbone.id} ({contents.engine})"),
            ("holds", contents.text),
            ("an image", f"{contents.bytes_per_image:,} bytes"),
        ]
    )
    click.echo(f"{done.done} embedded, {done.skipped} done before, {len(done.failed)} failed")
