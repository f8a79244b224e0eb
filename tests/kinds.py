"""Artifacts of every kind but segmentation, with random vectors, and a tiny encoder with text."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from tiny import SPEC, random_state
from tiny import make_query as make_segmentation

from retq_hub import artifact, goldens, probe, weights
from retq_hub.artifact import Attention
from retq_hub.backbone import Backbone
from retq_hub.basis import Basis, Pass
from retq_hub.kinds import Pooling, Similarity, Text
from retq_hub.manifest import Head, QueryManifest, Target, from_json
from retq_hub.plans import assemble, plan
from retq_hub.spec import BackboneSpec

SCALE = 14.0


def texted(*, dense: bool = True) -> Backbone:
    """Make a tiny backbone that shares a space of 8 floats with text; random weights."""
    architecture = SPEC["architecture"] | {"projection": 8}
    changes = {"id": "tiny-clip", "architecture": architecture}
    if dense:
        architecture["dense"] = True
        changes["tokens"] = SPEC["tokens"] | {"width": 8, "layers": 1, "candidates": [0]}
    else:
        changes |= {"id": "tiny-flair", "pooling": "patch-mean"}
    spec = from_json(SPEC | changes, BackboneSpec)
    state = random_state(spec)
    return Backbone(spec=spec, state=state, weights_digest=weights.digest_of(state))


def make_classification(
    folder: Path,
    *,
    backbone: Backbone,
    name: str = "tiny-grade",
    version: str = "1.0.0",
    method: str = "attention",
    activation: str = "softmax",
    weighting: str = "softmax",
    basis: Basis | None = None,
    reads: Basis | None = None,
    classes: Sequence[str] = ("none", "mild", "severe"),
    maps: int = 1,
    whole: bool = False,
    seed: int = 0,
) -> Path:
    """Write a valid artifact that classifies with random vectors, and give its folder."""
    spec = backbone.spec
    basis = basis or Basis(
        passes=(Pass(size_px=spec.preprocessing.size_px, tiles=1, layers=(1,)),), norm=True
    )
    attends = method == "attention"
    width = spec.tokens.width * len(basis.layers) if attends else spec.tokens.width
    E = width * (maps + whole) if attends else width
    generator = torch.Generator().manual_seed(seed)
    K = len(classes)
    ordinal = activation == "ordinal"
    vector = torch.randn(1 if ordinal else K, E, generator=generator) / E**0.5
    bias = torch.linspace(1, -1, K - 1) if ordinal else torch.randn(K, generator=generator)
    attention = None
    if attends:
        D = spec.tokens.width * len((reads or basis).layers)
        attention = (torch.randn(maps, D, generator=generator), torch.zeros(maps))
        golden = goldens.of_attention(
            probed(backbone, reads or basis),
            attention,
            probed(backbone, basis),
            (vector, bias),
            weighting=weighting,
            whole=whole,
        )
    else:
        image = Image.fromarray(probe.probe_image(spec.preprocessing.size_px))
        embedding = backbone.tokens(image, {}, embed=True)[1]
        golden = goldens.of_scores(embedding, vector, bias)
    pooling = Pooling(method=method)
    if attends:
        pooling = Pooling(
            method=method, weighting=weighting, basis=reads, whole=True if whole else None
        )
    manifest = replace(
        _manifest(folder, backbone, name, version, classes),
        kind="classification",
        pooling=pooling,
        basis=basis,
        head=Head(
            activation=activation,
            thresholds=(0.5,) * K if activation == "sigmoid" else (),
            threshold_choice="half" if activation == "sigmoid" else "none: the most probable",
        ),
    )
    artifact.write(
        folder,
        manifest=manifest,
        vector=vector.numpy(),
        bias=bias.numpy(),
        golden=golden,
        card=f"# {name}\n",
        attention=attention and Attention(vector=attention[0].numpy(), bias=attention[1].numpy()),
    )
    return folder


def make_text(
    folder: Path,
    *,
    backbone: Backbone,
    name: str = "tiny-text",
    version: str = "1.0.0",
    classes: Sequence[str] = ("hard exudates", "haemorrhages"),
    per: str = "token",
    seed: int = 0,
) -> Path:
    """Write a valid artifact of random text embeddings, and give its folder."""
    spec = backbone.spec
    size = spec.preprocessing.size_px
    last = spec.tokens.layers - 1
    basis = Basis(passes=(Pass(size_px=size, tiles=1, layers=(last,)),), norm=True)
    generator = torch.Generator().manual_seed(seed)
    vector = torch.randn(len(classes), spec.architecture.projection or 0, generator=generator)
    vector = vector / vector.norm(dim=1, keepdim=True)
    bias = torch.zeros(len(classes))
    tokens, whole = backbone.tokens(
        Image.fromarray(probe.probe_image(size)), plan([basis]), embed=True
    )
    (block,) = assemble(tokens, basis)
    shared = backbone.shared(block)
    length = backbone.shared(whole).norm() if per == "image" else shared.norm(dim=1, keepdim=True)
    manifest = replace(
        _manifest(folder, backbone, name, version, classes),
        kind="text",
        basis=basis,
        head=Head(
            activation="softmax",
            thresholds=(0.5,) * len(classes),
            threshold_choice="half",
            background=False,
            similarity=Similarity(scale=SCALE, per=per),
        ),
        text=Text(
            encoder="random numbers",
            prompts=tuple((one,) for one in classes),
            template="{}",
            averaging="one prompt each, unit length",
            tokenizer="0" * 64,
        ),
        data=(),
    )
    artifact.write(
        folder,
        manifest=manifest,
        vector=vector.numpy(),
        bias=bias.numpy(),
        golden=goldens.of_map([SCALE * shared / length], vector, bias),
        card=f"# {name}\n",
    )
    return folder


def probed(backbone: Backbone, basis: Basis) -> list[torch.Tensor]:
    """Give the probe image's tokens, a block a pass."""
    image = Image.fromarray(probe.probe_image(max(one.side_px for one in basis.passes)))
    return assemble(backbone.tokens(image, plan([basis]))[0], basis)


def _manifest(
    folder: Path, backbone: Backbone, name: str, version: str, classes: Sequence[str]
) -> QueryManifest:
    """Give what all kinds have, of a segmentation query for the same backbone."""
    scratch = folder.parent / f"{folder.name}-as-map"
    last = backbone.spec.tokens.layers - 1
    make_segmentation(
        scratch,
        backbone=backbone,
        name=name,
        version=version,
        layers=(last,),
        targets=len(classes),
        measured=False,
        size_px=backbone.spec.preprocessing.size_px,
    )
    found = artifact.read_manifest(scratch)
    for path in scratch.iterdir():
        path.unlink()
    scratch.rmdir()
    slugs = [one.replace(" ", "-") for one in classes]
    targets = tuple(
        Target(name=slug, label=label) for slug, label in zip(slugs, classes, strict=True)
    )
    return replace(found, targets=targets, summary="Grades what random vectors grade.")
