"""What an assessment found: data classes, and the JSON document made of them. No computing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retq_hub.assessment.gradation import Figure
from retq_hub.figures import rounded
from retq_hub.manifest import QueryManifest, to_json
from retq_hub.result import Classification, ZeroShot

__all__ = ["Assessment", "Bin", "ClassFigures", "GradedGroup", "GradedImage", "Other", "Typical"]


@dataclass(frozen=True, kw_only=True)
class GradedImage:
    """One image: what is true, and what was said.

    Attributes:
        id: The image.
        label: Names of the targets that are true: one class, or any number of findings.
        predicted: Likewise of what was predicted.
        probabilities: Of each target.
        merit: Mean logarithm of the probability given to what is true; 0 is best.
        group: The camera or site, where known.
    """

    id: str
    label: tuple[str, ...]
    predicted: tuple[str, ...]
    probabilities: tuple[float, ...]
    merit: float
    group: str = ""


@dataclass(frozen=True, kw_only=True)
class ClassFigures:
    """One class against all others, or one finding.

    Attributes:
        name: The target's.
        n_images: How many images have it.
        n_predicted: For how many it was predicted.
        sensitivity: Share of its images for which it was predicted; None without such images.
        specificity: Share of the others for which it was not; None without such images.
        auroc: None where all images have it, or none.
    """

    name: str
    n_images: int
    n_predicted: int
    sensitivity: float | None
    specificity: float | None
    auroc: Figure | None


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Predictions of about the same probability.

    Attributes:
        n: How many: images, or images times findings.
        probability: Their mean.
        observed: How often they were right.
    """

    n: int
    probability: float
    observed: float


@dataclass(frozen=True, kw_only=True)
class GradedGroup:
    """The images of one camera or site."""

    n_images: int
    figures: dict[str, Figure]


@dataclass(frozen=True, kw_only=True)
class Typical:
    """An image that stands for others.

    Attributes:
        kind: ``best``, ``median`` or ``worst`` by the probability given to what is true.
        graded: What is true of it and what was said.
        image: Its file.
        reading: What the query says, with attention where it has one.
    """

    kind: str
    graded: GradedImage
    image: Path
    reading: Classification | ZeroShot


@dataclass(frozen=True, kw_only=True)
class Other:
    """Another query on the same images.

    Attributes:
        query: Its ``name@version``.
        differences: The first query's figures minus its own.
    """

    query: str
    differences: dict[str, Figure]


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """The figures of an image-level query on a split.

    Attributes:
        manifest: The query's.
        dataset: The data set's id.
        scale: One of `retq_hub.labels.labelset.SCALES`.
        targets: The names of the classes, grades or findings that are scored.
        split: The split.
        split_digest: SHA-256 over the content of its images and labels.
        n_trained_on: How many of the images the query was trained on.
        n_alike: How many others seem to be photographs that it was trained on, in another file.
        contradictions: Images that are one file under several names, with different labels.
        figures: What is defined of these images, with intervals.
        classes: Each target on its own.
        confusion: Images by true (row) and predicted class; None for findings.
        calibration_error: Expected calibration error: of the predicted class's probability, or of
            each finding's.
        reliability: The bins that it is made of.
        images: Each image.
        groups: The figures of each camera or site; empty where none is known.
        typical: The best, the median and the worst image.
        against: How the figures differ from another query's on the same images.
    """

    manifest: QueryManifest
    dataset: str
    scale: str
    targets: tuple[str, ...]
    split: str
    split_digest: str
    n_trained_on: int
    n_alike: int
    contradictions: tuple[tuple[str, ...], ...]
    figures: dict[str, Figure]
    classes: tuple[ClassFigures, ...]
    confusion: tuple[tuple[int, ...], ...] | None
    calibration_error: float
    reliability: tuple[Bin, ...]
    images: tuple[GradedImage, ...]
    groups: dict[str, GradedGroup]
    typical: tuple[Typical, ...]
    against: Other | None = None

    @property
    def query(self) -> str:
        """The query's ``name@version``."""
        return f"{self.manifest.name}@{self.manifest.version}"

    def document(self) -> dict[str, Any]:
        """Give the JSON document that ``schemas/assessment-1.schema.json`` describes."""
        document = {
            "query": self.query,
            "dataset": self.dataset,
            "scale": self.scale,
            "targets": list(self.targets),
            "split": self.split,
            "split_digest": self.split_digest,
            "n_images": len(self.images),
            "n_trained_on": self.n_trained_on,
            "n_alike": self.n_alike,
            "contradictions": to_json(self.contradictions),
            "figures": to_json(self.figures),
            "classes": rounded(to_json(self.classes)),
            "calibration_error": rounded(self.calibration_error),
            "reliability": rounded(to_json(self.reliability)),
            "images": rounded(to_json(self.images)),
            "examples": {one.kind: one.graded.id for one in self.typical},
        }
        if self.confusion is not None:
            document["confusion"] = to_json(self.confusion)
        if self.groups:
            document["groups"] = to_json(self.groups)
        if self.against:
            document["against"] = to_json(self.against)
        return document
