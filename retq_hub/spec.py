"""The frozen data classes of a backbone spec, ``registry/backbones/<id>.json``."""

from dataclasses import dataclass, replace
from typing import Any

from retq_hub.digest import json_digest
from retq_hub.manifest import Fingerprint, Licence, to_json

__all__ = [
    "Architecture",
    "BackboneSpec",
    "Checkpoint",
    "PositionEmbedding",
    "Preprocessing",
    "Source",
    "Step",
    "TextSpec",
    "TokenizerSpec",
    "Tokens",
]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """How to build an encoder.

    ``projection`` is the width of a space that it shares with a text encoder, reached by one
    matrix; ``dense`` says that tokens are brought there, the last block's attention replaced by
    the values alone, so that each token speaks of its own place.
    """

    library: str
    name: str
    args: dict[str, Any]
    projection: int | None = None
    dense: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """What an encoder gives: D, layers, prefix tokens (class, register), patch, grid side."""

    width: int
    layers: int
    prefix: int
    patch_px: int
    grid: int
    candidates: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class PositionEmbedding:
    """How position embeddings are brought to another grid.

    ``offset`` is added to the goal's side when the scale is computed, as the first DINO did.
    """

    resize: str
    antialias: bool
    offset: float | None = None


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """From an RGB image to the encoder's input: resize, divide by 255, subtract, divide.

    ``aspect`` says how an image becomes a square, see `retq_hub.geometry`; ``share`` how much of
    the shorter side is kept where the middle is cut out, all if absent. ``grey`` reduces colours
    to their luminance first, three equal channels. ``unrounded``: resized values keep their
    fractions; else they are whole numbers. ``decoding`` ``scaled``: a JPEG is decoded no larger
    than what is made of it needs, see `retq_hub.photograph`; absent: in full.
    """

    size_px: int
    resize: str
    antialias: bool
    aspect: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    grey: bool | None = None
    share: float | None = None
    unrounded: bool | None = None
    decoding: str | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a key map; ``names`` and ``to`` are patterns in which ``*`` is anything."""

    op: str
    names: tuple[str, ...]
    to: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """In which form the weights come: where the state dict lies, and how it becomes canonical."""

    format: str
    key: str | None = None
    map: tuple[Step, ...] = ()
    position_class: str | None = None
    position_grid: str | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """A place to get weights from; which members are set depends on ``kind``.

    ``accept`` says what its owner asks for before anybody may have the file.
    """

    kind: str
    sha256: str | None = None
    size: int | None = None
    path: str | None = None
    repo: str | None = None
    revision: str | None = None
    filename: str | None = None
    url: str | None = None
    package: str | None = None
    version: str | None = None
    wheel_sha256: str | None = None
    wheel_size: int | None = None
    member: str | None = None
    accept: str | None = None


@dataclass(frozen=True, kw_only=True)
class TokenizerSpec:
    """How prompts become numbers: ``wordpiece`` or ``bpe``, and where its vocabulary is had.

    ``digest`` is that of the vocabulary, see `retq_hub.texts.tokenizer`.
    """

    kind: str
    lowercase: bool
    sources: tuple[Source, ...]
    digest: str | None = None


@dataclass(frozen=True, kw_only=True)
class TextSpec:
    """The text encoder beside an image encoder, its weights in the same checkpoint.

    Attributes:
        title: What it is, for people.
        name: The class of ``transformers`` that builds it.
        config: Arguments of that class's configuration.
        max_tokens: Longest prompt, its begin and end tokens counted.
        pooling: ``class-token``, ``end-token``, or ``layer-mean``: over ``layers`` and all
            positions, padding counted.
        projection: Widths of the matrices that lead to the shared space, GELU between them.
        average: How the unit-norm prompts of a target become its vector: their ``mean``, or
            ``unit-mean``, brought to unit norm again.
        similarity: By whose norm tokens are divided: ``image`` or ``token``.
        template: The sentence that a prompt is put into, in place of ``{}``.
        tokenizer: How prompts become numbers.
        map: From the checkpoint to the names that `retq_hub.texts.encoder` has.
        layers: Of ``layer-mean``, 0: the embeddings; None: there are none to choose.
        log_scale: What the logarithm of the scale is held to; None: it is taken as it is.
    """

    title: str
    name: str
    config: dict[str, Any]
    max_tokens: int
    pooling: str
    projection: tuple[int, ...]
    average: str
    similarity: str
    template: str
    tokenizer: TokenizerSpec
    map: tuple[Step, ...]
    layers: tuple[int, ...] | None = None
    log_scale: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class BackboneSpec:
    """A backbone, as ``registry/backbones/<id>.json`` describes it."""

    id: str
    title: str
    summary: str
    modality: str
    architecture: Architecture
    tokens: Tokens
    position_embedding: PositionEmbedding
    preprocessing: Preprocessing
    pooling: str
    checkpoint: Checkpoint
    sources: tuple[Source, ...]
    licence: Licence
    weights_digest: str | None
    fingerprint: Fingerprint | None
    text: TextSpec | None = None
    citation: str | None = None
    hub_id: str | None = None
    spec: str = "retq-backbone/1"

    @property
    def access(self) -> str:
        """How its weights are had: ``obtainable``, ``gated`` (accept first) or ``by hand``."""
        first = self.sources[0]
        if first.accept is not None:
            return "gated"
        return "by hand" if first.kind == "page" else "obtainable"

    @property
    def preprocessing_digest(self) -> str:
        """SHA-256 of all that decides what the encoder sees and which tokens it makes of it."""
        return self._digest_with(self.preprocessing)

    @property
    def preprocessing_digests(self) -> tuple[str, ...]:
        """Its own preprocessing digest, and that of files being decoded in the other way."""
        others = [one for one in (None, "scaled") if one != self.preprocessing.decoding]
        return (
            self.preprocessing_digest,
            *(self._digest_with(replace(self.preprocessing, decoding=one)) for one in others),
        )

    def _digest_with(self, preprocessing: Preprocessing) -> str:
        document = {
            "position_embedding": to_json(self.position_embedding),
            "preprocessing": to_json(preprocessing),
        }
        return json_digest(document | ({"dense": True} if self.architecture.dense else {}))
