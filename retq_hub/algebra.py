"""Linear algebra on queries of one backbone: cosines, and queries made of queries without images.

A logit is a linear function of the tokens, and so are sums and differences of logits. Queries that
read other tokens are laid out over the union of their bases, with zeros. What a result is worth is
not known until it is measured: its manifest says so, and names what it was made from.

Axis letters: C targets, D width of all tokens that are read.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from retq_hub.backbone import Backbone
from retq_hub.basis import Basis
from retq_hub.errors import UsageError
from retq_hub.grids import upsample
from retq_hub.layout import common_basis, laid_out, lines
from retq_hub.lineage import Derivation, Identity, common_head, new_head
from retq_hub.manifest import Target
from retq_hub.query import Query

__all__ = ["Cosine", "Identity", "cosines", "mean", "merge", "orthogonalise", "subtract"]

_NOTHING = 1e-5
"""Of a vector's length: what is shorter than this share of it is rounding."""


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """How alike two vectors are.

    Attributes:
        queries: ``name@version`` of both queries.
        targets: Names of both targets.
        value: 1: the same direction, 0: orthogonal, -1: opposite. Channels that vary little weigh
            as much as others, so that vectors may differ and still say the same.
        correlation: Of both logits over the probe image: whether they say the same; None where
            probe images differ, or a logit is the same all over.
    """

    queries: tuple[str, str]
    targets: tuple[str, str]
    value: float
    correlation: float | None


def cosines(queries: Sequence[Query]) -> tuple[Cosine, ...]:
    """Compare all vectors of some queries with each other.

    Args:
        queries: At least two; those of one query are compared, too.

    Returns:
        The cosine of each pair, the most alike first.

    Raises:
        UsageError: Fewer than two queries, one twice, another kind, or bases without a union.
        BackboneMismatch: They are for different backbones.
    """
    basis = common_basis(queries)
    rows = [row for query in queries for row in _rows(query, basis)]
    found = [_compared(one, other) for one, other in combinations(rows, 2)]
    return tuple(sorted(found, key=lambda one: -one.value))


def merge(
    queries: Sequence[Query], identity: Identity, *, backbone: Backbone | None = None
) -> Query:
    """Put the targets of several queries side by side in one; each keeps its threshold.

    Args:
        queries: At least two, with different targets and heads that agree.
        identity: What the new query is called.
        backbone: What they are for; found by its id if not given.

    Raises:
        UsageError: As `cosines`; a target twice; heads that differ; licences that differ.
        BackboneMismatch: They are for different backbones.
    """
    basis = common_basis(queries)
    targets = [target for query in queries for target in query.manifest.targets]
    names = [target.name for target in targets]
    if len(set(names)) != len(names):
        raise UsageError(
            f"a target is there twice: {', '.join(names)}",
            hint="`retq algebra mean` makes one of queries for the same target",
        )
    made = Derivation(
        recipe="merged",
        queries=queries,
        roles=["merged from"] * len(queries),
        targets=targets,
        head=common_head(queries),
        basis=basis,
        vector=torch.cat([laid_out(query, basis) for query in queries]),
        bias=torch.cat([query.bias.double() for query in queries]),
    )
    return made.query(identity, backbone)


def mean(
    queries: Sequence[Query], identity: Identity, *, backbone: Backbone | None = None
) -> Query:
    """Average the logits of several queries for the same targets, as they are calibrated.

    Args:
        queries: At least two with the same targets.
        identity: What the new query is called.
        backbone: What they are for; found by its id if not given.

    Raises:
        UsageError: As `cosines`; targets or licences that differ; a calibration that is no line.
        BackboneMismatch: They are for different backbones.
    """
    basis = common_basis(queries)
    wanted, *others = [[one.name for one in query.manifest.targets] for query in queries]
    for other in others:
        if other != wanted:
            raise UsageError(
                f"targets {', '.join(wanted)} and {', '.join(other)} have no mean",
                hint="`retq algebra merge` puts different targets side by side",
            )
    found = [lines(query, basis) for query in queries]
    made = Derivation(
        recipe="averaged",
        queries=queries,
        roles=["mean of"] * len(queries),
        targets=queries[0].manifest.targets,
        head=new_head(queries, len(wanted)),
        basis=basis,
        vector=torch.stack([vector for vector, _ in found]).mean(0),
        bias=torch.stack([bias for _, bias in found]).mean(0),
    )
    return made.query(identity, backbone)


