"""One backbone, any number of queries: each image passes through the backbone once.

Queries that share a basis share one matrix product; queries with different bases share the passes
that they have in common.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from retq_hub import composition, notation, syncing
from retq_hub.backbone import Backbone, assemble, plan
from retq_hub.channels import pixel_channels
from retq_hub.errors import BackboneMismatch, DigestMismatch, UsageError
from retq_hub.grids import logit_map
from retq_hub.heads import margins, pixel_logits, probabilities
from retq_hub.images import ImageLike, decode, green
from retq_hub.lock import PinnedQuery
from retq_hub.manifest import Basis, QueryManifest
from retq_hub.progress import Progress
from retq_hub.query import Query

__all__ = ["AREA_PX", "Pipeline", "Result", "Segmentation"]

AREA_PX = 392
"""Side of the square on which areas are measured."""


@dataclass(frozen=True, kw_only=True)
class Segmentation:
    """What one query says of one image.

    A query with one target gives (H, W) maps, one with C > 1 targets (C, H, W).

    Attributes:
        logits: (C, G, G) float32 on the finest grid; all else is computed from it when asked for.
        size: Width and height of the image in pixels.
        manifest: The query's manifest.
        guide: (S, S) float32, 0-1, the image's green channel where the query's head is led by it.
    """

    logits: NDArray[np.float32]
    size: tuple[int, int]
    manifest: QueryManifest
    guide: NDArray[np.float32] | None = None

    @property
    def probability(self) -> NDArray[np.float32]:
        """(H, W) float32 in [0, 1] at the image's own size."""
        maps = self.probability_at(*self.size)
        return np.asarray(maps[0] if len(maps) == 1 else maps)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(H, W) bool at the image's own size, by the query's own threshold."""
        maps = self.mask_at(*self.size)
        return np.asarray(maps[0] if len(maps) == 1 else maps)

    @property
    def area(self) -> float:
        """Share of the image that is marked; of any target, where there are several."""
        return float(self.mask_at(AREA_PX, AREA_PX).any(axis=0).mean())

    @property
    def max_probability(self) -> float:
        """The highest probability of any target, at 392 x 392 pixels."""
        return float(self.probability_at(AREA_PX, AREA_PX).max())

    def mask_at(self, width: int, height: int) -> NDArray[np.bool_]:
        """Give the (C, height, width) mask at another size than the image's."""
        return np.asarray(self.margin_at(width, height) > 0)

    def probability_at(self, width: int, height: int) -> NDArray[np.float32]:
        """Give the (C, height, width) float32 probability at another size than the image's."""
        head = self.manifest.head
        return np.asarray(probabilities(head, self._pixel_logits(width, height)).numpy())

    def margin_at(self, width: int, height: int) -> NDArray[np.float32]:
        """Give the (C, height, width) float32 logits above the threshold: positive is marked."""
        head = self.manifest.head
        return np.asarray(margins(head, self._pixel_logits(width, height)).numpy())

    def _pixel_logits(self, width: int, height: int) -> Tensor:
        return pixel_logits(
            self.manifest.head, torch.from_numpy(self.logits), width, height, self._guide
        )

    def _guide(self, size_px: int) -> Tensor:
        assert self.guide is not None, "the pipeline keeps it where the head needs it"
        assert len(self.guide) == size_px, "it is kept at the size at which the head works"
        return torch.from_numpy(self.guide)


class Result(Mapping[str, Segmentation]):
    """What the queries of a pipeline say of one image, by the names they were given.

    Attributes:
        embedding: (D,) float32 image embedding, pooled as the backbone's spec says; None where the
            pipeline was told not to compute it.
    """

    def __init__(
        self, found: Mapping[str, Segmentation], *, embedding: NDArray[np.float32] | None
    ) -> None:
        self._found = dict(found)
        self.embedding = embedding

    def __getitem__(self, name: str) -> Segmentation:
        """Give the segmentation by one query."""
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        """Go through the queries' names."""
        return iter(self._found)

    def __len__(self) -> int:
        """Count the queries."""
        return len(self._found)


