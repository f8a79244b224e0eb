"""What a query says of a whole image, target by target: shares, and words for them.

Pages import this where no photograph has come yet, so torch is not imported with it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

from retq_hub.manifest import Target

if TYPE_CHECKING:
    from retq_hub.result import Classification, Reading, ZeroShot

__all__ = ["Grading", "Share", "grading", "probability_text"]


@dataclass(frozen=True, kw_only=True)
class Share:
    """How likely one target is.

    Attributes:
        target: The target.
        probability: Between 0 and 1.
        said: Whether it is what the query says of the image, or among that.
        threshold: Above which it is said to be there; None where the most probable one counts.
    """

    target: Target
    probability: float
    said: bool
    threshold: float | None


@dataclass(frozen=True, kw_only=True)
class Grading:
    """What one query says of a whole image.

    Attributes:
        shares: One for each target, in the order of the manifest.
        exclusive: Whether the targets exclude each other, so that the probabilities sum to 1.
    """

    shares: tuple[Share, ...]
    exclusive: bool

    @property
    def highest(self) -> Share:
        """The most probable target."""
        return max(self.shares, key=lambda one: one.probability)

    @property
    def shown(self) -> Share:
        """The most probable of the targets that are said; of all, where none is."""
        return max(self.shares, key=lambda one: (one.said, one.probability))

    @property
    def text(self) -> str:
        """What is said, in the targets' labels; ``none of them`` where none is."""
        return ", ".join(one.target.label for one in self.shares if one.said) or "none of them"


@overload
def grading(found: "Classification | ZeroShot") -> Grading: ...


@overload
def grading(found: "Reading") -> Grading | None: ...


def grading(found: "Reading") -> Grading | None:
    """Give what a query says of the whole image; None for one that only marks pixels."""
    from retq_hub.result import Classification, ZeroShot

    if not isinstance(found, Classification | ZeroShot):
        return None
    manifest, said = found.manifest, found.prediction
    names = (said,) if isinstance(said, str) else said
    own = manifest.head.activation == "sigmoid"
    thresholds = manifest.head.thresholds if own else (None,) * len(manifest.targets)
    rows = zip(manifest.targets, found.probabilities, thresholds, strict=True)
    shares = tuple(
        Share(
            target=target,
            probability=float(value),
            said=target.name in names,
            threshold=threshold,
        )
        for target, value, threshold in rows
    )
    return Grading(shares=shares, exclusive=not own)


def probability_text(value: float) -> str:
    """Write a probability with three digits; what is not quite 0 or 1 is never written as such."""
    if 0 < value < 0.001:
        return "under 0.001"
    return "over 0.999" if 0.999 < value < 1 else f"{value:.3f}"
