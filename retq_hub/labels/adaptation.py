"""Few-shot adaptation of a text query to labelled images: a classification query, and its artifact.

The methods themselves stand in `retq_hub.labels.fewshot`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from retq_hub import delivery, goldens, twins
from retq_hub.artifact import Golden
from retq_hub.backbone import Backbone
from retq_hub.dataset import listed, some
from retq_hub.errors import DatasetError, UsageError
from retq_hub.features import ImageFile, TokenCache
from retq_hub.kinds import CLASSIFICATION, TEXT, Pooling, Similarity
from retq_hub.labels.fewshot import METHODS, Adapted
from retq_hub.labels.labelset import LabelSet
from retq_hub.labels.shots import draw
from retq_hub.labels.trainingset import used
from retq_hub.manifest import DataUse, Head, Licence, QueryManifest, Training
from retq_hub.progress import Progress, Silent
from retq_hub.query import Query
from retq_hub.threads import one_thread

__all__ = ["adapt"]

_INTENDED_USE = "Research on telling {classes} apart in retinal images; comparison, pre-selection."
_LIMITS = (
    "Vectors of texts, moved by {n} images of {title}: no more than a few images speak for a "
    "class. Other cameras, populations and image qualities are not covered.{caveat}"
)
_SERVES_ALL = "ss-text"
"""The method that needs neither images of every class nor as many of each."""


def adapt(
    query: Query | str | Path,
    labels: LabelSet,
    output: Path,
    *,
    name: str,
    version: str = "1.0.0",
    summary: str | None = None,
    method: str = _SERVES_ALL,
    shots: int | None = None,
    seed: int = 0,
    backbone: Backbone | None = None,
    licence: Licence | None = None,
    authors: Sequence[str] = ("not named",),
    progress: Progress | None = None,
) -> QueryManifest:
    """Adapt the vectors of texts to a few labelled images, and write the artifact.

    Embeddings are computed once and cached image by image. Nothing is chosen on other images than
    those that are learned from; of grades the order is not used.

    Args:
        query: The text query: itself, its name or its folder.
        labels: Images with their classes, named as the query's targets are.
        output: The artifact's folder.
        name: The new query's name.
        version: Its version.
        summary: A line on what it tells apart; made from the data set if not given.
        method: One of `retq_hub.labels.fewshot.METHODS`.
        shots: So many images are drawn of each class; all are taken if not given.
        seed: Of the drawing.
        backbone: The backbone; the text query's own if not given.
        licence: The new query's licence; the data set's if not given.
        authors: Who made it.
        progress: Where to report.

    Returns:
        The manifest as it was written.

    Raises:
        NotFoundError: There is no such query or backbone.
        UsageError: The query is not of texts, the labels do not exclude each other, there is no
            such method, or ``output`` holds something else than an artifact.
        BackboneMismatch: The texts were made for another backbone.
        DatasetError: A class has no text; or no image, where the method needs one.
        ImageError: An image cannot be used.
        ManifestError: Name, version or summary are not as the schema wants them.
        IntegrityError: The artifact is not intact, or the backbone gives something else than
            numbers.
        StorageError: Cache or output cannot be written.
    """
    progress = progress or Silent()
    query = query if isinstance(query, Query) else Query.from_pretrained(query, progress=progress)
    _check_usable(query.manifest, labels, method)
    summary = summary or f"Tells classes of {labels.title} apart; from texts, by a few images."
    delivery.check(output, name=name, version=version, summary=summary)
    backbone = backbone or Backbone.asleep(query.manifest.backbone.id, progress=progress)
    progress.note(backbone.check(query.manifest.backbone))
    drawn = labels if shots is None else draw(labels, shots, seed=seed)
    classes = _classes(drawn, query.manifest)
    counts = torch.bincount(classes, minlength=len(query.manifest.targets)).tolist()
    progress.note(_shortage(counts, query.manifest, shots))
    progress.note(_unevenness(counts, query.manifest, method))
    progress.note(_contradictions(drawn))
    space = _SharedSpace(backbone, scale=_similarity(query.manifest).scale)
    features = space.features(
        progress.steps(drawn.samples, what="running the backbone", total=len(classes))
    )
    with one_thread():
        found = METHODS[method](features, classes, query.vector.double(), space.scale)
    vector, bias = found.vector.float(), found.bias.float()
    manifest = replace(
        _manifest(query, drawn, space.scale),
        name=name,
        version=version,
        summary=summary,
        backbone=backbone.ref,
        data=(_use(drawn, counts, progress), *query.manifest.data),
        training=_training(found, method, seed, shots),
        licence=licence or labels.licence,
        authors=tuple(authors),
    )
    return delivery.deliver(
        output,
        manifest=manifest,
        vector=vector,
        bias=bias,
        golden=space.golden(vector, bias),
        backbone=backbone,
        progress=progress,
    )


class _SharedSpace:
    """The image embeddings of one backbone, in the space that it shares with text."""

    def __init__(self, backbone: Backbone, *, scale: float) -> None:
        self._backbone = backbone
        self._cache = TokenCache(backbone=backbone)
        self.scale = scale

    def features(self, files: Iterable[ImageFile]) -> Tensor:
        """Give the images' embeddings, (n, P) float64 of unit norm."""
        return self._unit(torch.stack([self._cache.embedding(file) for file in files]))

    def golden(self, vector: Tensor, bias: Tensor) -> Golden:
        """Record what vectors and biases say of the probe image."""
        probed = self._unit(self._cache.probe_embedding())
        return goldens.of_scores((self.scale * probed).float(), vector, bias)

    def _unit(self, embeddings: Tensor) -> Tensor:
        with one_thread():
            return F.normalize(self._backbone.shared(embeddings).double(), dim=-1)


