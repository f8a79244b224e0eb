"""One backbone, any number of queries: each image passes through the backbone once.

Queries that share a basis share one matrix product; queries with different bases share the passes
that they have in common.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retq_hub import composition, syncing
from retq_hub.application import Application
from retq_hub.backbone import Backbone
from retq_hub.digest import bytes_digest
from retq_hub.embedded import EXAMPLE_IMAGE
from retq_hub.engines import selection
from retq_hub.engines.choice import AUTO, PLAIN
from retq_hub.engines.engine import Engine
from retq_hub.errors import BackboneMismatch, DigestMismatch, UsageError
from retq_hub.images import ImageLike, decode
from retq_hub.kinds import SEGMENTATION, TEXT
from retq_hub.lock import PinnedQuery
from retq_hub.preparation import Needs, Prepared, prepare
from retq_hub.progress import Progress, Silent
from retq_hub.query import Query
from retq_hub.result import AREA_PX, Result
from retq_hub.volumes import modality
from retq_hub.volumes.opening import open_volume
from retq_hub.volumes.slices import VolumeResult
from retq_hub.volumes.volume import Volume

__all__ = ["Pipeline"]


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
        needs: What they need of an image.
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
        self._wish: tuple[str, str] | None = None
        for name, query in self.queries.items():
            if note := _check(name, query, backbone, allow_mismatch):
                self.notes.append(note)
        manifests = [query.manifest for query in self.queries.values()]
        self.needs = Needs.of(manifests, embed=embed)
        self._application = Application(self.queries, backbone=backbone)

    @classmethod
    def from_pretrained(
        cls,
        queries: Iterable[str | Path | Query],
        *,
        backbone: str | Backbone | None = None,
        allow_mismatch: bool = False,
        embed: bool = True,
        engine: str = PLAIN.engine,
        precision: str = PLAIN.precision,
        progress: Progress | None = None,
    ) -> "Pipeline":
        """Load queries and the backbone that they were made for.

        Args:
            queries: Names, folders, repositories on the Hub, or queries.
            backbone: Its id; that of the first query if not given.
            allow_mismatch: Apply queries that were made for another backbone.
            embed: Also give each image's embedding.
            engine: What runs the backbone, see `with_engine`; a loaded one keeps its own if none
                is named.
            precision: In what it computes.
            progress: Where to report a download of the backbone, and what is to be said of queries.

        Raises:
            UsageError: There is no query, or two have one name; or the engine or the precision is
                not to be had on this machine.
            NotFoundError: There is no such query or backbone.
            BackboneMismatch: A query was made for another backbone.
            EngineDrift: The engine's tokens or masks are too far from those of float32 PyTorch.
        """
        loaded = _loaded(queries, progress=progress)
        if not loaded:
            raise UsageError("a pipeline needs at least one query", hint="`retq list` shows them")
        if not isinstance(backbone, Backbone):
            first = next(iter(loaded.values())).manifest.backbone.id
            backbone = Backbone.asleep(backbone or first, progress=progress)
        elif (engine, precision) == (PLAIN.engine, PLAIN.precision):
            return cls(
                backbone=backbone, queries=loaded, allow_mismatch=allow_mismatch, embed=embed
            )
        found = cls(backbone=backbone, queries=loaded, allow_mismatch=allow_mismatch, embed=embed)
        return found.with_engine(engine, precision, progress=progress)

    @classmethod
    def from_lock(
        cls,
        lock: str | Path,
        *,
        embed: bool = True,
        engine: str = PLAIN.engine,
        precision: str = PLAIN.precision,
        progress: Progress | None = None,
    ) -> "Pipeline":
        """Load exactly what a lock pins, and nothing else; what is not here yet is fetched.

        Args:
            lock: Its file, the folder of a composed pipeline, or its name on a Hub.
            embed: Also give each image's embedding.
            engine: What runs the backbone, see `with_engine`.
            precision: In what it computes.
            progress: Where to report a download.

        Raises:
            NotFoundError: There is no such lock, or a member is no longer where it says.
            BadInputError: The lock breaks its schema.
            IntegrityError: Something is not what is pinned; both digests are named. Or the engine
                drifts.
            NetworkError: What is missing cannot be fetched.
            UsageError: The engine or the precision is not to be had on this machine.
        """
        located = composition.locate(lock, progress=progress)
        pinned = located.lock.backbone
        spec = syncing.pinned_spec(pinned)
        queries = {one.name: _exactly(one, located.base, progress) for one in located.lock.queries}
        backbone = Backbone.asleep(spec.id, progress=progress)
        syncing.check_weights(pinned, backbone.weights_digest)
        found = cls(backbone=backbone, queries=queries, embed=embed)
        return found.with_engine(engine, precision, progress=progress)

    def with_engine(
        self,
        engine: str = AUTO,
        precision: str = AUTO,
        *,
        images: Iterable[ImageLike] = (),
        progress: Progress | None = None,
    ) -> "Pipeline":
        """Give the same pipeline with its backbone run by another engine.

        Several that may serve are tried for some seconds, and the fastest is taken whose masks of
        the example photograph agree with those of float32 PyTorch. What was measured is kept for
        the machine; what was chosen is among the notes.

        Args:
            engine: ``torch``, ``openvino``, ``onnx``, or ``auto``.
            precision: ``float32``, ``bfloat16``, ``float16``, or ``auto``.
            images: Photographs whose masks must agree, beside the example.
            progress: Where to say that engines are tried.

        Raises:
            UsageError: The engine or the precision is not to be had on this machine.
            EngineDrift: Its tokens or masks are too far from those of float32 PyTorch.
            ImageError: One of the images cannot be used.
        """
        if (engine, precision) == (PLAIN.engine, PLAIN.precision):
            return self._over(self.backbone.with_engine(self.backbone.reference), self.queries)
        shown = [decode(one) for one in (EXAMPLE_IMAGE, *images)]
        digests = [bytes_digest(one.tobytes()) for one in shown]
        marks = any(one.manifest.is_kind(SEGMENTATION, TEXT) for one in self.queries.values())
        what = self.backbone.candidacy(
            self.needs.plan,
            masks=partial(self._masks, shown) if marks else None,
            of=[*digests, *(query.manifest.digest for query in self.queries.values())],
        )
        chosen = selection.select(what, engine, precision, progress=progress or Silent())
        found = self._over(self.backbone.with_engine(chosen.engine), self.queries)
        found._wish = (engine, precision)
        found.notes += [chosen.note] if chosen.note else []
        return found

    def add(self, *queries: str | Path | Query) -> "Pipeline":
        """Give a pipeline with more queries; the backbone is not loaded again.

        An engine that was chosen is chosen anew, for all of them.
        """
        loaded = _loaded([*self.queries.values(), *queries], names=self.queries)
        found = self._over(self.backbone, loaded)
        return found if self._wish is None else found.with_engine(*self._wish)

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

    def volume(self, source: str | Path | Volume) -> VolumeResult:
        """Apply all queries to each slice of a volume, when its result is asked for.

        Args:
            source: A multi-frame TIFF, a DICOM file (needs the extra ``dicom``), a folder of
                slices, or an open volume.

        Raises:
            UsageError: It is DICOM and pydicom is missing.
            ImageError: It is no volume, or it cannot be read.
        """
        volume = source if isinstance(source, Volume) else open_volume(source)
        manifests = {name: query.manifest for name, query in self.queries.items()}
        fits = volume.modality != modality.OCT
        notes = [] if fits else modality.notes(self.backbone.spec, manifests)
        return VolumeResult(
            volume, apply=self._one, names=tuple(manifests), notes=[*volume.notes, *notes]
        )

    def prepare(self, source: ImageLike) -> Prepared:
        """Decode an image and make ready what the backbone and the queries need of it.

        Any thread may do it, while another one applies the queries to images before.

        Raises:
            ImageError: The image cannot be used.
        """
        return prepare(decode(source), self.needs, self.backbone.spec)

    def apply(self, images: Sequence[Prepared]) -> list[Result]:
        """Run the backbone over prepared images, all in one go, and apply all queries.

        Args:
            images: From `prepare`.
        """
        return [
            Result(
                self._application(one.scene, tokens, embedding),
                embedding=None if embedding is None else embedding.numpy(),
            )
            for one, (tokens, embedding) in zip(
                images, self.backbone.run(images, self.needs), strict=True
            )
        ]

    def _over(self, backbone: Backbone, queries: Mapping[str, Query]) -> "Pipeline":
        return Pipeline(
            backbone=backbone,
            queries=queries,
            allow_mismatch=self._allow_mismatch,
            embed=self.embed,
        )

    def _masks(self, images: Sequence[Image.Image], engine: Engine) -> list[NDArray[np.bool_]]:
        """Give the masks of each target, (images, 392, 392), made with an engine."""
        pipeline = self._over(self.backbone.with_engine(engine), self.queries)
        results = [pipeline._one(image) for image in images]
        names = results[0].segmentations
        found = [
            [one.segmentations[name].mask_at(AREA_PX, AREA_PX) for one in results] for name in names
        ]
        return [mask for one in found for mask in np.stack(one, axis=1)]

    def _one(self, source: ImageLike) -> Result:
        return self.apply([self.prepare(source)])[0]


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


def _check(name: str, query: Query, backbone: Backbone, allow_mismatch: bool) -> str:
    try:
        note = backbone.check(query.manifest.backbone, allow_mismatch=allow_mismatch)
    except BackboneMismatch as error:
        raise BackboneMismatch(f"{name}: {error.found}", hint=error.hint) from error
    return f"{name}: {note}" if note else ""
