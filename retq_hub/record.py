"""One entry of a registry's index: what `retq list` and `retq search` show."""

from collections.abc import Iterable

from msgspec import Struct

from retq_hub import names

__all__ = ["Near", "Record", "newest"]


class Near(Struct, frozen=True, kw_only=True):
    """Another query whose vector points the same way.

    Attributes:
        name: ``name@version``.
        cosine: Of the two most similar vectors.
    """

    name: str
    cosine: float


class Record(Struct, frozen=True, kw_only=True, gc=False):
    """One entry of a registry's index: what `retq list` and `retq search` show.

    It is a msgspec structure, not a data class, since an index may hold 100,000 of them.

    Attributes:
        name: What one asks for: a plain name, or ``ns/name`` for what was collected from a Hub.
        digest: The artifact's digest.
        floats: Number of floats in the query vectors.
        path: Folder of the artifact, relative to the registry.
        repo: Hub repository that holds the artifact, where ``path`` is None.
        commit: Its commit there, 40 digits.
        preprocessing_digest: Of the backbone it was made for; None in an older index.
        kind: As in the manifest; None: it marks pixels and does nothing else.
        dice: Mean Dice at the stored threshold of the first evaluation, if any.
        auroc: Mean AUROC of the first evaluation, if any.
        kappa: Quadratic kappa of the first image-level evaluation, if any.
        yanked: Why it was withdrawn, True if nobody said why; False if it was not.
        superseded_by: ``name`` or ``name@version`` of what to use instead.
        near: Other queries of the index with nearly the same vector.
    """

    name: str
    version: str
    digest: str
    summary: str
    targets: tuple[str, ...]
    backbone: str
    weights_digest: str
    floats: int
    datasets: tuple[str, ...]
    licence: str
    path: str | None = None
    repo: str | None = None
    commit: str | None = None
    preprocessing_digest: str | None = None
    kind: str | None = None
    dice: float | None = None
    auroc: float | None = None
    kappa: float | None = None
    yanked: bool | str = False
    superseded_by: str | None = None
    near: tuple[Near, ...] | None = None

    @property
    def key(self) -> str:
        """Give ``name@version``."""
        return f"{self.name}@{self.version}"

    @property
    def text(self) -> str:
        """Give all that words are looked for in, in lower case."""
        parts = (self.name, self.summary, self.backbone, self.licence, self.kind or "")
        return "\n".join((*parts, *self.targets, *self.datasets)).lower()


def newest(versions: Iterable[Record]) -> Record | None:
    """Choose what a name means without a version: the newest release that is not yanked.

    Args:
        versions: Records of one name, the newest first; a pre-release counts only if there is no
            release. No more of them are looked at than needed.
    """
    kept = (one for one in versions if not one.yanked)
    return names.newest(kept, version=lambda one: one.version)