def _check_usable(manifest: QueryManifest, labels: LabelSet, method: str) -> None:
    if method not in METHODS:
        raise UsageError(f"there is no method {method!r}", hint=f"there are {listed(METHODS)}")
    if not manifest.is_kind(TEXT):
        raise UsageError(
            f"{manifest.name} was not made of texts: there is nothing to adapt",
            hint="make a query of texts with `retq compile-text`, a text for each class",
        )
    if len(manifest.targets) < 2:
        raise UsageError(
            f"{manifest.name} has a text of one class, between which nothing can be told",
            hint="compile a text for each class",
        )
    if labels.scale == "multilabel":
        raise UsageError(
            f"images of {labels.id} may have several labels, texts are adapted to one each",
            hint="name one --column of classes",
        )


def _similarity(manifest: QueryManifest) -> Similarity:
    assert manifest.head.similarity is not None, "texts are compared by cosine"
    return manifest.head.similarity


def _classes(labels: LabelSet, manifest: QueryManifest) -> Tensor:
    """Give the number of the text that each image's class has, (n,) int64."""
    numbers = {one.name: number for number, one in enumerate(manifest.targets)}
    shown = [labels.targets[one.label[0]].name for one in labels.samples]
    if strange := [name for name in dict.fromkeys(shown) if name not in numbers]:
        raise DatasetError(
            f"{manifest.name} has no text for {listed(sorted(strange))} of {labels.id}, but for "
            f"{listed(numbers)}",
            hint="compile a text for each class, under the name that it has in the labels",
        )
    return torch.tensor([numbers[name] for name in shown])


def _shortage(counts: Sequence[int], manifest: QueryManifest, shots: int | None) -> str:
    """Say in a line which classes have fewer images than were to be drawn; else empty."""
    pairs = zip(manifest.targets, counts, strict=True)
    short = ", ".join(f"{one.name} {count}" for one, count in pairs if 0 < count < (shots or 0))
    return f"fewer than {shots} images of a class, all of them taken: {short}" if short else ""


def _unevenness(counts: Sequence[int], manifest: QueryManifest, method: str) -> str:
    """Say in a line that classes differ in their number of images; empty where they do not.

    Raises:
        DatasetError: A class has none, and the method needs one.
    """
    pairs = zip(manifest.targets, counts, strict=True)
    bare = ", ".join(one.name for one, count in pairs if not count)
    if bare and method != _SERVES_ALL:
        raise DatasetError(
            f"no image shows {bare}, and {method} needs at least one of each class",
            hint=f"add some, or use {_SERVES_ALL}: it leaves a class without images to its text",
        )
    if bare:
        return f"no image shows {bare}: only the text speaks for that"
    if method != _SERVES_ALL and min(counts) < max(counts):
        return (
            f"{min(counts)} to {max(counts)} images of a class: {method} is made for as many of "
            f"each, {_SERVES_ALL} for any numbers"
        )
    return ""


def _contradictions(labels: LabelSet) -> str:
    """Say in a line which images are the same file and have different labels; perhaps nothing."""
    pairs = [" = ".join(ids) for ids in labels.contradictions]
    return f"the same image, several labels: {some(pairs)}" if pairs else ""


def _manifest(query: Query, labels: LabelSet, scale: float) -> QueryManifest:
    """Make of the texts' manifest what the texts and the images say of the new one."""
    text = query.manifest
    return replace(
        text,
        kind=CLASSIFICATION,
        pooling=Pooling(method="embedding"),
        head=Head(
            activation="softmax",
            thresholds=(),
            threshold_choice="the most probable",
            similarity=Similarity(scale=scale, per="image"),
        ),
        metrics=(),
        graded=None,
        derived=(query.derived("adapted from"),),
        citation=labels.citation,
        intended_use=_INTENDED_USE.format(classes=", ".join(one.label for one in text.targets)),
        limits=_LIMITS.format(
            n=len(labels.samples),
            title=labels.title,
            caveat=f" {labels.caveat}" if labels.caveat else "",
        ),
        files={},
    )


def _training(found: Adapted, method: str, seed: int, shots: int | None) -> Training:
    taken = "all images" if shots is None else f"{shots} images of each class drawn"
    return Training(
        recipe=method,
        loss=found.loss,
        l2=0.0,
        seed=seed,
        selection=f"{taken}; {found.chosen}",
        versions=delivery.versions(),
    )


def _use(labels: LabelSet, counts: Sequence[int], progress: Progress) -> DataUse:
    """Say in the manifest what was learned from; classes are counted in the order of the texts."""
    photographs = twins.photographs(labels.samples, progress=progress)
    return replace(used(labels, photographs=photographs), n_positive=tuple(counts))
