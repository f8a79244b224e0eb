"""Score a query that speaks of whole images on a split with labels; put figures in its manifest.

Queries that classify and queries of texts (zero-shot) are scored alike, by what a pipeline says of
each image. Tokens and embeddings go through the cache.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from retq_hub import artifact, cardfile, twins
from retq_hub.application import Application
from retq_hub.assessment import gradation, tally
from retq_hub.assessment.gradation import Prediction
from retq_hub.assessment.gradebook import Assessment, Other, Typical
from retq_hub.assessment.matching import Match, match
from retq_hub.backbone import Backbone
from retq_hub.dataset import some
from retq_hub.errors import UsageError
from retq_hub.evaluation import IMAGE_PREFIX, check_recordable, trained_on
from retq_hub.features import TokenCache
from retq_hub.images import decode
from retq_hub.kinds import SEGMENTATION, Estimate, Graded
from retq_hub.labels.labelset import LabelledSample, LabelSet
from retq_hub.manifest import QueryManifest
from retq_hub.plans import TokenSet
from retq_hub.preparation import Needs, scene
from retq_hub.progress import Progress, Silent
from retq_hub.query import Query
from retq_hub.result import Classification, ZeroShot
from retq_hub.store.store import Store

__all__ = ["Assessment", "assess", "record"]


def assess(
    query: Query | str | Path,
    labels: LabelSet,
    *,
    against: Query | str | Path | None = None,
    backbone: Backbone | None = None,
    store: Store | None = None,
    allow_mismatch: bool = False,
    progress: Progress | None = None,
) -> Assessment:
    """Score a query on a split with labels.

    Args:
        query: The query, its name or its folder.
        labels: The split.
        against: Another query for the same labels, to compare with on the same images.
        backbone: Where it is loaded already; that of each query's manifest if not given.
        store: Tokens and embeddings of the images, where `retq embed` has made them.
        allow_mismatch: Assess a query that was made for another backbone.
        progress: Where to report.

    Raises:
        UsageError: The query marks pixels only, or its targets are not those of the labels.
        BackboneMismatch: The query was made for another backbone.
        ImageError: An image cannot be used.
    """
    progress = progress or Silent()
    graders = [
        _Grader(
            one if isinstance(one, Query) else Query.from_pretrained(one),
            labels,
            backbone=backbone,
            store=store,
        )
        for one in (query, against)
        if one is not None
    ]
    if labels.contradictions:
        told = [" = ".join(one) for one in labels.contradictions]
        progress.note(
            f"{len(told)} images of {labels.id} are there twice with different labels: {some(told)}"
        )
    for grader in graders:
        grader.prepare(allow_mismatch=allow_mismatch, progress=progress)
    found = graders[0].assessment(progress=progress)
    if against is None:
        return found
    ours, theirs = (one.predict(progress=progress) for one in graders)
    other = graders[1].manifest
    return replace(
        found,
        against=Other(
            query=f"{other.name}@{other.version}",
            differences=gradation.differences(ours, theirs),
        ),
    )


def record(folder: Path, found: Assessment) -> QueryManifest:
    """Put the figures into an artifact's manifest and card, in the place of the same split's.

    Args:
        folder: The artifact.
        found: Its figures.

    Returns:
        The manifest as it was written.

    Raises:
        UsageError: The query was trained on some of these images, it is published already, or no
            figure is defined.
    """
    manifest = artifact.read_manifest(folder)
    check_recordable(folder, found)
    if not found.figures:
        raise UsageError(
            f"no figure is defined on split {found.split!r} of {found.dataset}",
            hint="there must be images of two classes at least",
        )
    graded = Graded(
        dataset=found.dataset,
        split=found.split,
        split_digest=found.split_digest,
        n_images=len(found.images),
        values={
            name: Estimate(value=one.value, ci95=one.ci95) for name, one in found.figures.items()
        },
    )
    same = (graded.dataset, graded.split)
    others = [one for one in manifest.graded or () if (one.dataset, one.split) != same]
    return cardfile.rewrite(folder, replace(manifest, graded=(*others, graded)))


class _Grader:
    """One query on one split with labels."""

    def __init__(
        self, query: Query, labels: LabelSet, *, backbone: Backbone | None, store: Store | None
    ) -> None:
        self.manifest = query.manifest
        if self.manifest.is_kind(SEGMENTATION):
            raise UsageError(
                f"{self.manifest.name} marks pixels: it says nothing of an image as a whole",
                hint="evaluate it with masks: --dataset, --csv, or --images with --masks",
            )
        self._query = query
        self._labels = labels
        self._match: Match = match(self.manifest, labels)
        self._backbone = backbone
        self._store = store
        self._readings: Prediction | None = None

    def prepare(self, *, allow_mismatch: bool, progress: Progress) -> None:
        """Check the backbone and fill the token cache."""
        backbone = self._backbone or Backbone.asleep(self.manifest.backbone.id, progress=progress)
        for note in (
            backbone.check(self.manifest.backbone, allow_mismatch=allow_mismatch),
            self._match.note,
        ):
            if note:
                progress.note(note)
        self._cache = TokenCache(backbone=backbone, store=self._store)
        self._application = Application({"query": self._query}, backbone=backbone)
        for basis in dict.fromkeys(self.manifest.bases):
            self._cache.fill(self._labels.samples, basis, progress=progress)
        self._note_seen(progress)

    def _note_seen(self, progress: Progress) -> None:
        name, samples = self.manifest.name, self._labels.samples
        self._n_seen = trained_on(self.manifest, self._labels)
        known = [samples[one] for one in twins.seen(self.manifest, samples, progress=progress)]
        files = {prefix for data in self.manifest.data for prefix in data.images or ()}
        others = [one.id for one in known if one.image_digest[:IMAGE_PREFIX] not in files]
        self._n_alike = len(others)
        if self._n_seen:
            progress.note(
                f"{name}: {self._n_seen} of {len(samples)} images were trained on: figures on them "
                "say nothing of new images"
            )
        if others:
            progress.note(
                f"{name}: {len(others)} more images seem to be photographs that were trained on, "
                f"in another file: {some(others)}"
            )
        if not twins.is_told(self.manifest):
            progress.note(
                f"{name} does not say which photographs it was trained on: other files of the same "
                "ones would not be noticed"
            )

    def predict(self, *, progress: Progress) -> Prediction:
        """Give what is said of all images; computed once."""
        if self._readings is None:
            samples, targets = self._labels.samples, self._match.targets
            names = [one.name for one in targets]
            steps = progress.steps(samples, what="scoring", total=len(samples))
            readings = [self._read(sample) for sample in steps]
            found = np.stack([one.probabilities for one in readings])
            said = [_names(one) for one in readings]
            several = self._labels.scale == "multilabel"
            self._readings = Prediction(
                scale=self._labels.scale,
                truth=self._match.truth,
                probabilities=found[:, self._match.columns],
                predicted=np.array([[name in one for name in names] for one in said])
                if several
                else np.array([names.index(one[0]) for one in said]),
            )
        return self._readings

    def _read(self, sample: LabelledSample) -> Classification | ZeroShot:
        """Say what a pipeline would say of one image."""
        tokens: TokenSet = {}
        for basis in self.manifest.bases:
            tokens = {**tokens, **self._cache.tokens(sample, basis)}
        with torch.inference_mode():
            embedding = self._cache.embedding(sample) if self.manifest.needs_embedding else None
            beside = scene(decode(sample.image), Needs.of([self.manifest]))
            found = self._application(beside, tokens, embedding)["query"]
        assert isinstance(found, Classification | ZeroShot), "segmentation queries are refused"
        return found

    def assessment(self, *, progress: Progress) -> Assessment:
        """Score all images."""
        found, labels = self.predict(progress=progress), self._labels
        names = [one.name for one in self._match.targets]
        images = tally.images(found, labels.samples, names)
        bins = tally.reliability(found)
        return Assessment(
            manifest=self.manifest,
            dataset=labels.id,
            scale=labels.scale,
            targets=tuple(names),
            split=labels.split,
            split_digest=labels.digest,
            n_trained_on=self._n_seen,
            n_alike=self._n_alike,
            contradictions=labels.contradictions,
            figures=gradation.figures(found),
            classes=tally.classes(found, names),
            confusion=tally.confusion(found),
            calibration_error=tally.calibration_error(bins),
            reliability=bins,
            images=images,
            groups=tally.groups(found, images),
            typical=tuple(
                Typical(
                    kind=kind,
                    graded=images[number],
                    image=labels.samples[number].image,
                    reading=self._read(labels.samples[number]),
                )
                for kind, number in tally.typical(images).items()
            ),
        )


def _names(reading: Classification | ZeroShot) -> tuple[str, ...]:
    said = reading.prediction
    return (said,) if isinstance(said, str) else said
