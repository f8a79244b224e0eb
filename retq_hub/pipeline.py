"""One backbone, any number of queries: each image passes through the backbone once.

Queries that share a basis share one matrix product; queries with different bases share the passes
that they have in common.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retq_hub import composition, mapping, syncing
from retq_hub.application import Application
from retq_hub.backbone import Backbone
from retq_hub.digest import bytes_digest
from retq_hub.embedded import EXAMPLE_IMAGE
from retq_hub.engines import selection
from retq_hub.engines.choice import AUTO, PLAIN
from retq_hub.engines.engine import Engine
from retq_hub.errors import UsageError
from retq_hub.images import ImageLike, decode
from retq_hub.kinds import SEGMENTATION, TEXT
from retq_hub.photograph import Photograph
from retq_hub.pools.cluster import Cluster
from retq_hub.pools.threads import Crew
from retq_hub.preparation import Needs, Prepared, prepare
from retq_hub.progress import Progress, Silent
from retq_hub.query import Query
from retq_hub.result import AREA_PX, Mapped, Result
from retq_hub.roster import checked, named, pinned
from retq_hub.volumes import modality
from retq_hub.volumes.opening import open_volume
from retq_hub.volumes.slices import VolumeResult
from retq_hub.volumes.volume import Volume

__all__ = ["Pipeline"]

_WORKERS = 2
"""Threads that prepare, and as many that finish: they wait for files and keep the backbone fed."""


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
        self._wish: tuple[str, str] | None = None
        self.notes = checked(
            self.queries,
            lambda query: backbone.check(query.manifest.backbone, allow_mismatch=allow_mismatch),
        )
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
        decoding: str | None = None,
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
            decoding: ``full``, or ``scaled``: JPEGs are decoded no larger than what is made of
                them needs. As the backbone's spec says if not given.
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
        loaded = named(queries, progress=progress)
        if not isinstance(backbone, Backbone):
            first = next(iter(loaded.values())).manifest.backbone.id
            backbone = Backbone.asleep(backbone or first, progress=progress)
            keeps = False
        else:
            keeps = (engine, precision) == (PLAIN.engine, PLAIN.precision)
        backbone = backbone if decoding is None else backbone.with_decoding(decoding)
        found = cls(backbone=backbone, queries=loaded, allow_mismatch=allow_mismatch, embed=embed)
        return found if keeps else found.with_engine(engine, precision, progress=progress)

    @classmethod
    def from_lock(
        cls,
        lock: str | Path,
        *,
        embed: bool = True,
        decoding: str | None = None,
        engine: str = PLAIN.engine,
        precision: str = PLAIN.precision,
        progress: Progress | None = None,
    ) -> "Pipeline":
        """Load exactly what a lock pins, and nothing else; what is not here yet is fetched.

        Args:
            lock: Its file, the folder of a composed pipeline, or its name on a Hub.
            embed: Also give each image's embedding.
            decoding: As `from_pretrained` takes it.
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
        spec = syncing.pinned_spec(located.lock.backbone)
        queries = pinned(located, progress=progress)
        backbone = Backbone.asleep(spec.id, progress=progress)
        syncing.check_weights(located.lock.backbone, backbone.weights_digest)
        backbone = backbone if decoding is None else backbone.with_decoding(decoding)
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
        loaded = named([*self.queries.values(), *queries], names=self.queries)
        found = self._over(self.backbone, loaded)
        return found if self._wish is None else found.with_engine(*self._wish)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what it is put together of; see `retq_hub.backbone.Backbone`."""
        again = partial(
            Pipeline,
            backbone=self.backbone,
            queries=self.queries,
            allow_mismatch=self._allow_mismatch,
            embed=self.embed,
        )
        return again, ()

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

    def map(
        self,
        images: Iterable[ImageLike],
        *,
        pool: str = "threads",
        workers: int | None = None,
        cluster: str | None = None,
    ) -> Iterator[Mapped]:
        """Apply all queries to many images; the next are decoded while the backbone runs.

        An image that cannot be used does not stop the others. What is under way is bounded: who
        takes results slowly slows down the work.

        Args:
            images: Any number of them, as they are given to the pipeline itself.
            pool: ``threads`` of this process, or ``ray``: processes with a backbone each (needs
                the extra ``ray``, without which it is this process after all).
            workers: Threads that decode and prepare, or processes; as many as are of use if not
                given.
            cluster: Address of the Ray cluster; this machine if not given.

        Yields:
            For each image, in their order, its result or why there is none.

        Raises:
            UsageError: There is no such pool, or fewer than one worker; a cluster is named that is
                not to be used; one image is given in the place of many.
            Unreachable: The cluster cannot be reached.
        """
        if cluster is not None and pool != "ray":
            raise UsageError(f"the cluster {cluster} is Ray's", hint='add pool="ray"')
        if isinstance(images, str | Path | Image.Image | np.ndarray):
            raise UsageError("one image is given, map takes many", hint="give a list of images")
        return mapping.mapped(self, images, pool=pool, workers=workers, cluster=cluster)

    def cluster(self, address: str | None = None, workers: int | None = None) -> Cluster:
        """Say what workers on Ray need to hold this pipeline: a core each, or a GPU.

        Args:
            address: Of the cluster; this machine if not given.
            workers: How many; as many as there is room for if not given.

        Raises:
            UsageError: Fewer than one worker.
        """
        gpus = int(self.backbone.engine.device.startswith("cuda"))
        return Cluster(address=address, workers=workers, gpus=gpus)

    def crew(self, workers: int | None = None) -> Crew:
        """Say how many threads work beside the backbone, and how many images it runs together.

        Args:
            workers: Threads that prepare; as many as are of use if not given.

        Raises:
            UsageError: Fewer than one worker.
        """
        if workers is not None and workers < 1:
            raise UsageError(f"{workers} workers are too few", hint="at least one")
        batch = self.backbone.images_at_once(self.needs)
        return Crew(preparing=workers or _WORKERS, finishing=_WORKERS, batch=batch)

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

    def prepare(self, source: ImageLike | Photograph) -> Prepared:
        """Decode an image and make ready what the backbone and the queries need of it.

        Any thread may do it, while another one applies the queries to images before.

        Raises:
            ImageError: The image cannot be used.
        """
        spec = self.backbone.spec
        if not isinstance(source, Photograph):
            source = Photograph.opened(source, decoding=spec.preprocessing.decoding)
        return prepare(source, self.needs, spec)

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
