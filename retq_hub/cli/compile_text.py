"""``retq compile-text``: make an artifact of words."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from retq_hub.cli.console import BarProgress, print_json, print_table
from retq_hub.cli.options import artifact_options, json_option, licence_named, slug
from retq_hub.errors import NotFoundError
from retq_hub.texts import wording

if TYPE_CHECKING:
    from retq_hub.manifest import QueryManifest
    from retq_hub.texts.wording import Wording

__all__ = ["compile_text_command"]

_PATH = click.Path(path_type=Path)


@click.command("compile-text")
@click.option("--backbone", required=True, help="One with a text encoder: flair, biomedclip ...")
@click.option("--prompt", "prompts", multiple=True, help="What is looked for; a target each.")
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="NAME[=PROMPT;PROMPT]",
    help="Several prompts for one target; NAME alone: a category of the descriptors.",
)
@click.option(
    "--descriptors",
    "file",
    type=_PATH,
    help="Categories with their prompts, JSON or CSV; the registry's if not given.",
)
@click.option("--template", help="Sentence around each prompt, {} in its place.")
@click.option("--tokenizer", type=_PATH, help="A folder with the tokenizer's vocabulary.")
@artifact_options(folder="The artifact's folder.", owner="The artifact's")
@click.option("--author", multiple=True, help="Who made it.")
@click.option("--licence", help="SPDX identifier; the backbone's licence if not given.")
@json_option
def compile_text_command(
    backbone: str,
    prompts: tuple[str, ...],
    targets: tuple[str, ...],
    file: Path | None,
    template: str | None,
    tokenizer: Path | None,
    output: Path,
    name: str | None,
    number: str,
    summary: str | None,
    author: tuple[str, ...],
    licence: str | None,
    as_json: bool,
) -> None:
    """Make an artifact of words: its vectors are the embeddings of prompts.

    It tells the targets apart, in the image as a whole and place by place. With --descriptors and
    neither --target nor --prompt, all categories of the file are targets.
    """
    asked = _asked(backbone, prompts, targets, file)
    from retq_hub.texts.compilation import compile_text

    progress = BarProgress()
    manifest = compile_text(
        asked,
        output,
        backbone=backbone,
        name=name or slug(output.resolve().name),
        version=number,
        summary=summary,
        template=template,
        tokenizer=tokenizer,
        licence=licence_named(licence),
        authors=author or ("not named",),
        progress=progress,
    )
    _show(output, manifest, as_json)


def _asked(
    backbone: str, prompts: tuple[str, ...], targets: tuple[str, ...], file: Path | None
) -> "tuple[Wording, ...]":
    """Give the targets that the options name."""
    named = [one for one in targets if "=" not in one]
    known: dict[str, Wording] = {}
    if file is None and named:
        file = wording.shipped(Path(backbone).stem)
        if file is None:
            raise NotFoundError(
                f"no registry has descriptors for {backbone}, among which {named[0]!r} could be",
                hint="name a file: --descriptors FILE",
            )
    if file is not None:
        known = wording.read(file)
    asked = [*wording.of_prompts(prompts)]
    asked += [wording.of_target(one, known, origin=str(file)) for one in targets]
    return wording.checked(asked or list(known.values()))


def _show(folder: Path, manifest: "QueryManifest", as_json: bool) -> None:
    from retq_hub.manifest import to_json

    text = manifest.text
    assert text is not None, "it was made of texts"
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "name": manifest.name,
                "version": manifest.version,
                "digest": manifest.digest,
                "targets": to_json(manifest.targets),
                "text": to_json(text),
                "similarity": to_json(manifest.head.similarity),
            }
        )
        return
    rows = [
        (target.name, text.template.replace("{}", prompt))
        for target, prompts in zip(manifest.targets, text.prompts, strict=True)
        for prompt in prompts
    ]
    print_table(("target", "encoded"), rows, wrap="encoded")
    click.echo(str(folder))
