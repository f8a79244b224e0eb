"""How an image becomes one vector: the candidates that a search compares, and their features.

Axis letters: n images, E width of what is pooled, A attention vectors, D width of tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from retq_hub import notation, pooling
from retq_hub.basis import Basis, union
from retq_hub.features import ImageFile, TokenCache
from retq_hub.grids import logit_map
from retq_hub.kinds import Pooling
from retq_hub.progress import Progress
from retq_hub.threads import one_thread

__all__ = ["Candidate", "Pooler", "averaged", "embedded", "weighed"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """A way to make one vector of an image.

    Attributes:
        basis: Whose tokens are pooled; of an embedding, what it comes from.
        pooling: How.
        attention: (A, D) vectors and (A,) biases that weigh positions; None: the backbone's own
            embedding.
        weigher: Name of the query that they come from; empty where they are nobody's.
    """

    basis: Basis
    pooling: Pooling
    attention: tuple[Tensor, Tensor] | None = None
    weigher: str = ""

    @property
    def reads(self) -> Basis:
        """Whose tokens attention reads."""
        return self.pooling.basis or self.basis

    def written(self, size_px: int) -> str:
        """Say in short what it is; ``size_px`` is the backbone's own input size."""
        if self.attention is None:
            return "embedding"
        basis = notation.written(self.basis, size_px=size_px)
        if not self.weigher:
            return basis
        whole = "mean and " if self.pooling.whole else ""
        return f"{basis}, {whole}{self.pooling.weighting}-weighted by {self.weigher}"


def embedded(basis: Basis) -> Candidate:
    """Classify the backbone's own embedding."""
    return Candidate(basis=basis, pooling=Pooling(method="embedding"))


def averaged(basis: Basis, *, floats: int) -> Candidate:
    """Classify the mean of the tokens: attention by a vector of zeros.

    Args:
        basis: Whose tokens.
        floats: Their width.
    """
    return Candidate(
        basis=basis,
        pooling=Pooling(method="attention", weighting="softmax"),
        attention=(torch.zeros(1, floats), torch.zeros(1)),
    )


def weighed(
    basis: Basis, *, reads: Basis, attention: tuple[Tensor, Tensor], weigher: str
) -> Candidate:
    """Classify the mean of the tokens beside means that a query's map weighs.

    Args:
        basis: Whose tokens are pooled.
        reads: Whose tokens the query reads.
        attention: Its vectors and biases.
        weigher: Its name.
    """
    return Candidate(
        basis=basis,
        pooling=Pooling(
            method="attention",
            weighting="sigmoid",
            basis=None if reads == basis else reads,
            whole=True,
        ),
        attention=attention,
        weigher=weigher,
    )


class Pooler:
    """Pools the tokens of some images; what was pooled before is kept.

    Args:
        cache: Their tokens.
        samples: The images.
        progress: Where to report.
    """

    def __init__(self, cache: TokenCache, samples: Sequence[ImageFile], progress: Progress) -> None:
        self._cache, self._samples, self._progress = cache, samples, progress
        self._kept: dict[tuple[Basis, Pooling, str], Tensor] = {}

    def embed(self, candidates: Sequence[Candidate]) -> None:
        """Run the backbone once for all that candidates read."""
        alike: dict[tuple[object, ...], list[Basis]] = {}
        for one in candidates:
            for basis in (one.basis, one.reads) if one.attention else ():
                alike.setdefault((basis.norm, basis.views), []).append(basis)
        for bases in alike.values():
            self._cache.fill(self._samples, union(bases), progress=self._progress)

    def __call__(self, candidate: Candidate) -> Tensor:
        """Give the features of all images, (n, E) float32."""
        # The plain mean comes first where there is one: it is taken off where it is not wanted.
        how = replace(candidate.pooling, whole=True) if candidate.attention else candidate.pooling
        key = (candidate.basis, how, candidate.weigher)
        if key not in self._kept:
            self._kept[key] = self._pooled(replace(candidate, pooling=how))
        found = self._kept[key]
        if candidate.attention is None or candidate.pooling.whole:
            return found
        return found[:, found.shape[1] // (len(candidate.attention[1]) + 1) :]

    def _pooled(self, candidate: Candidate) -> Tensor:
        what = "embedding" if candidate.attention is None else "pooling"
        samples = self._progress.steps(self._samples, what=what, total=len(self._samples))
        return torch.stack([self._one(file, candidate) for file in samples])

    def _one(self, file: ImageFile, candidate: Candidate) -> Tensor:
        if candidate.attention is None:
            return self._cache.embedding(file)
        blocks = self._cache.blocks(file, candidate.basis)
        read = blocks
        if candidate.reads != candidate.basis:
            read = self._cache.blocks(file, candidate.reads)
        weighting = candidate.pooling.weighting
        assert weighting is not None, "attention has a weighting"
        with one_thread():
            logits = logit_map([block[None] for block in read], *candidate.attention)[0]
            maps = pooling.weights(logits, weighting)
            return pooling.pool(blocks, maps, whole=bool(candidate.pooling.whole))
