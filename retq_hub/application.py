"""All queries of a pipeline applied to what a backbone gives for one image.

What reads the same basis shares one matrix product, be it vectors of queries or of attention.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from retq_hub import pooling
from retq_hub.basis import Basis
from retq_hub.grids import logit_map
from retq_hub.kinds import CLASSIFICATION, SEGMENTATION, TEXT
from retq_hub.manifest import Head
from retq_hub.plans import TokenSet, assemble
from retq_hub.preparation import Scene
from retq_hub.query import Query
from retq_hub.result import Classification, Reading, Segmentation, ZeroShot
from retq_hub.roster import check_shape, checked
from retq_hub.spec import BackboneSpec

__all__ = ["Application", "Source"]


class Source(Protocol):
    """Where tokens come from: a backbone, or what stands in for one."""

    @property
    def spec(self) -> BackboneSpec:
        """What the backbone is."""
        ...

    def shared(self, vectors: Tensor) -> Tensor:
        """Bring tokens or embeddings to the space shared with text."""
        ...


class Application:
    """Queries that are applied to one image after another.

    Args:
        queries: The queries by name.
        backbone: Brings tokens to the space shared with text, where a query needs that.

    Raises:
        BackboneMismatch: A query reads a layer that is not there, or has vectors of another width.
    """

    def __init__(self, queries: Mapping[str, Query], *, backbone: Source) -> None:
        self._queries = dict(queries)
        self._backbone = backbone
        self._groups: dict[Basis, list[str]] = {}
        checked(queries, lambda query: check_shape(query, backbone.spec))
        for name, query in self._queries.items():
            manifest = query.manifest
            if manifest.bases and not manifest.is_kind(TEXT):
                self._groups.setdefault(manifest.bases[-1], []).append(name)

    def __call__(
        self, scene: Scene, tokens: TokenSet, embedding: Tensor | None
    ) -> dict[str, Reading]:
        """Apply all queries.

        Args:
            scene: What is read of the image beside its tokens.
            tokens: Its tokens, of all bases that are read.
            embedding: (D,) float32, where a query needs it.

        Returns:
            What each query says, by name.
        """
        given = _Given(scene, tokens, embedding)
        maps: dict[str, Tensor] = {}
        for basis, names in self._groups.items():
            pairs = [_mapping(self._queries[name]) for name in names]
            vectors = torch.cat([vector for vector, _ in pairs])
            biases = torch.cat([bias for _, bias in pairs])
            blocks = [block[None] for block in given.blocks(basis)]
            found = logit_map(blocks, vectors, biases)[0]
            parts = torch.split(found, [len(bias) for _, bias in pairs])
            maps |= dict(zip(names, parts, strict=True))
        return {
            name: self._reading(query, given, maps.get(name))
            for name, query in self._queries.items()
        }

    def _reading(self, query: Query, given: "_Given", logits: Tensor | None) -> Reading:
        if query.manifest.is_kind(TEXT):
            return self._zero_shot(query, given)
        if query.manifest.is_kind(CLASSIFICATION):
            return self._classification(query, given, logits)
        assert logits is not None, "each segmentation query reads a basis"
        return Segmentation(
            logits=logits.numpy(),
            size=given.scene.size,
            manifest=query.manifest,
            guide=given.guide(query.manifest.head),
        )

    def _classification(
        self, query: Query, given: "_Given", logits: Tensor | None
    ) -> Classification:
        manifest = query.manifest
        how, size = manifest.pooling, given.scene.size
        assert how is not None, "a classification pools"
        if logits is None:
            scores = self._classified(query, given.whole)
            return Classification(scores=scores.numpy(), size=size, manifest=manifest)
        assert how.weighting is not None, "attention has a weighting"
        maps = pooling.weights(logits, how.weighting)
        blocks, whole = given.blocks(manifest.basis), bool(how.whole)
        scores = (query.vector @ pooling.pool(blocks, maps, whole=whole)) + query.bias
        evidence = None
        if len(blocks) == 1:
            evidence = pooling.evidence(blocks[0], maps, query.vector, whole=whole).numpy()
        return Classification(
            scores=scores.numpy(),
            size=size,
            manifest=manifest,
            weights=maps.numpy(),
            evidence=evidence,
        )

    def _classified(self, query: Query, embedding: Tensor) -> Tensor:
        similarity = query.manifest.head.similarity
        if similarity is None:
            return query.vector @ embedding + query.bias
        shared = self._backbone.shared(embedding)
        return pooling.cosines(shared, query.vector, similarity.scale) + query.bias

    def _zero_shot(self, query: Query, given: "_Given") -> ZeroShot:
        manifest = query.manifest
        similarity = manifest.head.similarity
        assert similarity is not None, "texts are compared by cosine"
        (block,) = given.blocks(manifest.basis)
        tokens, whole = self._backbone.shared(block), self._backbone.shared(given.whole)
        ready = pooling.aligned(tokens, whole, scale=similarity.scale, per=similarity.per)
        return ZeroShot(
            logits=logit_map([ready[None]], query.vector, query.bias)[0].numpy(),
            size=given.scene.size,
            manifest=manifest,
            guide=given.guide(manifest.head),
            scores=self._classified(query, given.whole).numpy(),
        )


class _Given:
    """What the backbone gave for an image, put together as it is asked for."""

    def __init__(self, scene: Scene, tokens: TokenSet, embedding: Tensor | None) -> None:
        self.scene = scene
        self._tokens = tokens
        self._embedding = embedding

    @property
    def whole(self) -> Tensor:
        """The (D,) image embedding."""
        assert self._embedding is not None, "a query that needs the embedding had it computed"
        return self._embedding

    def blocks(self, basis: Basis) -> list[Tensor]:
        """Give the (N, D) blocks of a basis."""
        blocks = assemble(self._tokens, basis)
        if not basis.pixels:
            return blocks
        assert self.scene.channels is not None, "a query that needs channels had them computed"
        return [*blocks, torch.from_numpy(self.scene.channels)]

    def guide(self, head: Head) -> NDArray[np.float32] | None:
        """Give the green channel at the side that a head is led by; None where it is not."""
        return None if head.guided is None else self.scene.guides[head.guided.size_px]


def _mapping(query: Query) -> tuple[Tensor, Tensor]:
    """Give the vectors and biases that make a query's map."""
    if query.manifest.is_kind(SEGMENTATION):
        return query.vector, query.bias
    assert query.attention is not None, "what pools by attention has its vectors"
    return query.attention
