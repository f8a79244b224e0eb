"""What somebody looks for among queries: words and filters; and whether a query fits a backbone."""

import re
from dataclasses import dataclass

from retq_hub.kinds import SEGMENTATION
from retq_hub.record import Record
from retq_hub.spec import BackboneSpec

__all__ = ["Wish", "fits"]

_PLAIN = re.compile(r"[ !#-\[\]-~]+")
"""Text that JSON writes as it is."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What somebody looks for; all of it must hold, in upper or lower case.

    Attributes:
        words: Each is part of the name, summary, a target, a data set, the backbone, the licence or
            the kind.
        kind: One of `retq_hub.kinds.KINDS`.
        target: Part of what a target is called.
        backbone: The query was made for its weights.
        dataset: Part of what a data set is called.
        licence: The query's licence.
        min_dice: The least Dice of the first evaluation.
    """

    words: tuple[str, ...] = ()
    target: str | None = None
    backbone: BackboneSpec | None = None
    dataset: str | None = None
    licence: str | None = None
    min_dice: float | None = None
    kind: str | None = None

    def matches(self, record: Record) -> bool:
        """Whether a record is what is looked for."""
        return (
            (self.min_dice is None or (record.dice is not None and record.dice >= self.min_dice))
            and (self.kind is None or self.kind == (record.kind or SEGMENTATION))
            and (self.backbone is None or _is_made_for(record, self.backbone))
            and (self.licence is None or self.licence.lower() == record.licence.lower())
            and _is_part(self.target, record.targets)
            and _is_part(self.dataset, record.datasets)
            and _has(self.words, record.text if self.words else "")
        )

    @property
    def needles(self) -> list[bytes]:
        """Texts that every record contains that matches, in lower case, the longest first."""
        digest = self.backbone.weights_digest if self.backbone else None
        kind = None if self.kind == SEGMENTATION else self.kind
        needed = [*self.words, self.target, self.dataset, self.licence, digest, kind]
        plain = {part for one in needed if one for part in _PLAIN.findall(one.lower())}
        return [one.encode("ascii") for one in sorted(plain, key=lambda one: (-len(one), one))]


def fits(
    spec: BackboneSpec, *, backbone: str | None, weights: str | None, preprocessing: str | None
) -> bool | None:
    """Say whether a query can be used with a backbone.

    Args:
        spec: The backbone.
        backbone: Id of the one that the query was made for.
        weights: Digest of its weights, or the first digits.
        preprocessing: Digest of its preprocessing.

    Returns:
        None if too little is known.
    """
    if not (spec.weights_digest and weights):
        return False if backbone and backbone != spec.id else None
    if not spec.weights_digest.startswith(weights):
        return False
    return preprocessing is None or preprocessing == spec.preprocessing_digest


def _is_made_for(record: Record, spec: BackboneSpec) -> bool:
    """Whether it was made for these weights; by the id where the spec names no weights."""
    if spec.weights_digest is None:
        return record.backbone == spec.id
    return record.weights_digest == spec.weights_digest


def _has(words: tuple[str, ...], text: str) -> bool:
    return all(word.lower() in text for word in words)


def _is_part(wanted: str | None, texts: tuple[str, ...]) -> bool:
    return wanted is None or any(wanted.lower() in text.lower() for text in texts)
