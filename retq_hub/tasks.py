"""What each kind of query does, in the words of the Hub, of people and of Python."""

from dataclasses import replace

from retq_hub.kinds import CLASSIFICATION, SEGMENTATION, TEXT
from retq_hub.manifest import QueryManifest

__all__ = ["TASKS", "answers", "kind_of", "runs", "verb"]

TASKS = {
    SEGMENTATION: ("image-segmentation", "Image Segmentation"),
    CLASSIFICATION: ("image-classification", "Image Classification"),
    TEXT: ("zero-shot-image-classification", "Zero-Shot Image Classification"),
}
"""What the Hub calls the task of each kind, in tags and in words."""

_ANSWERS = {
    SEGMENTATION: "found.mask, found.probability, found.area",
    CLASSIFICATION: "found.prediction, found.probabilities",
    TEXT: "found.prediction, found.probabilities, found.mask, found.probability",
}


def kind_of(manifest: QueryManifest) -> str:
    """Give the kind of a query, one of `retq_hub.kinds.KINDS`."""
    return manifest.kind or SEGMENTATION


def answers(manifest: QueryManifest) -> str:
    """Give the line of Python that reads what a query found, in the variable ``found``."""
    attention = manifest.pooling is not None and manifest.pooling.method == "attention"
    return _ANSWERS[kind_of(manifest)] + (", found.attention" if attention else "")


def runs(manifest: QueryManifest) -> int:
    """Count how often the backbone runs over an image for a query."""
    passes = {
        (replace(one, layers=()), view)
        for basis in manifest.bases
        for one in basis.passes
        for view in basis.views or ("plain",)
    }
    return sum(one.tiles**2 for one, _ in passes) or 1


def verb(manifest: QueryManifest) -> str:
    """Say in a word what a query does with its targets: it ``marks`` or ``tells`` them."""
    return "tells" if manifest.is_kind(CLASSIFICATION) else "marks"
