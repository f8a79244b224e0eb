"""Vectors of several queries laid out over the same tokens, as their heads read them.

Axis letters: C targets, D width of all tokens that are read.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from retq_hub.basis import Basis, span
from retq_hub.channels import N_CHANNELS
from retq_hub.errors import BackboneMismatch, UsageError
from retq_hub.inspection import basis_findings
from retq_hub.kinds import SEGMENTATION
from retq_hub.manifest import QueryManifest
from retq_hub.notation import written
from retq_hub.query import Query

__all__ = ["common_basis", "laid_out", "lines"]


def common_basis(queries: Sequence[Query]) -> Basis:
    """Check that queries can be computed with, and give the union of their bases.

    Args:
        queries: The queries.

    Raises:
        UsageError: Fewer than two, one twice, one that marks no pixels, or no union of bases.
        BackboneMismatch: They are for different backbones.
    """
    if len(queries) < 2:
        raise UsageError("one query is compared with nothing", hint="name two or more")
    first = queries[0].manifest
    seen: set[str] = set()
    for manifest in (query.manifest for query in queries):
        if not manifest.is_kind(SEGMENTATION):
            raise UsageError(
                f"{manifest.name} is of kind {manifest.kind}", hint="name queries that mark pixels"
            )
        if manifest.digest in seen:
            raise UsageError(
                f"{manifest.name} {manifest.version} is named twice", hint="name each query once"
            )
        seen.add(manifest.digest)
        _check_backbone(first, manifest)
    found = span([query.manifest.basis for query in queries])
    said = " and ".join(
        f"{query.manifest.name} reads {written(query.manifest.basis, size_px=0)}"
        for query in queries
    )
    if found is None:
        raise UsageError(
            f"{said}: other views or another norm, they have no common basis",
            hint="put both into one pipeline instead",
        )
    if wrong := list(basis_findings(found)):
        raise UsageError(f"{said}: together {wrong[0].what}", hint="use both in one pipeline")
    return found


def laid_out(query: Query, basis: Basis) -> Tensor:
    """Give a query's vectors over a wider basis, zeros where it reads nothing.

    Args:
        query: The query.
        basis: The wider basis.

    Returns:
        (C, D) float64.
    """
    own, vector = query.manifest.basis, query.vector.double()
    extra = N_CHANNELS if own.pixels else 0
    width = (vector.shape[1] - extra) // len(own.layers)
    widths = torch.split(vector[:, : width * len(own.layers)], width, dim=1)
    parts = dict(zip(own.places, widths, strict=True))
    blank = vector.new_zeros(len(vector), width)
    columns = [parts.get(place, blank) for place in basis.places]
    if basis.pixels:
        blank = vector.new_zeros(len(vector), N_CHANNELS)
        columns.append(vector[:, -N_CHANNELS:] if own.pixels else blank)
    return torch.cat(columns, dim=1)


def lines(query: Query, basis: Basis) -> tuple[Tensor, Tensor]:
    """Give vectors and biases that make a query's calibrated logits.

    Upsampling keeps sums and constants, be it bilinear or led by the image; so a calibration by
    scale and offset goes into vectors and biases.

    Args:
        query: The query.
        basis: The basis that they are laid out over.

    Returns:
        (C, D) and (C,) float64.

    Raises:
        UsageError: Its targets exclude each other, or it is calibrated by a curve.
    """
    vector, bias = laid_out(query, basis), query.bias.double()
    manifest = query.manifest
    if manifest.head.activation != "sigmoid":
        raise UsageError(
            f"the targets of {manifest.name} exclude each other: its logits mean nothing alone",
            hint="name queries without a softmax",
        )
    found = manifest.head.calibration
    if found is None:
        return vector, bias
    if found.scale is None or found.offset is None:
        raise UsageError(
            f"{manifest.name} is calibrated by a curve: its logits are no linear function",
            hint="train it with --calibration prior, platt or none",
        )
    scale = torch.tensor(found.scale, dtype=torch.float64)
    return scale[:, None] * vector, scale * bias + torch.tensor(found.offset, dtype=torch.float64)


def _check_backbone(one: QueryManifest, other: QueryManifest) -> None:
    for what in ("weights_digest", "preprocessing_digest"):
        ours, theirs = getattr(one.backbone, what), getattr(other.backbone, what)
        if ours != theirs:
            raise BackboneMismatch(
                f"{one.name} is for {one.backbone.id}, {other.name} for {other.backbone.id}: "
                f"{what.replace('_', ' ')} {ours} and {theirs}",
                hint="`retq port` carries a query to another backbone",
            )
