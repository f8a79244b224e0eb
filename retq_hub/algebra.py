"""Linear algebra on queries of one backbone: cosines, and queries made of queries without images.

A logit is a linear function of the tokens, and so are sums and differences of logits. Queries that
read other tokens are laid out over the union of their bases, with zeros. What a result is worth is
not known until it is measured: its manifest says so, and names what it was made from.

Axis letters: C targets, D width of all tokens that are read.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import torch
from torch import Tensor

from retq_hub import __version__, artifact, card
from retq_hub.artifact import Artifact
from retq_hub.backbone import LazyBackbone
from retq_hub.basis import Basis, union
from retq_hub.channels import N_CHANNELS
from retq_hub.errors import BackboneMismatch, UsageError
from retq_hub.features import TokenCache
from retq_hub.golden import record
from retq_hub.inspection import basis_findings
from retq_hub.kinds import SEGMENTATION, Derived
from retq_hub.manifest import Calibration, Head, Licence, QueryManifest, Target, Training
from retq_hub.notation import written
from retq_hub.query import Query

__all__ = ["Cosine", "Identity", "cosines", "mean", "merge", "orthogonalise", "subtract"]

_NOTHING = 1e-5
"""Of a vector's length: what is shorter than this share of it is rounding."""

_CHOICE = "not chosen: 0.5 of probabilities that nobody has calibrated"
_LIMITS = (
    "Made of the vectors of {names}, without any image: nobody has measured what it marks, and what "
    "limits those limits this."
)


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What a new query is called.

    Attributes:
        name: Its name.
        version: Its version.
        summary: A line on what it marks; made from the sources if not given.
        licence: Its licence; the sources' if not given, which must be one then.
    """

    name: str
    version: str = "1.0.0"
    summary: str | None = None
    licence: Licence | None = None


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """How alike two vectors are.

    Attributes:
        queries: ``name@version`` of both queries.
        targets: Names of both targets.
        value: 1: the same direction, 0: orthogonal, -1: opposite.
    """

    queries: tuple[str, str]
    targets: tuple[str, str]
    value: float


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
    basis = _common(queries)
    rows = [
        (f"{query.manifest.name}@{query.manifest.version}", target.name, vector / vector.norm())
        for query in queries
        for target, vector in zip(query.manifest.targets, _laid_out(query, basis), strict=True)
    ]
    found = [
        Cosine(
            queries=(one[0], other[0]),
            targets=(one[1], other[1]),
            value=round(float(one[2] @ other[2]), 6),
        )
        for one, other in combinations(rows, 2)
    ]
    return tuple(sorted(found, key=lambda one: -one.value))


def merge(
    queries: Sequence[Query], identity: Identity, *, backbone: LazyBackbone | None = None
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
    basis = _common(queries)
    targets = [target for query in queries for target in query.manifest.targets]
    names = [target.name for target in targets]
    if len(set(names)) != len(names):
        raise UsageError(
            f"a target is there twice: {', '.join(names)}",
            hint="`retq algebra mean` makes one of queries for the same target",
        )
    return _made(
        queries,
        [query.derived("merged from") for query in queries],
        identity,
        recipe="merged",
        targets=targets,
        head=_one_head(queries),
        basis=basis,
        vector=torch.cat([_laid_out(query, basis) for query in queries]),
        bias=torch.cat([query.bias.double() for query in queries]),
        backbone=backbone,
    )


def mean(
    queries: Sequence[Query], identity: Identity, *, backbone: LazyBackbone | None = None
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
    basis = _common(queries)
    wanted, *others = [[one.name for one in query.manifest.targets] for query in queries]
    for other in others:
        if other != wanted:
            raise UsageError(
                f"targets {', '.join(wanted)} and {', '.join(other)} have no mean",
                hint="`retq algebra merge` puts different targets side by side",
            )
    lines = [_line(query, basis) for query in queries]
    return _made(
        queries,
        [query.derived("mean of") for query in queries],
        identity,
        recipe="averaged",
        targets=queries[0].manifest.targets,
        head=_head(queries, len(wanted)),
        basis=basis,
        vector=torch.stack([vector for vector, _ in lines]).mean(0),
        bias=torch.stack([bias for _, bias in lines]).mean(0),
        backbone=backbone,
    )


def subtract(
    query: Query, other: Query, identity: Identity, *, backbone: LazyBackbone | None = None
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
    basis = _common([query, other])
    (vector, bias), (less, offset) = _line(query, basis), _line(other, basis)
    C, targets = len(vector), other.manifest.targets
    if len(targets) not in (1, C):
        raise UsageError(
            f"{other.manifest.name} has {len(targets)} targets, {query.manifest.name} {C}",
            hint="subtract a query with one target, or with as many",
        )
    pairs = zip(query.manifest.targets, targets * C if len(targets) < C else targets, strict=True)
    return _made(
        [query, other],
        [query.derived("subtracted from"), other.derived("subtracted")],
        identity,
        recipe="subtracted",
        targets=[_less(one, "minus", [minus]) for one, minus in pairs],
        head=_head([query, other], C),
        basis=basis,
        vector=_something(vector - less, vector, query, other),
        bias=bias - offset,
        backbone=backbone,
    )


def orthogonalise(
    query: Query, other: Query, identity: Identity, *, backbone: LazyBackbone | None = None
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
    basis = _common([query, other])
    (vector, bias), (plane, offset) = _line(query, basis), _line(other, basis)
    shares = torch.linalg.lstsq(plane.T, vector.T, driver="gelsd").solution.T
    targets = query.manifest.targets
    return _made(
        [query, other],
        [query.derived("projected from"), other.derived("orthogonal to")],
        identity,
        recipe="orthogonalised",
        targets=[_less(one, "without", other.manifest.targets) for one in targets],
        head=_head([query, other], len(targets)),
        basis=basis,
        vector=_something(vector - shares @ plane, vector, query, other),
        bias=bias - shares @ offset,
        backbone=backbone,
    )


def _common(queries: Sequence[Query]) -> Basis:
    """Check that queries can be computed with; give the union of their bases."""
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
    found = union([query.manifest.basis for query in queries])
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


def _check_backbone(one: QueryManifest, other: QueryManifest) -> None:
    for what in ("weights_digest", "preprocessing_digest"):
        ours, theirs = getattr(one.backbone, what), getattr(other.backbone, what)
        if ours != theirs:
            raise BackboneMismatch(
                f"{one.name} is for {one.backbone.id}, {other.name} for {other.backbone.id}: "
                f"{what.replace('_', ' ')} {ours} and {theirs}",
                hint="`retq port` carries a query to another backbone",
            )


def _laid_out(query: Query, basis: Basis) -> Tensor:
    """Give the (C, D) float64 vectors over a wider basis."""
    own, vector = query.manifest.basis, query.vector.double()
    extra = N_CHANNELS if own.pixels else 0
    width = (vector.shape[1] - extra) // len(own.layers)
    parts = dict(zip(own.places, vector[:, : width * len(own.layers)].split(width, 1), strict=True))
    blank = vector.new_zeros(len(vector), width)
    columns = [parts.get(place, blank) for place in basis.places]
    if basis.pixels:
        blank = vector.new_zeros(len(vector), N_CHANNELS)
        columns.append(vector[:, -N_CHANNELS:] if own.pixels else blank)
    return torch.cat(columns, dim=1)


def _line(query: Query, basis: Basis) -> tuple[Tensor, Tensor]:
    """Give vectors and biases of the calibrated logits, (C, D) and (C,) float64."""
    vector, bias = _laid_out(query, basis), query.bias.double()
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


def _head(queries: Sequence[Query], C: int) -> Head:
    """Give the head of new logits: nothing is known of their thresholds."""
    guided = {query.manifest.head.guided for query in queries}
    return Head(
        activation="sigmoid",
        thresholds=(0.5,) * C,
        threshold_choice=_CHOICE,
        guided=guided.pop() if len(guided) == 1 else None,
    )


def _one_head(queries: Sequence[Query]) -> Head:
    """Put heads that agree together."""
    heads = [query.manifest.head for query in queries]
    if any(head.activation != "sigmoid" for head in heads):
        raise UsageError(
            "targets that exclude each other cannot stand beside others",
            hint="put both queries into one pipeline instead",
        )
    methods = {head.calibration.method if head.calibration else "none" for head in heads}
    if len({head.guided for head in heads}) > 1 or len(methods) > 1:
        names = " and ".join(query.manifest.name for query in queries)
        raise UsageError(
            f"the heads of {names} differ in upsampling or calibration",
            hint="put them into one pipeline instead, where each keeps its own",
        )
    choices = list(dict.fromkeys(head.threshold_choice for head in heads))
    return replace(
        heads[0],
        thresholds=tuple(one for head in heads for one in head.thresholds),
        threshold_choice="; ".join(choices),
        calibration=_stacked([head.calibration for head in heads if head.calibration]),
    )


def _stacked(found: Sequence[Calibration]) -> Calibration | None:
    """Put the calibrations of one method together, target by target."""
    if not found:
        return None
    members = {
        name: None if values[0] is None else tuple(one for part in values for one in part)
        for name in ("ece", "ece_before", "scale", "offset", "knots", "shift")
        if (values := [getattr(one, name) for one in found])
    }
    return Calibration(method=found[0].method, **members)


def _made(
    queries: Sequence[Query],
    origins: Sequence[Derived],
    identity: Identity,
    *,
    recipe: str,
    targets: Sequence[Target],
    head: Head,
    basis: Basis,
    vector: Tensor,
    bias: Tensor,
    backbone: LazyBackbone | None,
) -> Query:
    """Make a query of vectors, (C, D) and (C,) float64, and an honest manifest."""
    sources = [query.manifest for query in queries]
    first = sources[0]
    names = ", ".join(f"{one.name} {one.version}" for one in sources)
    licence = identity.licence or _one_licence(sources)
    backbone = backbone or LazyBackbone(first.backbone.id)
    backbone.check(first.backbone)
    vector, bias = vector.float().contiguous(), bias.float()
    golden = record(TokenCache(backbone=backbone), basis, vector, bias)
    labels = ", ".join(target.label for target in targets)
    summary = identity.summary or f"Marks {labels}; {recipe}: {names}."
    manifest = replace(
        first,
        name=identity.name,
        version=identity.version,
        summary=summary,
        targets=tuple(targets),
        basis=basis,
        head=head,
        training=Training(
            recipe=recipe,
            loss="none",
            l2=0.0,
            seed=0,
            selection="none",
            versions={"retq-hub": __version__},
        ),
        data=tuple(dict.fromkeys(one for source in sources for one in source.data)),
        metrics=(),
        agreement=None,
        derived=tuple(origins),
        licence=licence,
        authors=tuple(dict.fromkeys(one for source in sources for one in source.authors)),
        citation="; ".join(_distinct([one.citation for one in sources])) or None,
        intended_use=" ".join(_distinct([one.intended_use for one in sources])),
        limits=_LIMITS.format(names=names),
    )
    made = artifact.sealed(
        Artifact(manifest=manifest, vector=vector.numpy(), bias=bias.numpy(), golden=golden)
    )
    return Query(made, card=card.render(made.manifest, backbone.spec))


def _one_licence(sources: Sequence[QueryManifest]) -> Licence:
    if len({one.licence.id for one in sources}) > 1:
        said = ", ".join(f"{one.name} {one.licence.id}" for one in sources)
        raise UsageError(f"the licences differ: {said}", hint="name the new query's with --licence")
    return sources[0].licence


def _distinct(texts: Sequence[str | None]) -> list[str]:
    return list(dict.fromkeys(text for text in texts if text))
