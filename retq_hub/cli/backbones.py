"""``retq backbones``: which there are, where their weights come from, whether they are here."""

from pathlib import Path

import click

from retq_hub import registry
from retq_hub.checkpoint import describe
from retq_hub.cli.console import BarProgress, print_facts, print_json, print_table
from retq_hub.cli.options import json_option
from retq_hub.errors import CheckFailed, Finding
from retq_hub.manifest import to_json
from retq_hub.spec import BackboneSpec, Preprocessing, Source

__all__ = ["backbones_command"]


@click.group("backbones")
def backbones_command() -> None:
    """List, describe, fetch and verify backbones."""


@backbones_command.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List the backbones of all registries.

    Their weights are here, obtainable (`retq backbones fetch`), gated (something must be accepted
    first: `retq backbones info`) or to be had by hand only.
    """
    specs = registry.backbone_specs().values()
    if as_json:
        print_json([to_json(spec) | {"weights": _state(spec)} for spec in specs])
        return
    rows = [
        (
            spec.id,
            _state(spec),
            f"{spec.tokens.grid} x {spec.tokens.grid}",
            f"{spec.tokens.layers} x {spec.tokens.width}",
            spec.licence.id,
        )
        for spec in specs
    ]
    columns = ("id", "weights", "grid", "layers", "licence")
    print_table(columns, rows, wrap="licence")


@backbones_command.command("info")
@click.argument("name", default=registry.DEFAULT_BACKBONE)
@json_option
def info_command(name: str, as_json: bool) -> None:
    """Describe a backbone; the default one if none is named."""
    spec = registry.backbone_spec(name)
    if as_json:
        print_json(to_json(spec))
        return
    layers = "1 layer" if spec.tokens.layers == 1 else f"{spec.tokens.layers} layers"
    shape = f"{layers} of {spec.tokens.grid} x {spec.tokens.grid} tokens"
    rows = [
        ("id", spec.id),
        ("title", spec.title),
        ("summary", spec.summary),
        ("architecture", f"{spec.architecture.library} {spec.architecture.name}"),
        ("tokens", f"{shape}, {spec.tokens.width} wide, {spec.tokens.prefix} prefix dropped"),
        ("modality", spec.modality),
        ("input", _input(spec.preprocessing)),
        ("position grid", _position(spec)),
        ("embedding", spec.pooling),
        *_text(spec),
        *(("weights from", _source(source)) for source in spec.sources),
        *(("to accept", source.accept) for source in spec.sources if source.accept),
        ("weights digest", spec.weights_digest or "not pinned: nobody has verified one yet"),
        ("licence", f"{spec.licence.id} ({spec.licence.name or 'see there'})"),
        ("citation", spec.citation or "-"),
        ("weights", _state(spec)),
    ]
    print_facts(rows)


@backbones_command.command("fetch")
@click.argument("name", default=registry.DEFAULT_BACKBONE)
@click.option("--file", type=click.Path(path_type=Path), help="A checkpoint you have.")
@click.option("--sha256", help="The digest the checkpoint must have, where none is pinned.")
@click.option("--again", is_flag=True, help="Fetch although the weights are here.")
def fetch_command(name: str, file: Path | None, sha256: str | None, again: bool) -> None:
    """Fetch, verify and convert a backbone's weights, and print where they lie."""
    from retq_hub import weights

    spec = registry.backbone_spec(name)
    found = weights.ensure(spec, progress=BarProgress(), file=file, sha256=sha256, again=again)
    click.echo(f"{found.path}\nweights digest {found.digest}")


@backbones_command.command("verify")
@click.argument("name", default=registry.DEFAULT_BACKBONE)
@json_option
def verify_command(name: str, as_json: bool) -> None:
    """Recompute digest and fingerprint of a backbone's weights."""
    from retq_hub import probe
    from retq_hub.backbone import Backbone

    backbone = Backbone.from_pretrained(name, progress=BarProgress())
    spec, measured = backbone.spec, backbone.measure_fingerprint()
    distance = probe.deviation(spec.fingerprint, measured) if spec.fingerprint else None
    if distance is not None and distance > probe.TOLERANCE:
        what = f"is {distance:.2g} from the spec's, at most {probe.TOLERANCE} is allowed"
        raise CheckFailed(spec.id, [Finding(where="fingerprint", what=what)])
    if as_json:
        print_json(
            {
                "id": spec.id,
                "weights_digest": backbone.weights_digest,
                "fingerprint": to_json(measured),
                "deviation": distance,
            }
        )
        return
    click.echo(f"weights digest {backbone.weights_digest}")
    stated = "no fingerprint in the spec" if distance is None else f"{distance:.2g} from the spec's"
    click.echo(f"fingerprint    {stated}")


def _text(spec: BackboneSpec) -> list[tuple[str, str]]:
    """Say what its text encoder is, if it has one."""
    if spec.text is None:
        return []
    sentence = f"prompts of at most {spec.text.max_tokens} tokens in {spec.text.template!r}"
    vocabulary = "; ".join(describe(one) for one in spec.text.tokenizer.sources)
    return [("text", f"{spec.text.title}; {sentence}"), ("vocabulary", vocabulary)]


def _state(spec: BackboneSpec) -> str:
    return "here" if registry.has_weights(spec) else spec.access


def _input(how: Preprocessing) -> str:
    square = {
        "stretch": "stretched to a square",
        "pad": "padded with black to a square",
        "crop": f"stretched to a square; for the embedding the middle is cut out{_share(how)}",
    }
    grey = ", as grey" if how.grey else ""
    return f"{how.size_px} px, {how.resize}, {square[how.aspect]}{grey}"


def _share(how: Preprocessing) -> str:
    return f" ({how.share:.1%} of the shorter side)" if how.share else ""


def _position(spec: BackboneSpec) -> str:
    how = spec.position_embedding
    if how.resize == "none":
        return "none is learned"
    return f"{how.resize}, {'with' if how.antialias else 'without'} antialiasing"


def _source(source: Source) -> str:
    places = {
        "wheel": f"{source.package} {source.version} of the package index, {source.member}",
        "hub": f"{source.repo}@{source.revision}, {source.filename}",
        "url": source.url,
        "file": source.path,
        "page": f"{source.url}, by hand: {source.filename}",
    }
    if source.kind == "page":
        return str(places["page"])
    pin = f"sha256 {source.sha256[:12]}" if source.sha256 else "no digest known: give --sha256"
    return f"{places[source.kind]} ({pin})"
