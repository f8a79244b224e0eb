"""The frozen data classes of the query manifest, ``retq.json``, and how JSON becomes data classes.

They hold what was read and nothing else: no files, no network, no arithmetic beyond sums.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import msgspec

from retq_hub.basis import Basis
from retq_hub.digest import json_digest
from retq_hub.kinds import (
    CLASSIFICATION,
    SEGMENTATION,
    TEXT,
    Agreement,
    Derived,
    Graded,
    Pooling,
    Similarity,
    Text,
)

__all__ = [
    "BackboneRef",
    "Calibration",
    "Concept",
    "DataUse",
    "FileDigest",
    "Fingerprint",
    "Guided",
    "Head",
    "Interval",
    "Licence",
    "Measured",
    "QueryManifest",
    "Target",
    "Training",
    "Trial",
    "from_json",
    "to_json",
]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Licence:
    """A licence; ``id`` is an SPDX identifier or ``LicenseRef-...``."""

    id: str
    name: str | None = None
    url: str | None = None
    commercial_use: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Concept:
    """A SNOMED CT concept."""

    system: str
    code: str
    display: str


@dataclass(frozen=True, kw_only=True)
class Target:
    """What one vector of a query marks."""

    name: str
    label: str
    code: Concept | None = None


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """64 numbers that tell equivalent weights from different ones; see `retq_hub.probe`."""

    method: str
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class BackboneRef:
    """The backbone that a query was made for."""

    id: str
    weights_digest: str
    preprocessing_digest: str
    fingerprint: Fingerprint


@dataclass(frozen=True, kw_only=True)
class Guided:
    """How a logit map is led by the image; see `retq_hub.guided`.

    Attributes:
        size_px: Side of the square at which the filter works.
        radius_px: Half of its window's side there.
        epsilon: Below this variance of the green channel, 0-1, a window counts as flat.
    """

    size_px: int
    radius_px: int
    epsilon: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What is done to the pixels' logits so that probabilities mean what they say.

    Attributes:
        method: ``platt`` (scale and offset), ``prior`` (an offset that puts the threshold at 0.5)
            or ``isotonic`` (knots).
        ece: Expected calibration error of each target, afterwards, on the held-out predictions for
            training images that it was fitted to.
        ece_before: Likewise without calibration.
        scale: Of the logits, for each target.
        offset: Added afterwards, for each target.
        knots: Pairs of logit and calibrated logit, for each target.
        shift: Part of the offset that moves the thresholds to 0.5, for each target: without it
            probabilities are frequencies.
    """

    method: str
    ece: tuple[float, ...]
    ece_before: tuple[float, ...]
    scale: tuple[float, ...] | None = None
    offset: tuple[float, ...] | None = None
    knots: tuple[tuple[tuple[float, float], ...], ...] | None = None
    shift: tuple[float, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Head:
    """What turns dot products into an answer.

    Attributes:
        activation: ``sigmoid``; ``softmax`` over targets and, in maps, background; ``ordinal``:
            each logit says how likely the grade is above one of the K - 1 lower ones.
        thresholds: Probability above which a pixel is marked, or a target is said to be there, for
            each target; empty where the most probable class of an image is what counts.
        threshold_choice: How they were chosen.
        guided: How the map is led by the image; None: it is upsampled bilinearly.
        calibration: What is done to the logits; None: nothing.
        background: False: in maps by softmax targets compete among themselves; None: with a
            background, whose logit is 0.
        similarity: Dot products are cosines times a scale; None: they are plain ones.
    """

    activation: str
    thresholds: tuple[float, ...]
    threshold_choice: str
    guided: Guided | None = None
    calibration: Calibration | None = None
    background: bool | None = None
    similarity: Similarity | None = None


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What cross-validation on the training images said of one basis.

    Attributes:
        basis: The basis in short, see `retq_hub.notation`.
        floats: Of one vector.
        l2: Weight of the L2 term.
        measure: Mean over images of the measure at the thresholds, over targets.
        thresholds: Those that maximise it, for each target.
        loss: Mean held-out loss, without L2 term.
        guided: How upsampling was led by the image, if it was.
    """

    basis: str
    floats: int
    l2: float
    measure: float
    thresholds: tuple[float, ...]
    loss: float
    guided: Guided | None = None


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a query was made.

    Attributes:
        recipe: ``exact`` or ``paper``.
        loss: What was minimised.
        l2: Weight of the L2 term.
        seed: Of all that is drawn or dealt.
        selection: What was chosen by cross-validation, and how.
        versions: Of the software.
        measure: What thresholds and bases were chosen by.
        views: Views of each image that were trained on; None: the plain one.
        trials: All that cross-validation tried.
        backbone_passes: How often the backbone runs over the training images for this basis.
    """

    recipe: str
    loss: str
    l2: float
    seed: int
    selection: str
    versions: dict[str, str]
    measure: str | None = None
    views: tuple[str, ...] | None = None
    trials: tuple[Trial, ...] | None = None
    backbone_passes: int | None = None


@dataclass(frozen=True, kw_only=True)
class DataUse:
    """A split of a data set that a query was trained on.

    ``images`` holds the first 12 digits of each image's file digest, sorted; ``photographs`` the
    codes that tell the same photographs in other files (`retq_hub.twins`), sorted.
    """

    id: str
    title: str
    licence: Licence
    split: str
    split_digest: str
    n_images: int
    n_positive: tuple[int, ...]
    images: tuple[str, ...] | None = None
    photographs: tuple[str, ...] | None = None
    doi: str | None = None
    citation: str | None = None


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A per-image metric over the images of a split."""

    mean: float
    min: float
    max: float
    ci95: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The figures of one evaluation."""

    dataset: str
    split: str
    split_digest: str
    target: str
    n_images: int
    size_px: int
    threshold: float
    values: dict[str, Interval]


@dataclass(frozen=True, kw_only=True)
class FileDigest:
    """SHA-256 and size in bytes of a file of an artifact."""

    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True)
