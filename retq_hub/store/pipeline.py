"""Queries applied to the images of a store: one product a shard, and no backbone.

Axis letters: B batch, N tokens, D width, C targets, G grid side.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from retq_hub import compatibility
from retq_hub.application import Application
from retq_hub.backbone import Backbone
from retq_hub.basis import Basis
from retq_hub.errors import BackboneMismatch, UsageError
from retq_hub.grids import logit_map
from retq_hub.kinds import SEGMENTATION
from retq_hub.plans import layered
from retq_hub.preparation import Needs, Scene
from retq_hub.progress import Progress
from retq_hub.query import Query
from retq_hub.result import Reading, Result, Segmentation
from retq_hub.roster import check_shape, checked, named
from retq_hub.spec import BackboneSpec
from retq_hub.store.contents import Contents
from retq_hub.store.shard import Entry
from retq_hub.store.store import Batch, Store

__all__ = ["StoredPipeline"]

_AT_ONCE = 4
"""So many images' tokens are float32 at a time: what the processor's cache has room for."""


class StoredPipeline:
    """Queries that are applied to what a store holds.

    Args:
        store: The store.
        queries: The queries by the name under which their results are found.
        allow_mismatch: Apply queries that were made for another backbone.

    Attributes:
        store: The store.
        queries: The queries by name.
        needs: What they need of an image.
        notes: What the user should know of how the queries fit the store, a line each.

    Raises:
        UsageError: The store does not hold what a query reads.
        BackboneMismatch: A query was made for another backbone.
    """

    def __init__(
        self, store: Store, queries: Mapping[str, Query], *, allow_mismatch: bool = False
    ) -> None:
        self.store = store
        self.queries = dict(queries)
        self.notes = checked(self.queries, lambda query: _check(query, store, allow_mismatch))
        for name, query in self.queries.items():
            _check_held(name, query, store)
        self.needs = Needs.of(query.manifest for query in self.queries.values())
        self._rest = Application(
            {name: one for name, one in self.queries.items() if not _is_plain(one)},
            backbone=_Absent(store.contents),
        )
        self._groups = _grouped(self.queries)

    @classmethod
    def from_pretrained(
        cls,
        store: str | Path | Store,
        queries: Iterable[str | Path | Query],
        *,
        allow_mismatch: bool = False,
        progress: Progress | None = None,
    ) -> "StoredPipeline":
        """Open a store and load queries.

        Args:
            store: The store, or its folder.
            queries: Names, folders, repositories on the Hub, or queries.
            allow_mismatch: Apply queries that were made for another backbone.
            progress: Where to report what is to be said of queries.

        Raises:
            NotFoundError: There is no such store or query.
            UsageError: There is no query, two have one name, or the store does not hold what one
                reads.
            BackboneMismatch: A query was made for another backbone.
            IntegrityError: The store is damaged.
        """
        opened = store if isinstance(store, Store) else Store(store)
        loaded = named(queries, progress=progress)
        return cls(opened, loaded, allow_mismatch=allow_mismatch)

    def __call__(self, image: str | Path) -> Result:
        """Apply all queries to one image.

        Args:
            image: Its path as it was given, or the digest of its file.

        Raises:
            NotFoundError: The store has no such image.
            IntegrityError: The store is damaged.
        """
        batch = self.store.batch(image, self.needs)
        return next(self._applied(batch))[1]

    def results(self, images: Container[str] | None = None) -> Iterator[tuple[Entry, Result]]:
        """Apply all queries to images, in the order in which they were written.

        Args:
            images: Paths of those that are wanted, as they were given; all if not given.

        Raises:
            IntegrityError: The store is damaged.
        """
        for batch in self.store.batches(self.needs, size=_AT_ONCE, images=images):
            yield from self._applied(batch)

    def _applied(self, batch: Batch) -> Iterator[tuple[Entry, Result]]:
        maps: dict[str, Tensor] = {}
        for basis, members in self._groups.items():
            maps |= _maps(batch, basis, members)
        more = len(maps) < len(self.queries)
        for number, entry in enumerate(batch.entries):
            scene = batch.scene(number, channels=more)
            found: dict[str, Reading] = {
                name: _segmentation(self.queries[name], scene, logits[number])
                for name, logits in maps.items()
            }
            embedding = batch.embeddings[number] if self.needs.embed else None
            if more:
                found |= self._rest(scene, batch.single(number), embedding)
            yield (
                entry,
                Result(
                    {name: found[name] for name in self.queries},
                    embedding=None if embedding is None else embedding.numpy(),
                ),
            )


class _Absent:
    """What stands in for the backbone that made a store."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents

    @property
    def spec(self) -> BackboneSpec:
        """What the backbone is."""
        return self._contents.backbone

    def shared(self, vectors: Tensor) -> Tensor:
        """Bring tokens to the space shared with text; only a matrix in the weights can do that."""
        if self.spec.architecture.dense:
            return vectors
        return self._loaded.shared(vectors)

    @cached_property
    def _loaded(self) -> Backbone:
        found = Backbone.asleep(self.spec.id)
        if found.weights_digest != self._contents.weights_digest:
            raise BackboneMismatch(
                f"the store is of weights {self._contents.weights_digest}, those of {self.spec.id} "
                f"here are {found.weights_digest}",
                hint="make the store again",
            )
        return found


def _is_plain(query: Query) -> bool:
    """Whether a product with tokens is all that a query takes."""
    return query.manifest.is_kind(SEGMENTATION)


def _grouped(queries: Mapping[str, Query]) -> dict[Basis, dict[str, Query]]:
    """Give the plain queries by their basis."""
    groups: dict[Basis, dict[str, Query]] = {}
    for name, query in queries.items():
        if _is_plain(query):
            groups.setdefault(query.manifest.basis, {})[name] = query
    return groups


def _maps(batch: Batch, basis: Basis, queries: Mapping[str, Query]) -> dict[str, Tensor]:
    """Apply queries of one basis to a batch: (B, C, G, G) float32 logits of each."""
    blocks = layered(batch.tokens, basis)
    if basis.pixels:
        assert batch.channels is not None, "a query that needs channels had them read"
        blocks.append(batch.channels)
    vectors = torch.cat([query.vector for query in queries.values()])
    biases = torch.cat([query.bias for query in queries.values()])
    counts = [len(query.bias) for query in queries.values()]
    parts = torch.split(logit_map(blocks, vectors, biases), counts, dim=1)
    return dict(zip(queries, parts, strict=True))


def _segmentation(query: Query, scene: Scene, logits: Tensor) -> Segmentation:
    guided = query.manifest.head.guided
    return Segmentation(
        logits=logits.numpy(),
        size=scene.size,
        manifest=query.manifest,
        guide=None if guided is None else scene.guides[guided.size_px],
    )


def _check(query: Query, store: Store, allow_mismatch: bool) -> str:
    """Refuse a query of another backbone."""
    contents = store.contents
    note = compatibility.check(
        query.manifest.backbone,
        contents.backbone,
        contents.weights_digest,
        lambda: contents.fingerprint,
        allow_mismatch,
    )
    check_shape(query, contents.backbone)
    return note


def _check_held(name: str, query: Query, store: Store) -> None:
    """Refuse a query of tokens that the store does not hold."""
    if missing := store.missing(Needs.of([query.manifest])):
        raise UsageError(
            f"{name} reads {', '.join(missing)}, which {store.folder} does not hold: it holds "
            f"{store.contents.text}",
            hint=f"`retq embed IMAGES -q {name} -o ANOTHER_STORE` holds it",
        )
