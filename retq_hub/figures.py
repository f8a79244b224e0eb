"""What an evaluation found: data classes, and the JSON document made of them. No computing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retq_hub.comparison import Comparison
from retq_hub.lesions import RATES, Froc
from retq_hub.manifest import Interval, QueryManifest, to_json
from retq_hub.metrics import ImageMetrics
from retq_hub.pixels import Pooled

__all__ = ["Evaluation", "Example", "rounded"]

_DECIMALS = 6
"""Finer than any comparison, coarser than what libraries' versions change."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """An image that stands for others, with what is needed to draw it.

    Attributes:
        kind: ``best``, ``median`` or ``worst`` by Dice at the stored threshold.
        metrics: Its figures.
        image: Its file.
        logits: (S, S) float32.
        mask: (S, S).
    """

    kind: str
    metrics: ImageMetrics
    image: Path
    logits: NDArray[np.float32]
    mask: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The figures of a query on a split.

    Attributes:
        manifest: The query's.
        dataset: The data set's id.
        target: The target's name.
        split: The split.
        split_digest: SHA-256 over the content of its images and masks.
        n_trained_on: How many of the images the query was trained on.
        threshold: The stored threshold that was used.
        size_px: Side of the square on which masks were compared.
        metrics: Mean, range and interval over images, for each figure that is defined.
        images: Each image's figures.
        groups: The same as ``metrics`` for each camera or site; empty where none is known.
        pooled: Figures over all pixels of the split.
        lesions: Figures over connected components of the masks.
        examples: The best, the median and the worst image.
        against: How the figures differ from another query's on the same images.
    """

    manifest: QueryManifest
    dataset: str
    target: str
    split: str
    split_digest: str
    n_trained_on: int
    threshold: float
    size_px: int
    metrics: dict[str, Interval]
    images: tuple[ImageMetrics, ...]
    groups: dict[str, dict[str, Interval]]
    pooled: Pooled
    lesions: Froc
    examples: tuple[Example, ...]
    against: Comparison | None = None

    @property
    def query(self) -> str:
        """The query's ``name@version``."""
        return f"{self.manifest.name}@{self.manifest.version}"

    def document(self) -> dict[str, Any]:
        """Give the JSON document that ``schemas/evaluation-1.schema.json`` describes."""
        document = {
            "query": self.query,
            "dataset": self.dataset,
            "target": self.target,
            "split": self.split,
            "n_trained_on": self.n_trained_on,
            "split_digest": self.split_digest,
            "n_images": len(self.images),
            "n_with_target": sum(one.n_positive > 0 for one in self.images),
            "size_px": self.size_px,
            "threshold": self.threshold,
            "metrics": to_json(self.metrics),
            "images": [
                {"id": one.id, "group": one.group, "n_positive": one.n_positive, **_defined(one)}
                for one in self.images
            ],
            "pooled": rounded(to_json(self.pooled)),
            "lesions": {"rates": list(RATES), **rounded(to_json(self.lesions))},
            "examples": {one.kind: one.metrics.id for one in self.examples},
        }
        if self.groups:
            document["groups"] = to_json(self.groups)
        if self.against:
            document["against"] = to_json(self.against)
        return document


def _defined(one: ImageMetrics) -> dict[str, float]:
    return {name: value for name, value in one.values.items() if value == value}


def rounded(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Round all numbers of a JSON value to six decimals."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return round(value, _DECIMALS) if isinstance(value, float) else value