class QueryManifest:
    """The content of ``retq.json``; docs/artifact.md explains each member.

    ``kind`` is None for segmentation; `is_kind` asks.
    """

    name: str
    version: str
    summary: str
    targets: tuple[Target, ...]
    backbone: BackboneRef
    basis: Basis
    head: Head
    training: Training
    data: tuple[DataUse, ...]
    metrics: tuple[Measured, ...]
    licence: Licence
    authors: tuple[str, ...]
    intended_use: str
    limits: str
    files: dict[str, FileDigest]
    citation: str | None = None
    kind: str | None = None
    pooling: Pooling | None = None
    text: Text | None = None
    derived: tuple[Derived, ...] | None = None
    graded: tuple[Graded, ...] | None = None
    agreement: tuple[Agreement, ...] | None = None
    spec: str = "retq-query/1"

    def is_kind(self, *kinds: str) -> bool:
        """Whether it is of one of some kinds, see `retq_hub.kinds`."""
        return (self.kind or SEGMENTATION) in kinds

    @property
    def bases(self) -> tuple[Basis, ...]:
        """The bases whose tokens are read: the vectors' first, that of maps last.

        They are one basis unless attention reads another one; none where the backbone's own
        embedding is classified.
        """
        if self.pooling is None:
            return (self.basis,)
        if self.pooling.method == "embedding":
            return ()
        return (self.basis, self.pooling.basis or self.basis)

    @property
    def needs_embedding(self) -> bool:
        """Whether the backbone's own image embedding is read."""
        return self.is_kind(TEXT) or (self.is_kind(CLASSIFICATION) and not self.bases)

    @cached_property
    def digest(self) -> str:
        """The artifact's digest: SHA-256 of the canonical manifest with its file digests."""
        return json_digest(to_json(self))


def from_json(document: Any, cls: type[T]) -> T:  # noqa: ANN401 - any JSON value
    """Build a data class of this module from a JSON document that passed its schema."""
    return msgspec.convert(document, cls)


def to_json(value: Any) -> Any:  # noqa: ANN401 - a data class in, a JSON value out
    """Give the JSON document of a data class; members that are None are left out.

    The two members of a backbone spec that may be null (digest and fingerprint) are left out too.
    """
    return _without_none(msgspec.to_builtins(value))


def _without_none(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, Mapping):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_none(item) for item in value]
    return value
