"""What somebody looks for among queries: words and filters."""

import re
from dataclasses import dataclass

from retq_hub.compatibility import Equivalents
from retq_hub.kinds import SEGMENTATION
from retq_hub.record import Record

__all__ = ["Wish"]

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
        backbone: The query may be used with it.
        dataset: Part of what a data set is called.
        licence: The query's licence.
        min_dice: The least Dice of the first evaluation.
    """

    words: tuple[str, ...] = ()
    target: str | None = None
    backbone: Equivalents | None = None
    dataset: str | None = None
    licence: str | None = None
    min_dice: float | None = None
    kind: str | None = None

    def matches(self, record: Record) -> bool:
        """Whether a record is what is looked for."""
        return (
            (self.min_dice is None or (record.dice is not None and record.dice >= self.min_dice))
            and (self.kind is None or self.kind == (record.kind or SEGMENTATION))
            and (self.backbone is None or _is_for(record, self.backbone))
            and (self.licence is None or self.licence.lower() == record.licence.lower())
            and _is_part(self.target, record.targets)
            and _is_part(self.dataset, record.datasets)
            and _has(self.words, record.text if self.words else "")
        )

    @property
    def needles(self) -> list[bytes]:
        """Texts that every record contains that matches, in lower case, the longest first."""
        digests = self.backbone.weights if self.backbone else ()
        kind = None if self.kind == SEGMENTATION else self.kind
        needed = [*self.words, self.target, self.dataset, self.licence, kind]
        needed += digests if len(digests) == 1 else ()
        plain = {part for one in needed if one for part in _PLAIN.findall(one.lower())}
        return [one.encode("ascii") for one in sorted(plain, key=lambda one: (-len(one), one))]


def _is_for(record: Record, backbone: Equivalents) -> bool:
    """Whether it may be used with a backbone; what is not known to be unfit is kept."""
    return backbone.fits(
        backbone=record.backbone,
        weights=record.weights_digest,
        preprocessing=record.preprocessing_digest,
    ) in (True, None)


def _has(words: tuple[str, ...], text: str) -> bool:
    return all(word.lower() in text for word in words)


def _is_part(wanted: str | None, texts: tuple[str, ...]) -> bool:
    return wanted is None or any(wanted.lower() in text.lower() for text in texts)
