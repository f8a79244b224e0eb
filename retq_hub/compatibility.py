"""Whether a query that was made for one backbone may be applied to another. No torch here."""

from collections.abc import Callable

from retq_hub import probe
from retq_hub.errors import BackboneMismatch, IntegrityError
from retq_hub.manifest import BackboneRef, Fingerprint, QueryManifest
from retq_hub.notation import width
from retq_hub.spec import BackboneSpec

__all__ = ["check", "check_shape"]


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
        fingerprint: Gives that of the backbone at hand; called only if it is needed.
        allow_mismatch: The user insists.

    Returns:
        What the user should know, in a line; empty where all is equal.

    Raises:
        BackboneMismatch: Other weights or other preprocessing; both digests are named.
    """
    if ref.preprocessing_digest != spec.preprocessing_digest:
        return _refuse(
            f"it was made with preprocessing {ref.preprocessing_digest} ({ref.id}), "
            f"this is {spec.preprocessing_digest} ({spec.id})",
            allow_mismatch,
        )
    if ref.weights_digest == weights_digest:
        return ""
    other = f"weights {ref.weights_digest} ({ref.id})"
    this = f"{weights_digest} ({spec.id})"
    try:
        distance = probe.deviation(ref.fingerprint, fingerprint())
    except IntegrityError:
        distance = float("inf")
    if distance <= probe.TOLERANCE:
        return (
            f"it was made with {other}, this is {this}, but they compute the same "
            f"(fingerprints {distance:.2g} apart)"
        )
    return _refuse(
        f"it was made with {other}, this is {this}; fingerprints {distance:.2g} apart",
        allow_mismatch,
    )


def check_shape(
    manifest: QueryManifest, spec: BackboneSpec, *, floats: int, attention_floats: int | None
) -> None:
    """Refuse a query whose layers or widths a backbone cannot serve.

    Args:
        manifest: The query's manifest.
        spec: The backbone at hand.
        floats: Of one of its vectors.
        attention_floats: Of one of its attention vectors, where it has them.

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
        wanted = {floats: spec.architecture.projection or 0}
    elif not manifest.bases:
        wanted = {floats: spec.tokens.width}
    elif manifest.pooling is None:
        wanted = {floats: width(manifest.basis, spec.tokens.width)}
    else:
        each = width(manifest.basis, spec.tokens.width)
        reads = width(manifest.bases[-1], spec.tokens.width)
        wanted = {floats: floats // each * each, attention_floats or 0: reads}
    for found, needed in wanted.items():
        if found != needed:
            raise BackboneMismatch(
                f"it has {found} floats a vector, its layers of {spec.id} give {needed}", hint=hint
            )


def _refuse(reason: str, allow_mismatch: bool) -> str:
    if allow_mismatch:
        return reason + "; used all the same, as you asked"
    raise BackboneMismatch(
        f"the query does not fit the backbone: {reason}",
        hint="use the backbone it was made for, or insist with --allow-mismatch",
    )
