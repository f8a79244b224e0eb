"""A frozen backbone with its weights in memory: images in, tokens out; and who may use it."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from retq_hub import compatibility, geometry, probe, registry, weights
from retq_hub.batches import Batches, images_at_once
from retq_hub.encoder import Encoder
from retq_hub.engines import selection
from retq_hub.engines.choice import PLAIN, Choice, build
from retq_hub.engines.drift import Masks
from retq_hub.engines.eager import TorchEngine
from retq_hub.engines.engine import Engine
from retq_hub.engines.graph import Graphs
from retq_hub.engines.selection import Candidacy
from retq_hub.errors import UsageError
from retq_hub.manifest import BackboneRef, Fingerprint
from retq_hub.photograph import SCALED
from retq_hub.plans import Plan, TokenSet, home
from retq_hub.preparation import Needs, Prepared, prepare
from retq_hub.progress import Progress, Silent
from retq_hub.spec import BackboneSpec
from retq_hub.tiling import PassKey, stitch
from retq_hub.views import placed_back

__all__ = ["Backbone", "PassKey"]


class Backbone:
    """A frozen encoder with its preprocessing.

    Args:
        spec: What it is.
        state: Its canonical state dict, or what gives it once it is needed.
        weights_digest: The digest of ``state``.

    Attributes:
        spec: What it is.
        weights_digest: What its weights are.

    Raises:
        CheckpointError: A tensor is missing, extra or misshapen.
    """

    def __init__(
        self,
        *,
        spec: BackboneSpec,
        state: Mapping[str, Tensor] | Callable[[], Mapping[str, Tensor]],
        weights_digest: str,
    ) -> None:
        self.spec = spec
        self.weights_digest = weights_digest
        if callable(state):
            self._encoder = cache(lambda: Encoder(spec=spec, state=state()))
        else:
            encoder = Encoder(spec=spec, state=state)
            self._encoder = cache(lambda: encoder)
        self._reference = cache(lambda: TorchEngine(self._encoder()))
        self._engine: Engine | None = None
        self._batches = Batches()

    @classmethod
    def from_pretrained(
        cls,
        name: str = registry.DEFAULT_BACKBONE,
        *,
        file: str | Path | None = None,
        engine: str = PLAIN.engine,
        precision: str = PLAIN.precision,
        progress: Progress | None = None,
    ) -> "Backbone":
        """Load a backbone; fetch and convert its weights where the cache has none.

        Args:
            name: Its id in a registry, or the path of a spec.
            file: A checkpoint on this disk, used instead of the spec's sources.
            engine: What runs it: ``torch``, ``openvino``, ``onnx``, or ``auto``.
            precision: In what: ``float32``, ``bfloat16``, ``float16``, or ``auto``.
            progress: Where to report a download, and the engine that was chosen; nowhere if not
                given.

        Raises:
            NotFoundError: There is no such backbone.
            NetworkError: No source delivered its weights.
            IntegrityError: The weights are not the right ones, or the engine drifts.
            UsageError: The engine or the precision is not to be had on this machine.
        """
        backbone = cls.asleep(name, file=file, progress=progress)
        what, progress = backbone.candidacy(), progress or Silent()
        chosen = selection.select(what, engine, precision, progress=progress)
        progress.note(chosen.note)
        return backbone.with_engine(chosen.engine)

    @classmethod
    def asleep(
        cls,
        name: str = registry.DEFAULT_BACKBONE,
        *,
        file: str | Path | None = None,
        progress: Progress | None = None,
    ) -> "Backbone":
        """Find a backbone as `from_pretrained` does; its weights are loaded once they are needed.

        An engine that runs a graph of the cache does not need them.

        Raises:
            NotFoundError: There is no such backbone.
            NetworkError: No source delivered its weights.
            IntegrityError: What a source delivered are not the right ones.
        """
        spec = registry.backbone_spec(name)
        found = weights.ensure(
            spec, progress=progress or Silent(), file=Path(file) if file else None
        )
        return cls(spec=spec, state=partial(weights.load, found), weights_digest=found.digest)

    @property
    def reference(self) -> Engine:
        """PyTorch in float32, which other engines are measured against."""
        return self._reference()

    @property
    def engine(self) -> Engine:
        """What runs it."""
        return self._engine or self.reference

    @property
    def graphs(self) -> Graphs:
        """What engines other than PyTorch run."""
        return Graphs(spec=self.spec, weights_digest=self.weights_digest, encoder=self._encoder)

    def candidacy(
        self, passes: Plan | None = None, *, masks: Masks | None = None, of: Sequence[str] = ()
    ) -> Candidacy:
        """Give what engines are chosen for, see `retq_hub.engines.selection.select`.

        Args:
            passes: What is run of each image; all layers at the spec's own size if not given.
            masks: Makes the masks that are compared.
            of: Digests of what they depend on.
        """
        everything = {home(self.spec)[0]: tuple(range(self.spec.tokens.layers))}
        return Candidacy(
            graphs=self.graphs,
            weights_digest=self.weights_digest,
            reference=self._reference,
            passes=passes or everything,
            masks=masks,
            masks_of=tuple(of),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what it is built of: a worker builds it anew, from memory that it may share."""
        state = {name: tensor.numpy() for name, tensor in self._encoder().state.items()}
        run_by = self.engine
        choice = Choice(engine=run_by.name, precision=run_by.precision, device=run_by.device)
        return _built, (self.spec, state, self.weights_digest, choice)

    def __copy__(self) -> "Backbone":
        """Copy it without its network, which both have then."""
        other = object.__new__(Backbone)
        other.__dict__.update(self.__dict__)
        return other

    def with_engine(self, engine: Engine | None) -> "Backbone":
        """Give the same backbone run by another engine; the weights are not loaded again.

        Args:
            engine: Which; None for PyTorch in float32, which wakes no backbone that is asleep.
        """
        other = copy(self)
        other._engine, other._batches = engine, Batches()
        return other

    def with_decoding(self, decoding: str) -> "Backbone":
        """Give the same backbone, to which JPEGs are decoded in another way.

        Args:
            decoding: ``full``, or ``scaled``: no larger than what is made of them needs.

        Raises:
            UsageError: There is no such way.
        """
        if decoding not in ("full", SCALED):
            raise UsageError(f"decoding {decoding!r} is unknown", hint=f"full or {SCALED}")
        way, other = None if decoding == "full" else SCALED, copy(self)
        other.spec = replace(
            self.spec, preprocessing=replace(self.spec.preprocessing, decoding=way)
        )
        return other

    def images_at_once(self, needs: Needs) -> int:
        """Say how many images are best run together: on a CPU one, on a GPU as many as fill it."""
        return images_at_once(self.engine, sum(key.tiles**2 for key in needs.plan))

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """What these weights compute on the probe image; taken from the spec if it pins them."""
        if self.spec.fingerprint is not None and self.weights_digest == self.spec.weights_digest:
            return self.spec.fingerprint
        return self.measure_fingerprint()

    def measure_fingerprint(self) -> Fingerprint:
        """Run the probe image in float32 and project its tokens."""
        size = self.spec.preprocessing.size_px
        key = PassKey(size, 1, norm=True)
        layers = tuple(range(self.spec.tokens.layers))
        tokens, _ = self.with_engine(None).tokens(
            Image.fromarray(probe.probe_image(size)), {key: layers}
        )
        return probe.fingerprint([tokens[key, layer].numpy() for layer in layers])

    @property
    def ref(self) -> BackboneRef:
        """What a query's manifest says of this backbone."""
        return BackboneRef(
            id=self.spec.id,
            weights_digest=self.weights_digest,
            preprocessing_digest=self.spec.preprocessing_digest,
            fingerprint=self.fingerprint,
        )

    def tokens(
        self, image: Image.Image, passes: Plan, *, embed: bool = False
    ) -> tuple[TokenSet, Tensor | None]:
        """Run an image through the passes of a plan.

        Args:
            image: RGB.
            passes: Layers by pass.
            embed: Also give the image embedding, from the pass at the spec's own size, or from
                one of its own where upstream cuts out the middle of the image.

        Returns:
            (N, D) float32 tokens by pass and layer, on a grid over the image; and the (D,)
            embedding or None.

        Raises:
            UsageError: The backbone has no such layer or cannot run at such a size.
            ImageError: The image has no middle that could be cut out.
        """
        needs = Needs(plan=passes, embed=embed)
        return self.run([prepare(image, needs, self.spec)], needs)[0]

    def run(self, images: Sequence[Prepared], needs: Needs) -> list[tuple[TokenSet, Tensor | None]]:
        """Run several images through the passes that queries need.

        Args:
            images: Prepared for these needs.
            needs: Which passes and layers, and whether the image embedding.

        Returns:
            For each image what `tokens` gives.

        Raises:
            UsageError: The backbone has no such layer.
            ImageError: The memory does not hold a single square.
        """
        found: list[dict[tuple[PassKey, int], Tensor]] = [{} for _ in images]
        embeddings = self._of_centres(images)
        for key in dict.fromkeys(key for one in images for key in one.squares):
            members = [number for number, one in enumerate(images) if key in one.squares]
            tiles = [torch.from_numpy(images[number].squares[key]) for number in members]
            lacking = [number for number in members if embeddings[number] is None]
            wants = needs.embed and key in home(self.spec) and bool(lacking)
            layers = needs.plan.get(key, ())
            squares = torch.cat(tiles)
            tokens, pooled = self._batches.run(
                self.engine, squares, layers, norm=key.norm, embed=wants
            )
            for layer, parts in zip(layers, tokens, strict=True):
                each = torch.split(parts, [len(one) for one in tiles])
                for number, part in zip(members, each, strict=True):
                    size = images[number].scene.size
                    found[number][key, layer] = self._placed(part, key, size)
            if pooled is not None:
                rows = dict(zip(members, pooled, strict=True))
                embeddings = [
                    rows.get(number) if one is None else one
                    for number, one in enumerate(embeddings)
                ]
        return list(zip(found, embeddings, strict=True))

    def shared(self, vectors: Tensor) -> Tensor:
        """Bring tokens or embeddings to the space shared with text, as `Encoder.shared` does."""
        return self._encoder().shared(vectors)

    def batch_tokens(self, pixels: Tensor, layer: int) -> Tensor:
        """Give one layer's tokens, final norm applied, for pixels that are ready for the encoder.

        Args:
            pixels: (B, 3, S, S) float32, normalised.
            layer: Counted from 0.

        Returns:
            (B, N, D) float32.
        """
        tokens: list[Tensor] = self._encoder()(pixels, (layer,), norm=True, embed=False)[0]
        return tokens[0]

    def check(self, ref: BackboneRef, *, allow_mismatch: bool = False) -> str:
        """Decide whether a query that was made for ``ref`` may use this backbone.

        Args:
            ref: The backbone that the query was made for.
            allow_mismatch: The user insists.

        Returns:
            What the user should know, in a line; empty where all is equal.

        Raises:
            BackboneMismatch: Other weights or other preprocessing; both digests are named.
        """
        return compatibility.check(
            ref, self.spec, self.weights_digest, lambda: self.fingerprint, allow_mismatch
        )

    def _placed(self, tiles: Tensor, key: PassKey, size: tuple[int, int]) -> Tensor:
        """Bring (T, N, D) tokens of an image's tiles to their places on the image, (N, D)."""
        frame = geometry.frame(size, self.spec.preprocessing, key.side_px)
        field = geometry.onto_image(stitch(tiles, key, self.spec.tokens.patch_px), frame)
        return placed_back(field, key.view).flatten(0, 1)

    def _of_centres(self, images: Sequence[Prepared]) -> list[Tensor | None]:
        """Give the (D,) embeddings of images of which the middle is cut out; None of others."""
        centres = [one.centre for one in images if one.centre is not None]
        if not centres:
            return [None] * len(images)
        squares = torch.from_numpy(np.stack(centres))
        _, found = self._batches.run(self.engine, squares, (), norm=True, embed=True)
        assert found is not None, "it was asked for"
        rows = iter(found)
        return [None if one.centre is None else next(rows) for one in images]


def _built(
    spec: BackboneSpec, state: Mapping[str, NDArray[Any]], digest: str, choice: Choice
) -> Backbone:
    """Build a backbone of arrays; those that a worker shares with others are read only."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        tensors = {name: torch.from_numpy(array) for name, array in state.items()}
    backbone = Backbone(spec=spec, state=tensors, weights_digest=digest)
    return backbone if choice == PLAIN else backbone.with_engine(build(choice, backbone.graphs))
