"""Make an artifact of texts: the vectors are their embeddings, and no image is needed for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version as version_of
from pathlib import Path
from textwrap import shorten

import torch
from torch import Tensor

from retq_hub import delivery, goldens, pooling, registry, weights
from retq_hub.artifact import Golden
from retq_hub.backbone import Backbone
from retq_hub.basis import Basis
from retq_hub.errors import UsageError
from retq_hub.features import TokenCache
from retq_hub.kinds import TEXT, Similarity, Text
from retq_hub.manifest import Head, Licence, QueryManifest, Target, Training
from retq_hub.plans import last_layer
from retq_hub.progress import Progress, Silent
from retq_hub.spec import BackboneSpec, TextSpec
from retq_hub.texts import vocabulary
from retq_hub.texts.encoder import TextEncoder
from retq_hub.texts.tokenizer import Tokenizer
from retq_hub.texts.wording import Wording, checked
from retq_hub.threads import one_thread

__all__ = ["Embedded", "compile_text", "embed"]

_AVERAGING = {
    "mean": "mean of the prompts' unit vectors",
    "unit-mean": "mean of the prompts' unit vectors, brought to unit norm",
}
_CHOICE = "one over the number of targets: a pixel belongs to its most probable target"
_INTENDED_USE = "Research on {targets}; a first look without training, comparison."
_LIMITS = (
    "Made from words alone and measured on no image. Probabilities are of one target against the "
    "others named here, whatever else the image shows. A map of {grid} x {grid} cells: outlines "
    "are approximate."
)


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """Targets in the space that texts share with images.

    Attributes:
        spec: The text encoder.
        template: The sentence that prompts were put into.
        vectors: (C, P) float32.
        scale: What cosines are multiplied by.
        tokenizer: SHA-256 of the tokenizer's vocabulary.
        revision: Weights digest of the text encoder.
    """

    spec: TextSpec
    template: str
    vectors: Tensor
    scale: float
    tokenizer: str
    revision: str


def embed(
    spec: BackboneSpec,
    targets: Sequence[Wording],
    *,
    template: str | None = None,
    tokenizer: Path | None = None,
    progress: Progress | None = None,
) -> Embedded:
    """Encode the prompts of targets, and average them target by target.

    The prompts of one target are encoded together, padded to the longest of them; those of another
    target have no part in it. FLAIR averages over padding too, so that this is part of its vector.

    Source: zero-shot classifiers of FLAIR (Silva-Rodríguez et al., 2025: unit vectors averaged) and
    CLIP (Radford et al., 2021: brought to unit norm afterwards).

    Args:
        spec: The backbone.
        targets: What is looked for.
        template: The sentence that prompts are put into, in place of ``{}``; the spec's if not
            given.
        tokenizer: A folder with the tokenizer's vocabulary; its source if not given.
        progress: Where to report a download.

    Raises:
        UsageError: The backbone has no text encoder, a prompt is too long, the template has no
            place for it, or the extra ``text`` is not installed.
        NotFoundError: The weights that are here have no text encoder, or the vocabulary is missing.
        IntegrityError: Weights or vocabulary are not the right ones.
        NetworkError: Weights or vocabulary cannot be had.
    """
    progress = progress or Silent()
    text = vocabulary.text_of(spec, _with_text())
    sentence = _template(template, text)
    file = vocabulary.find(spec, text, folder=tokenizer, progress=progress)
    tokens = Tokenizer(text, file)
    groups = [tokens([sentence.replace("{}", one) for one in each.prompts]) for each in targets]
    found = weights.ensure(spec, progress=progress)
    encoder = TextEncoder(text, weights.load_text(found, spec))
    with one_thread():
        shown = progress.steps(groups, what="encoding prompts", total=len(groups))
        vectors = torch.stack([encoder(group).mean(0) for group in shown])
        if text.average == "unit-mean":
            vectors = vectors / vectors.norm(dim=1, keepdim=True)
    return Embedded(
        spec=text,
        template=sentence,
        vectors=vectors,
        scale=encoder.scale,
        tokenizer=tokens.digest,
        revision=str(found.text_digest),
    )


def compile_text(
    targets: Sequence[Wording],
    output: Path,
    *,
    backbone: str,
    name: str,
    version: str = "1.0.0",
    summary: str | None = None,
    template: str | None = None,
    tokenizer: Path | None = None,
    licence: Licence | None = None,
    authors: Sequence[str] = ("not named",),
    progress: Progress | None = None,
) -> QueryManifest:
    """Make an artifact whose vectors are the embeddings of texts.

    Args:
        targets: What is looked for, two at least.
        output: The artifact's folder.
        backbone: The id, or the path of the spec, of a backbone with a text encoder.
        name: The artifact's name.
        version: Its version.
        summary: A line on what it marks; made from the targets if not given.
        template: See `embed`.
        tokenizer: See `embed`.
        licence: The artifact's licence; the backbone's if not given.
        authors: Who made it.
        progress: Where to report.

    Returns:
        The manifest as it was written.

    Raises:
        UsageError: Targets that cannot be told apart, what `embed` raises it for, or ``output``
            holds something else than an artifact.
        ManifestError: Name, version or summary are not as the schema wants them.
        NotFoundError: See `embed`.
        IntegrityError: See `embed`.
        NetworkError: See `embed`.
        StorageError: Cache or output cannot be written.
    """
    progress, targets = progress or Silent(), checked(targets)
    labels = _named(targets)
    summary = summary or f"Tells {labels} apart, from words alone."
    delivery.check(output, name=name, version=version, summary=summary)
    spec = registry.backbone_spec(backbone)
    found = embed(spec, targets, template=template, tokenizer=tokenizer, progress=progress)
    encoder = Backbone.asleep(backbone, progress=progress)
    similarity = Similarity(scale=found.scale, per=found.spec.similarity)
    basis = last_layer(spec)
    golden = _golden(encoder, basis, similarity, found.vectors)
    manifest = QueryManifest(
        kind=TEXT,
        name=name,
        version=version,
        summary=summary,
        targets=tuple(Target(name=one.name, label=one.label) for one in targets),
        backbone=encoder.ref,
        basis=basis,
        head=_head(len(targets), similarity),
        training=_training(),
        text=_text(found, targets),
        data=(),
        metrics=(),
        licence=licence or spec.licence,
        authors=tuple(authors),
        intended_use=_INTENDED_USE.format(targets=labels),
        limits=_LIMITS.format(grid=spec.tokens.grid),
        files={},
    )
    return delivery.deliver(
        output,
        manifest=manifest,
        vector=found.vectors,
        bias=torch.zeros(len(targets)),
        golden=golden,
        backbone=encoder,
        progress=progress,
    )


def _named(targets: Sequence[Wording]) -> str:
    """Name the first targets, in a few words each, and count the others."""
    named = [shorten(one.label, 48, placeholder="...") for one in targets[:3]]
    more = [f"{len(targets) - 3} more"] if len(targets) > 3 else []
    *first, last = named + more
    return f"{', '.join(first)} and {last}"


def _text(found: Embedded, targets: Sequence[Wording]) -> Text:
    return Text(
        encoder=found.spec.title,
        prompts=tuple(one.prompts for one in targets),
        template=found.template,
        averaging=_AVERAGING[found.spec.average],
        tokenizer=found.tokenizer,
        revision=found.revision,
    )


def _with_text() -> tuple[str, ...]:
    return tuple(one.id for one in registry.backbone_specs().values() if one.text is not None)


def _template(template: str | None, text: TextSpec) -> str:
    sentence = text.template if template is None else template
    if "{}" not in sentence:
        raise UsageError(
            f"the template {sentence!r} has no place for a prompt",
            hint=f"put {{}} there, as in {text.template!r}",
        )
    return sentence


def _head(count: int, similarity: Similarity) -> Head:
    return Head(
        activation="softmax",
        thresholds=(1 / count,) * count,
        threshold_choice=_CHOICE,
        background=False,
        similarity=similarity,
    )


def _training() -> Training:
    packages = ("tokenizers", "transformers")
    versions = delivery.versions() | {one: version_of(one) for one in packages}
    return Training(
        recipe="text", loss="none", l2=0.0, seed=0, selection="given", versions=versions
    )


def _golden(backbone: Backbone, basis: Basis, similarity: Similarity, vectors: Tensor) -> Golden:
    """Record what the texts give on the probe image."""
    cache = TokenCache(backbone=backbone)
    (block,) = cache.probe(basis)
    with one_thread():
        tokens, whole = (backbone.shared(one) for one in (block, cache.probe_embedding()))
        tokens = pooling.aligned(tokens, whole, scale=similarity.scale, per=similarity.per)
    return goldens.of_map([tokens], vectors, torch.zeros(len(vectors)))
