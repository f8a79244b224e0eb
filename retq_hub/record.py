"""One entry of a registry's index: what `retq list` and `retq search` show."""

from dataclasses import dataclass

__all__ = ["Record"]


@dataclass(frozen=True, kw_only=True)
class Record:
    """One entry of a registry's index: what `retq list` and `retq search` show.

    Attributes:
        digest: The artifact's digest.
        path: Folder of the artifact, relative to the registry.
        floats: Number of floats in the query vectors.
        dice: Mean Dice at the stored threshold of the first evaluation, if any.
        auroc: Mean AUROC of the first evaluation, if any.
    """

    name: str
    version: str
    digest: str
    path: str
    summary: str
    targets: tuple[str, ...]
    backbone: str
    weights_digest: str
    floats: int
    datasets: tuple[str, ...]
    licence: str
    yanked: bool
    dice: float | None = None
    auroc: float | None = None
