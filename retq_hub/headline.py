"""The figures that stand for a query where there is no room for all: of its first evaluation."""

from dataclasses import dataclass

from retq_hub.manifest import QueryManifest

__all__ = ["GRADED", "Headline", "headline"]

GRADED = {
    "quadratic_kappa": "Quadratic kappa",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "balanced_accuracy": "Balanced accuracy",
    "accuracy": "Accuracy",
}
"""How the image-level figures of a manifest are called where people read them, in order."""


@dataclass(frozen=True, kw_only=True)
class Headline:
    """The figures of a query's first evaluation; what was not measured is None.

    Attributes:
        dice: Mean Dice at the stored thresholds.
        auroc: Of pixels where masks were measured, else of whole images.
        kappa: Quadratic kappa of whole images.
        balanced_accuracy: Of whole images.
        measured_on: Data set and split.
    """

    dice: float | None = None
    auroc: float | None = None
    kappa: float | None = None
    balanced_accuracy: float | None = None
    measured_on: str = ""

    @property
    def text(self) -> str:
        """The first figure there is, with its name; empty if nothing was measured."""
        named = (
            ("Dice", self.dice),
            ("kappa", self.kappa),
            ("AUROC", self.auroc),
            ("balanced accuracy", self.balanced_accuracy),
        )
        return next((f"{name} {value:.4f}" for name, value in named if value is not None), "")


def headline(manifest: QueryManifest) -> Headline:
    """Give the figures that stand for a query."""
    dense = manifest.metrics[0] if manifest.metrics else None
    whole = manifest.graded[0] if manifest.graded else None
    pixels = {name: one.mean for name, one in dense.values.items()} if dense else {}
    images = {name: one.value for name, one in whole.values.items()} if whole else {}
    first = dense or whole
    return Headline(
        dice=pixels.get("dice"),
        auroc=pixels.get("auroc", images.get("auroc")),
        kappa=images.get("quadratic_kappa"),
        balanced_accuracy=images.get("balanced_accuracy"),
        measured_on=f"{first.dataset}, {first.split}" if first else "",
    )
