"""Whether a query that was made for one backbone may be applied to another. No torch here.

Nothing else decides it. `check` has the query and the weights before it; `Equivalents` foretells
its answer for queries of which a list alone is known.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from retq_hub import probe
from retq_hub.errors import BackboneMismatch, IntegrityError
from retq_hub.manifest import BackboneRef, Fingerprint, QueryManifest
from retq_hub.notation import width
from retq_hub.spec import BackboneSpec

__all__ = ["Equivalents", "check", "check_shape", "equivalents", "is_fed_alike"]


@dataclass(frozen=True, kw_only=True)
class Equivalents:
    """Weights that compute what those of a backbone do, as far as its and others' specs say.

    Attributes:
        id: The backbone's.
        preprocessing_digests: Of the backbone, and where files are decoded in another way.
        weights: Digests of weights, its own first; none if its own are not known.
    """

    id: str
    preprocessing_digests: tuple[str, ...]
    weights: tuple[str, ...]

    def fits(
        self, *, backbone: str | None, weights: str | None, preprocessing: str | None
    ) -> bool | None:
        """Say whether a query can be used with the backbone.

        Args:
            backbone: Id of the one that the query was made for.
            weights: Digest of its weights, or the first digits.
            preprocessing: Digest of its preprocessing.

        Returns:
            None if too little is known.
        """
        if preprocessing not in (None, *self.preprocessing_digests):
            return False
        if self.weights and weights:
            return any(one.startswith(weights) for one in self.weights)
        return False if backbone and backbone != self.id else None


def equivalents(
    spec: BackboneSpec, weights_digest: str | None, others: Iterable[BackboneSpec]
) -> Equivalents:
    """Give the weights that count as a backbone's: its own, and those whose fingerprints agree.

    Args:
        spec: The backbone.
        weights_digest: Of its weights at hand; what the spec pins if there are none.
        others: The backbones that are known.
    """
    own = weights_digest or spec.weights_digest
    pinned = spec.fingerprint if own == spec.weights_digest else None
    twins = {
        one.weights_digest: None
        for one in others
        if pinned and one.weights_digest and one.fingerprint
        if one.weights_digest != own and _distance(one.fingerprint, pinned) <= probe.TOLERANCE
    }
    return Equivalents(
        id=spec.id,
        preprocessing_digests=spec.preprocessing_digests,
        weights=(own, *twins) if own else (),
    )


def check(
    ref: BackboneRef,
    spec: BackboneSpec,
    weights_digest: str,
    fingerprint: Callable[[], Fingerprint],
    allow_mismatch: bool = False,
) -> str:
    """Compare by digests, and by fingerprints where the weights' digests differ.

    Args:
        ref: The backbone that the query was made for.
        spec: The backbone at hand.
        weights_digest: Of the backbone at hand.
        fingerprint: Gives that of the backbone at hand; called only if it is needed. Where it has
            none, an IntegrityError of this call counts as another one.
        allow_mismatch: The user insists.

    Returns:
        What the user should know, in a line; empty where all is equal.

    Raises:
        BackboneMismatch: Other weights or other preprocessing; both digests are named.
    """
    if not is_fed_alike(ref, spec):
        return _refuse(
            f"it was made with preprocessing {ref.preprocessing_digest} ({ref.id}), "
            f"this is {spec.preprocessing_digest} ({spec.id})",
            allow_mismatch,
        )
    decoding = "" if ref.preprocessing_digest == spec.preprocessing_digest else _decoded(spec)
    if ref.weights_digest == weights_digest:
        return decoding
    other = f"weights {ref.weights_digest} ({ref.id})"
    this = f"{weights_digest} ({spec.id})"
    try:
        distance = _distance(ref.fingerprint, fingerprint())
    except IntegrityError:
        distance = float("inf")
    if distance <= probe.TOLERANCE:
        same = (
            f"it was made with {other}, this is {this}, but they compute the same "
            f"(fingerprints {distance:.2g} apart)"
        )
        return "; ".join(filter(None, (same, decoding)))
    return _refuse(
        f"it was made with {other}, this is {this}; fingerprints {distance:.2g} apart",
        allow_mismatch,
    )


def is_fed_alike(ref: BackboneRef, spec: BackboneSpec) -> bool:
    """Whether a backbone sees an image as the one did that a query was made for.

    In which way JPEGs are decoded may differ: that changes pixels by little, and is noted.
    """
    return ref.preprocessing_digest in spec.preprocessing_digests


def check_shape(
    manifest: QueryManifest,
    spec: BackboneSpec,
    *,
    floats: int,
    attention: Sequence[int] | None = None,
) -> None:
    """Refuse a query whose layers or widths a backbone cannot serve.

    Args:
        manifest: The query's manifest.
        spec: The backbone at hand.
        floats: Of one of its vectors.
        attention: How many attention vectors it has, and the floats of one, where it has any.

    Raises:
        BackboneMismatch: It reads a layer that is not there, or has vectors of another width.
    """
    hint = "it was made for another backbone"
    depth = spec.tokens.layers
    for basis in manifest.bases:
        if max(basis.layers) >= depth:
            raise BackboneMismatch(
                f"it reads layer {max(basis.layers)}, {spec.id} has 0-{depth - 1}", hint=hint
            )
    if manifest.head.similarity is not None:
        wanted = [(floats, spec.architecture.projection or 0)]
    elif not manifest.bases:
        wanted = [(floats, spec.tokens.width)]
    else:
        wanted = [(floats, width(manifest.basis, spec.tokens.width))]
    if attention is not None and manifest.pooling is not None:
        means = attention[0] + bool(manifest.pooling.whole)
        wanted = [
            (floats, means * width(manifest.basis, spec.tokens.width)),
            (attention[1], width(manifest.bases[-1], spec.tokens.width)),
        ]
    for found, needed in wanted:
        if found != needed:
            raise BackboneMismatch(
                f"it has {found} floats a vector, its layers of {spec.id} give {needed}", hint=hint
            )


def _distance(one: Fingerprint, other: Fingerprint) -> float:
    """Give the distance of two fingerprints; infinite if they were made by different methods."""
    try:
        return probe.deviation(one, other)
    except IntegrityError:
        return float("inf")


def _decoded(spec: BackboneSpec) -> str:
    """Say in which way files are decoded, to whom a query expects the other."""
    if spec.preprocessing.decoding is None:
        return "it was made with scaled decoding, photographs are decoded in full"
    return "it was made with full decoding, JPEGs are decoded at a fraction of their size"


def _refuse(reason: str, allow_mismatch: bool) -> str:
    if allow_mismatch:
        return reason + "; used all the same, as you asked"
    raise BackboneMismatch(
        f"the query does not fit the backbone: {reason}",
        hint="use the backbone it was made for, or insist with --allow-mismatch",
    )
