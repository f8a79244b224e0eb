"""What makes an artifact something else than a segmentation query, as its manifest says it.

Frozen data classes only, and the three words for what an artifact may be.
"""

from dataclasses import dataclass

from retq_hub.basis import Basis

__all__ = [
    "CLASSIFICATION",
    "KINDS",
    "SEGMENTATION",
    "TEXT",
    "Agreement",
    "Derived",
    "Estimate",
    "Graded",
    "Pooling",
    "Similarity",
    "Text",
]

SEGMENTATION = "segmentation"
CLASSIFICATION = "classification"
TEXT = "text"

KINDS = (SEGMENTATION, CLASSIFICATION, TEXT)
"""Marks pixels; speaks of the whole image; both, from the embeddings of texts."""


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """Dot products are cosines times a scale, in the space that images share with text.

    Attributes:
        scale: What cosines are multiplied by: one over the temperature.
        per: ``token``: each token is divided by its own norm; ``image``: all tokens of an image by
            the norm of the image embedding, so that the map's mean is the logit of the image.
    """

    scale: float
    per: str


@dataclass(frozen=True, kw_only=True)
class Pooling:
    """How an image becomes one vector, which is classified.

    Attributes:
        method: ``embedding``: the backbone's own image embedding; ``attention``: means of the
            tokens, weighted by attention vectors.
        weighting: ``softmax``: of the attention logits over the positions; ``sigmoid``: of each,
            divided by their sum.
        basis: Which tokens attention reads; None: the same as the classifier.
        whole: Whether the plain mean of the tokens comes before the weighted ones.
    """

    method: str
    weighting: str | None = None
    basis: Basis | None = None
    whole: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Text:
    """The texts that vectors were made of, and by what.

    Attributes:
        encoder: What encoded them.
        prompts: The prompts of each target.
        template: What they were put into; ``{}`` stands for a prompt.
        averaging: What was done to the embeddings of a target's prompts.
        tokenizer: SHA-256 of the tokenizer's vocabulary.
        revision: Of the encoder, where it has one.
    """

    encoder: str
    prompts: tuple[tuple[str, ...], ...]
    template: str
    averaging: str
    tokenizer: str
    revision: str | None = None


@dataclass(frozen=True, kw_only=True)
class Derived:
    """An artifact from which another one was made.

    Attributes:
        how: What it was used for: ``ported from``, ``merged from``, ``weighted by`` ...
        name: Its name.
        version: Its version.
        digest: Its digest.
    """

    how: str
    name: str
    version: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure over all images of a split, with its 95 % bootstrap interval over images."""

    value: float
    ci95: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Graded:
    """The image-level figures of one evaluation."""

    dataset: str
    split: str
    split_digest: str
    n_images: int
    values: dict[str, Estimate]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far a query says the same of images as the one that it was carried over from.

    Attributes:
        target: What is marked.
        split_digest: Of the images, which had no part in its making.
        n_images: Their number.
        n_marked: On so many of them the source marks something.
        size_px: Side of the square that is compared.
        values: ``dice`` of the masks and ``correlation`` of the logits, means over images.
    """

    target: str
    split_digest: str
    n_images: int
    n_marked: int
    size_px: int
    values: dict[str, Estimate]
