"""Shots: a few images of each class, drawn from a split with labels."""

import hashlib
from collections import Counter
from dataclasses import replace

from retq_hub.errors import UsageError
from retq_hub.labels.labelset import LabelSet

__all__ = ["draw"]


def draw(labels: LabelSet, shots: int, *, seed: int) -> LabelSet:
    """Draw images of each class, by their content, whatever their order and names.

    More shots with the same seed keep those that fewer have. A file that is there under several
    names is drawn once; a class with fewer images has all of them drawn.

    Args:
        labels: The split; not ``multilabel``.
        shots: How many of each class.
        seed: Another one draws others.

    Returns:
        The split with the images that were drawn, in their order.

    Raises:
        UsageError: Fewer than one, or images that may have several labels.
        ImageError: An image cannot be read.
    """
    if shots < 1:
        raise UsageError(f"{shots} images of each class", hint="draw at least one")
    if labels.scale == "multilabel":
        raise UsageError(
            f"images of {labels.id} may have several labels: none is drawn class by class",
            hint="draw from labels that exclude each other",
        )
    ranks = {
        one.image_digest: hashlib.sha256(f"{seed}/{one.image_digest}".encode()).digest()
        for one in labels.samples
    }
    taken: Counter[int] = Counter()
    drawn: dict[str, int] = {}
    for number, one in sorted(
        enumerate(labels.samples), key=lambda pair: ranks[pair[1].image_digest]
    ):
        if one.image_digest not in drawn and taken[one.label[0]] < shots:
            taken[one.label[0]] += 1
            drawn[one.image_digest] = number
    kept = sorted(drawn.values())
    return replace(labels, samples=tuple(labels.samples[number] for number in kept))
