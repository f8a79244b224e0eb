"""Queries made of queries: their heads, and manifests that say what they were made from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

import retq_hub
from retq_hub import artifact, card, delivery, goldens
from retq_hub.artifact import Artifact
from retq_hub.backbone import Backbone
from retq_hub.basis import Basis
from retq_hub.errors import UsageError
from retq_hub.features import TokenCache
from retq_hub.manifest import Calibration, Head, Licence, QueryManifest, Target, Training
from retq_hub.progress import Progress, Silent
from retq_hub.query import Query

__all__ = ["Derivation", "Identity", "common_head", "keep", "new_head"]

T = TypeVar("T")

_CHOICE = "not chosen: 0.5 of a probability that nobody has calibrated"
_LIMITS = (
    "Made of the vectors of {names}, without any image: nobody has measured what it marks, and "
    "what limits those limits this."
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
class Derivation:
    """New vectors, and the queries that they were computed from.

    Attributes:
        recipe: How, in a word.
        queries: The queries.
        roles: What each of them was used for, as `retq_hub.kinds.Derived` says it.
        targets: What the new vectors mark.
        head: How they answer.
        basis: What they read.
        vector: (C, D) float64.
        bias: (C,) float64.
    """

    recipe: str
    queries: Sequence[Query]
    roles: Sequence[str]
    targets: Sequence[Target]
    head: Head
    basis: Basis
    vector: Tensor
    bias: Tensor

    def query(self, identity: Identity, backbone: Backbone | None) -> Query:
        """Make a query of it.

        Args:
            identity: What it is called.
            backbone: What it is for; found by its id if not given.

        Raises:
            UsageError: The sources' licences differ, and none is given.
            BackboneMismatch: The backbone is not the sources'.
        """
        first = self.queries[0].manifest.backbone
        backbone = backbone or Backbone.asleep(first.id)
        backbone.check(first)
        vector, bias = self.vector.float().contiguous(), self.bias.float()
        blocks = TokenCache(backbone=backbone).probe(self.basis)
        made = artifact.with_files(
            Artifact(
                manifest=self._manifest(identity),
                vector=vector.numpy(),
                bias=bias.numpy(),
                golden=goldens.of_map(blocks, vector, bias),
            )
        )
        return Query(made, card=card.render(made.manifest, backbone.spec))

    def _manifest(self, identity: Identity) -> QueryManifest:
        sources = [query.manifest for query in self.queries]
        names = ", ".join(f"{one.name} {one.version}" for one in sources)
        labels = ", ".join(target.label for target in self.targets)
        return replace(
            sources[0],
            name=identity.name,
            version=identity.version,
            summary=identity.summary or f"Marks {labels}; {self.recipe}: {names}.",
            targets=tuple(self.targets),
            basis=self.basis,
            head=self.head,
            training=Training(
                recipe=self.recipe,
                loss="none",
                l2=0.0,
                seed=0,
                selection="none",
                versions={"retq-hub": retq_hub.__version__},
            ),
            data=_joined([one.data for one in sources]),
            metrics=(),
            agreement=None,
            derived=tuple(
                query.derived(role) for query, role in zip(self.queries, self.roles, strict=True)
            ),
            licence=identity.licence or _one_licence(sources),
            authors=_joined([one.authors for one in sources]),
            citation="; ".join(filter(None, _joined([[one.citation] for one in sources]))) or None,
            intended_use=" ".join(_joined([[one.intended_use] for one in sources])),
            limits=_LIMITS.format(names=names),
        )


def new_head(queries: Sequence[Query], C: int) -> Head:
    """Give the head of new logits: nothing is known of their thresholds.

    Args:
        queries: What they were computed from; where all are led by the image alike, so are they.
        C: Number of targets.
    """
    guided = {query.manifest.head.guided for query in queries}
    return Head(
        activation="sigmoid",
        thresholds=(0.5,) * C,
        threshold_choice=_CHOICE,
        guided=guided.pop() if len(guided) == 1 else None,
    )


def common_head(queries: Sequence[Query]) -> Head:
    """Put heads that agree together, target by target.

    Raises:
        UsageError: They differ in more than thresholds, or targets exclude each other.
    """
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
    members: dict[str, Any] = {
        name: None if values[0] is None else tuple(one for part in values for one in part)
        for name in ("ece", "ece_before", "scale", "offset", "knots", "shift")
        if (values := [getattr(one, name) for one in found])
    }
    return Calibration(method=found[0].method, **members)


def keep(
    query: Query,
    output: Path,
    *,
    backbone: Backbone | None = None,
    progress: Progress | None = None,
) -> QueryManifest:
    """Write a query that was made of queries, with its card and picture.

    Args:
        query: The query.
        output: The artifact's folder; what people wrote into a card that is there stays.
        backbone: What it is for; found by its id if not given.
        progress: Where to report.

    Returns:
        The manifest as it was written.

    Raises:
        UsageError: ``output`` holds something else than an artifact, or one with figures.
        ManifestError: Name, version or summary are not as the schema wants them.
        BadInputError: The card that ``output`` has already is no text.
        StorageError: The place cannot be written.
    """
    manifest, progress = query.manifest, progress or Silent()
    delivery.check(output, name=manifest.name, version=manifest.version, summary=manifest.summary)
    return delivery.deliver(
        output,
        manifest=manifest,
        vector=query.vector,
        bias=query.bias,
        golden=query.golden,
        backbone=backbone or Backbone.asleep(manifest.backbone.id, progress=progress),
        progress=progress,
    )


def _one_licence(sources: Sequence[QueryManifest]) -> Licence:
    if len({one.licence.id for one in sources}) > 1:
        said = ", ".join(f"{one.name} {one.licence.id}" for one in sources)
        raise UsageError(f"the licences differ: {said}", hint="name the new query's with --licence")
    return sources[0].licence


def _joined(parts: Iterable[Iterable[T]]) -> tuple[T, ...]:
    """Give what occurs in some parts, each once."""
    found: list[T] = []
    for one in (one for part in parts for one in part):
        if one not in found:
            found.append(one)
    return tuple(found)
