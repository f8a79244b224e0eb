"""Graders and texts to be looked at: labels of the field, figures, attention that is not even.

They fit any backbone, the tiny one of the tests or a real one; `kinds` makes the plainest ones.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from retq_hub import artifact, goldens, probe
from retq_hub.artifact import Attention
from retq_hub.backbone import Backbone
from retq_hub.basis import Basis, Pass
from retq_hub.kinds import (
    CLASSIFICATION,
    TEXT,
    Derived,
    Estimate,
    Graded,
    Pooling,
    Similarity,
    Text,
)
from retq_hub.manifest import (
    DataUse,
    Head,
    Licence,
    QueryManifest,
    Target,
    Training,
)
from retq_hub.plans import assemble, plan

GRADES = ("no retinopathy", "mild", "moderate", "severe", "proliferative")
SIGNS = ("drusen", "haemorrhages", "cotton-wool spots")
CC0 = Licence(id="CC0-1.0", commercial_use=True)
GRADED = Graded(
    dataset="nothing",
    split="test",
    split_digest="0" * 64,
    n_images=20,
    values={
        "quadratic_kappa": Estimate(value=0.625, ci95=(0.5, 0.75)),
        "auroc": Estimate(value=0.875, ci95=(0.8, 0.95)),
        "balanced_accuracy": Estimate(value=0.5, ci95=(0.4, 0.6)),
        "accuracy": Estimate(value=0.55, ci95=(0.45, 0.65)),
    },
)


def make_grader(
    folder: Path,
    *,
    backbone: Backbone,
    pool: str = "embedding",
    activation: str = "softmax",
    labels: tuple[str, ...] = GRADES,
    name: str = "tiny-grade",
    version: str = "1.0.0",
    layers: tuple[int, ...] = (1,),
    heads: int = 1,
    whole: bool | None = None,
    seed: int = 0,
    scale: float = 1.0,
    measured: bool = True,
    **changes: Any,
) -> Path:
    """Write a valid classification with random vectors and give its folder.

    Args:
        folder: Where.
        backbone: What it is for.
        pool: ``embedding`` or ``attention``.
        activation: ``softmax``, ``sigmoid`` or ``ordinal``.
        labels: Of the targets.
        name: Its name.
        version: Its version.
        layers: What attention and classifier read.
        heads: Attention vectors.
        whole: Whether the plain mean is classified too.
        seed: Of the vectors.
        scale: Of the attention vectors: a large one looks at few places.
        measured: Whether it has figures.
        changes: Other members of the manifest.
    """
    size_px = backbone.spec.preprocessing.size_px
    basis = Basis(passes=(Pass(size_px=size_px, tiles=1, layers=layers),), norm=True)
    draw = torch.Generator().manual_seed(seed)
    image = Image.fromarray(probe.probe_image(size_px))
    K, ordinal = len(labels), activation == "ordinal"
    bias = torch.randn(K - 1 if ordinal else K, generator=draw).sort(descending=True).values
    rows, attention = 1 if ordinal else K, None
    if pool == "embedding":
        how = Pooling(method="embedding")
        pooled = backbone.tokens(image, {}, embed=True)[1]
        vector = 2 * torch.randn(rows, len(pooled), generator=draw) / pooled.norm()
        golden = goldens.of_scores(pooled, vector, bias)
    else:
        how = Pooling(method="attention", weighting="softmax", whole=whole)
        blocks = assemble(backbone.tokens(image, plan([basis]))[0], basis)
        E = blocks[0].shape[1] * (heads + bool(whole))
        length = blocks[0].norm(dim=1).mean() * (heads + bool(whole)) ** 0.5
        vector = 2 * torch.randn(rows, E, generator=draw) / length
        looks = (scale * torch.randn(heads, blocks[0].shape[1], generator=draw), torch.zeros(heads))
        attention = Attention(vector=looks[0].numpy(), bias=looks[1].numpy())
        golden = goldens.of_attention(
            blocks, looks, blocks, (vector, bias), weighting="softmax", whole=bool(whole)
        )
    manifest = replace(
        _manifest(name, version, labels, backbone, basis),
        kind=CLASSIFICATION,
        pooling=how,
        head=Head(
            activation=activation,
            thresholds=(0.5,) * K if activation == "sigmoid" else (),
            threshold_choice="half" if activation == "sigmoid" else "the most probable counts",
        ),
        graded=(GRADED,) if measured else None,
        **changes,
    )
    artifact.write(
        folder,
        manifest=manifest,
        vector=vector.numpy(),
        bias=bias.numpy(),
        attention=attention,
        golden=golden,
        card=f"# {name}\n",
    )
    return folder


def make_text(
    folder: Path,
    *,
    backbone: Backbone,
    labels: tuple[str, ...] = SIGNS,
    name: str = "tiny-texts",
    version: str = "1.0.0",
    seed: int = 0,
    scale: float = 20.0,
) -> Path:
    """Write a valid query of texts, random directions in the shared space, and give its folder."""
    size_px = backbone.spec.preprocessing.size_px
    basis = Basis(passes=(Pass(size_px=size_px, tiles=1, layers=(0,)),), norm=True)
    image = Image.fromarray(probe.probe_image(size_px))
    (block,) = assemble(backbone.tokens(image, plan([basis]))[0], basis)
    tokens = scale * torch.nn.functional.normalize(backbone.shared(block), dim=-1)
    draw = torch.Generator().manual_seed(seed)
    vector = torch.nn.functional.normalize(
        torch.randn(len(labels), tokens.shape[1], generator=draw), dim=-1
    )
    bias = torch.zeros(len(labels))
    manifest = replace(
        _manifest(name, version, labels, backbone, basis),
        kind=TEXT,
        head=Head(
            activation="softmax",
            thresholds=(0.5,) * len(labels),
            threshold_choice="more likely than all others together",
            background=False,
            similarity=Similarity(scale=scale, per="token"),
        ),
        text=Text(
            encoder="drawn at random",
            prompts=tuple((f"a photograph of {label}", label) for label in labels),
            template="{}",
            averaging="none",
            tokenizer="0" * 64,
        ),
        data=(),
    )
    artifact.write(
        folder,
        manifest=manifest,
        vector=vector.numpy(),
        bias=bias.numpy(),
        golden=goldens.of_map([tokens], vector, bias),
        card=f"# {name}\n",
    )
    return folder


def derived(how: str = "weighted by") -> Derived:
    """An artifact that another one says it was made from."""
    return Derived(how=how, name="tiny-disc", version="1.0.0", digest="a" * 64)


def _manifest(
    name: str, version: str, labels: tuple[str, ...], backbone: Backbone, basis: Basis
) -> QueryManifest:
    return QueryManifest(
        name=name,
        version=version,
        summary="Tells what random vectors tell.",
        targets=tuple(Target(name=label.replace(" ", "-"), label=label) for label in labels),
        backbone=backbone.ref,
        basis=basis,
        head=Head(activation="softmax", thresholds=(), threshold_choice="none"),
        training=Training(
            recipe="random", loss="none", l2=0.0, seed=0, selection="given", versions={"torch": "2"}
        ),
        data=(
            DataUse(
                id="nothing",
                title="No data at all",
                licence=CC0,
                split="train",
                split_digest="0" * 64,
                n_images=10,
                n_positive=(2,) * len(labels),
            ),
        ),
        metrics=(),
        licence=CC0,
        authors=("Nobody",),
        intended_use="Tests.",
        limits="It tells nothing in particular.",
        files={},
    )