def subtract(
    query: Query, other: Query, identity: Identity, *, backbone: Backbone | None = None
) -> Query:
    """Subtract another query's logits from a query's, as both are calibrated.

    Args:
        query: What is subtracted from.
        other: What is subtracted: one target, or as many as the query has.
        identity: What the new query is called.
        backbone: What they are for; found by its id if not given.

    Raises:
        UsageError: As `mean`; or nothing is left.
        BackboneMismatch: They are for different backbones.
    """
    basis = common_basis([query, other])
    (vector, bias), (less, offset) = lines(query, basis), lines(other, basis)
    C, targets = len(vector), other.manifest.targets
    if len(targets) not in (1, C):
        raise UsageError(
            f"{other.manifest.name} has {len(targets)} targets, {query.manifest.name} {C}",
            hint="subtract a query with one target, or with as many",
        )
    pairs = zip(query.manifest.targets, targets * C if len(targets) < C else targets, strict=True)
    made = Derivation(
        recipe="subtracted",
        queries=[query, other],
        roles=["subtracted from", "subtracted"],
        targets=[_less(one, "minus", [minus]) for one, minus in pairs],
        head=new_head([query, other], C),
        basis=basis,
        vector=_something(vector - less, vector, query, other),
        bias=bias - offset,
    )
    return made.query(identity, backbone)


def orthogonalise(
    query: Query, other: Query, identity: Identity, *, backbone: Backbone | None = None
) -> Query:
    """Subtract so much of another query's logits that the vectors become orthogonal to its own.

    Args:
        query: What is made orthogonal.
        other: What it is made orthogonal to: all of its vectors.
        identity: What the new query is called.
        backbone: What they are for; found by its id if not given.

    Raises:
        UsageError: As `mean`; or nothing is left.
        BackboneMismatch: They are for different backbones.
    """
    basis = common_basis([query, other])
    (vector, bias), (plane, offset) = lines(query, basis), lines(other, basis)
    shares = torch.linalg.lstsq(plane.T, vector.T, driver="gelsd").solution.T
    targets = query.manifest.targets
    made = Derivation(
        recipe="orthogonalised",
        queries=[query, other],
        roles=["projected from", "orthogonal to"],
        targets=[_less(one, "without", other.manifest.targets) for one in targets],
        head=new_head([query, other], len(targets)),
        basis=basis,
        vector=_something(vector - shares @ plane, vector, query, other),
        bias=bias - shares @ offset,
    )
    return made.query(identity, backbone)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Row:
    """One vector of a query, and its map of the probe image of a size."""

    query: str
    target: str
    vector: Tensor
    logits: Tensor
    probe_px: int


def _rows(query: Query, basis: Basis) -> list[_Row]:
    manifest, logits = query.manifest, query.golden.logits
    assert logits is not None, "what marks pixels has a map"
    return [
        _Row(
            query=f"{manifest.name}@{manifest.version}",
            target=target.name,
            vector=vector,
            logits=torch.from_numpy(one.copy()),
            probe_px=max(part.side_px for part in manifest.basis.passes),
        )
        for target, vector, one in zip(
            manifest.targets, laid_out(query, basis), logits, strict=True
        )
    ]


def _compared(one: _Row, other: _Row) -> Cosine:
    correlation = None
    if one.probe_px == other.probe_px:
        side = max(len(one.logits), len(other.logits))
        maps = [upsample(row.logits, side, side).double() for row in (one, other)]
        found = _cosine(*(found - found.mean() for found in maps))
        correlation = None if math.isnan(found) else round(found, 6)
    return Cosine(
        queries=(one.query, other.query),
        targets=(one.target, other.target),
        value=round(_cosine(one.vector, other.vector), 6),
        correlation=correlation,
    )


def _cosine(one: Tensor, other: Tensor) -> float:
    """Give the cosine of two tensors; nan where one is zero."""
    return float((one * other).sum() / (one.norm() * other.norm()))


def _something(vector: Tensor, before: Tensor, query: Query, other: Query) -> Tensor:
    """Refuse vectors of which nothing but rounding is left."""
    if bool((vector.norm(dim=1) <= _NOTHING * before.norm(dim=1)).any()):
        raise UsageError(
            f"nothing is left of {query.manifest.name}: its vectors lie along those of "
            f"{other.manifest.name}",
            hint="`retq algebra cosine` says how alike they are",
        )
    return vector


def _less(target: Target, word: str, others: Sequence[Target]) -> Target:
    """Name what is marked by a difference; no concept's code stands for it."""
    names = "-".join(one.name for one in others)
    labels = ", ".join(one.label for one in others)
    return Target(name=f"{target.name}-{word}-{names}", label=f"{target.label} {word} {labels}")