class Pipeline:
    """A backbone with the queries that are applied to each image.

    Args:
        backbone: The backbone; it may be shared between pipelines.
        queries: The queries by the name under which their results are found.
        allow_mismatch: Apply queries that were made for another backbone.
        embed: Also give each image's embedding. Without it the blocks after the last layer that a
            query reads are not run.

    Attributes:
        backbone: The backbone.
        queries: The queries by name.
        notes: What the user should know of how the queries fit the backbone, a line each.

    Raises:
        BackboneMismatch: A query was made for another backbone.
    """

    def __init__(
        self,
        *,
        backbone: Backbone,
        queries: Mapping[str, Query],
        allow_mismatch: bool = False,
        embed: bool = True,
    ) -> None:
        self.backbone = backbone
        self.queries = dict(queries)
        self.embed = embed
        self._allow_mismatch = allow_mismatch
        self.notes: list[str] = []
        for name, query in self.queries.items():
            if note := _check(name, query, backbone, allow_mismatch):
                self.notes.append(note)
        self._plan = plan(query.manifest.basis for query in self.queries.values())
        self._groups = _grouped(self.queries)

    @classmethod
    def from_pretrained(
        cls,
        queries: Iterable[str | Path | Query],
        *,
        backbone: str | Backbone | None = None,
        allow_mismatch: bool = False,
        embed: bool = True,
        progress: Progress | None = None,
    ) -> "Pipeline":
        """Load queries and the backbone that they were made for.

        Args:
            queries: Names, folders, repositories on the Hub, or queries.
            backbone: Its id; that of the first query if not given.
            allow_mismatch: Apply queries that were made for another backbone.
            embed: Also give each image's embedding.
            progress: Where to report a download of the backbone, and what is to be said of queries.

        Raises:
            UsageError: There is no query, or two have one name.
            NotFoundError: There is no such query or backbone.
            BackboneMismatch: A query was made for another backbone.
        """
        loaded = _loaded(queries, progress=progress)
        if not loaded:
            raise UsageError("a pipeline needs at least one query", hint="`retq list` shows them")
        if not isinstance(backbone, Backbone):
            first = next(iter(loaded.values())).manifest.backbone.id
            backbone = Backbone.from_pretrained(backbone or first, progress=progress)
        return cls(backbone=backbone, queries=loaded, allow_mismatch=allow_mismatch, embed=embed)

    @classmethod
    def from_lock(
        cls, lock: str | Path, *, embed: bool = True, progress: Progress | None = None
    ) -> "Pipeline":
        """Load exactly what a lock pins, and nothing else; what is not here yet is fetched.

        Args:
            lock: Its file, the folder of a composed pipeline, or its name on a Hub.
            embed: Also give each image's embedding.
            progress: Where to report a download.

        Raises:
            NotFoundError: There is no such lock, or a member is no longer where it says.
            BadInputError: The lock breaks its schema.
            IntegrityError: Something is not what is pinned; both digests are named.
            NetworkError: What is missing cannot be fetched.
        """
        found = composition.locate(lock, progress=progress)
        pinned = found.lock.backbone
        spec = syncing.pinned_spec(pinned)
        queries = {one.name: _exactly(one, found.base, progress) for one in found.lock.queries}
        backbone = Backbone.from_pretrained(spec.id, progress=progress)
        syncing.check_weights(pinned, backbone.weights_digest)
        return cls(backbone=backbone, queries=queries, embed=embed)

    def add(self, *queries: str | Path | Query) -> "Pipeline":
        """Give a pipeline with more queries; the backbone is not loaded again."""
        return Pipeline(
            backbone=self.backbone,
            queries=_loaded([*self.queries.values(), *queries], names=self.queries),
            allow_mismatch=self._allow_mismatch,
            embed=self.embed,
        )

    @overload
    def __call__(self, images: list[ImageLike] | tuple[ImageLike, ...]) -> list[Result]: ...

    @overload
    def __call__(self, images: ImageLike) -> Result: ...

    @overload
    def __call__(self, images: Iterator[ImageLike]) -> Iterator[Result]: ...

    def __call__(
        self, images: ImageLike | Iterable[ImageLike]
    ) -> Result | list[Result] | Iterator[Result]:
        """Apply all queries.

        Args:
            images: A path, a PIL image or an (H, W, 3) uint8 array; or a list or iterator of them.

        Returns:
            One result; a list for a list or tuple, an iterator for any other iterable.

        Raises:
            ImageError: An image cannot be used.
        """
        if isinstance(images, str | Path | Image.Image | np.ndarray):
            return self._one(images)
        if isinstance(images, list | tuple):
            return [self._one(image) for image in images]
        return map(self._one, images)

    def _one(self, source: ImageLike) -> Result:
        image = decode(source)
        tokens, embedding = self.backbone.tokens(image, self._plan, embed=self.embed)
        found: dict[str, Segmentation] = {}
        fine: Tensor | None = None
        for basis, names in self._groups.items():
            vectors = torch.cat([self.queries[name].vector for name in names])
            biases = torch.cat([self.queries[name].bias for name in names])
            blocks = assemble(tokens, basis)
            if basis.pixels:
                fine = torch.from_numpy(pixel_channels(image)) if fine is None else fine
                blocks.append(fine)
            maps = logit_map([block[None] for block in blocks], vectors, biases)[0]
            parts = torch.split(maps, [len(self.queries[name].bias) for name in names])
            for name, part in zip(names, parts, strict=True):
                manifest = self.queries[name].manifest
                guided = manifest.head.guided
                found[name] = Segmentation(
                    logits=part.numpy(),
                    size=image.size,
                    manifest=manifest,
                    guide=green(image, guided.size_px) if guided else None,
                )
        return Result(
            {name: found[name] for name in self.queries},
            embedding=None if embedding is None else embedding.numpy(),
        )


def _exactly(pinned: PinnedQuery, base: Path, progress: Progress | None) -> Query:
    """Load a query of a lock."""
    query = Query.from_pretrained(syncing.find(pinned, base, progress=progress).folder)
    if (actual := query.manifest.digest) != pinned.digest:
        what = f"{pinned.name}, changed meanwhile,"
        raise DigestMismatch(what, expected=pinned.digest, actual=actual, hint="try again")
    return query


def _loaded(
    queries: Iterable[str | Path | Query],
    *,
    names: Iterable[str] = (),
    progress: Progress | None = None,
) -> dict[str, Query]:
    """Load queries and name them: as the user named them, folders by the manifest's name."""
    queries = [queries] if isinstance(queries, str | Path | Query) else queries
    given = list(names)
    found: dict[str, Query] = {}
    for number, one in enumerate(queries):
        query = one if isinstance(one, Query) else Query.from_pretrained(one, progress=progress)
        plain = isinstance(one, str) and "/" not in one and not one.startswith(".")
        name = str(one).partition("@")[0] if plain else query.manifest.name
        name = given[number] if number < len(given) else name
        if name in found:
            raise UsageError(
                f"two queries are named {name!r}",
                hint="leave one out, or give Pipeline(queries={...}) names of your own",
            )
        found[name] = query
    return found


def _grouped(queries: Mapping[str, Query]) -> dict[Basis, list[str]]:
    groups: dict[Basis, list[str]] = {}
    for name, query in queries.items():
        groups.setdefault(query.manifest.basis, []).append(name)
    return groups


def _check(name: str, query: Query, backbone: Backbone, allow_mismatch: bool) -> str:
    try:
        note = backbone.check(query.manifest.backbone, allow_mismatch=allow_mismatch)
    except BackboneMismatch as error:
        raise BackboneMismatch(f"{name}: {error.found}", hint=error.hint) from error
    basis = query.manifest.basis
    depth = backbone.spec.tokens.layers
    if max(basis.layers) >= depth:
        raise BackboneMismatch(
            f"{name}: it reads layer {max(basis.layers)}, {backbone.spec.id} has 0-{depth - 1}",
            hint="it was made for another backbone",
        )
    width = notation.width(basis, backbone.spec.tokens.width)
    if query.vector.shape[1] != width:
        raise BackboneMismatch(
            f"{name}: it has {query.vector.shape[1]} floats a vector, its layers of "
            f"{backbone.spec.id} give {width}",
            hint="it was made for another backbone",
        )
    return f"{name}: {note}" if note else ""
