"""A frozen backbone with its weights in memory: images in, tokens out; and who may use it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from retq_hub import compatibility, geometry, probe, registry, weights
from retq_hub.basis import Basis, Pass
from retq_hub.encoder import Encoder
from retq_hub.images import normalise
from retq_hub.manifest import BackboneRef, Fingerprint
from retq_hub.progress import Progress, Silent
from retq_hub.spec import BackboneSpec
from retq_hub.tiling import PassKey, cut, stitch
from retq_hub.views import Pixels, placed_back, seen

__all__ = [
    "Backbone",
    "LazyBackbone",
    "PassKey",
    "Plan",
    "TokenSet",
    "assemble",
    "last_layer",
    "plan",
]


_TILES_AT_ONCE = 16

Plan = Mapping[PassKey, tuple[int, ...]]
"""Which layers are read from which pass."""

TokenSet = Mapping[tuple[PassKey, int], Tensor]
"""The (N, D) tokens of one image by pass and layer."""


def plan(bases: Iterable[Basis]) -> dict[PassKey, tuple[int, ...]]:
    """Merge bases into the fewest passes that serve them all."""
    layers: dict[PassKey, set[int]] = {}
    for basis in bases:
        for one in basis.passes:
            for key in _keys(one, basis):
                layers.setdefault(key, set()).update(one.layers)
    return {key: tuple(sorted(found)) for key, found in sorted(layers.items())}


def last_layer(spec: BackboneSpec) -> Basis:
    """Give the basis of a backbone's own output: the whole image, last layer, norm applied."""
    one = Pass(size_px=spec.preprocessing.size_px, tiles=1, layers=(spec.tokens.layers - 1,))
    return Basis(passes=(one,), norm=True)


def assemble(tokens: TokenSet, basis: Basis) -> list[Tensor]:
    """Put together the tokens that a basis names.

    Returns:
        One (N, D) block a pass, its layers concatenated, averaged over the views.
    """
    return [
        torch.cat(
            [
                torch.stack([tokens[key, layer] for key in _keys(one, basis)]).mean(0)
                for layer in one.layers
            ],
            dim=-1,
        )
        for one in basis.passes
    ]


class Backbone:
    """A frozen encoder with its preprocessing.

    Args:
        spec: What it is.
        state: Its canonical state dict.
        weights_digest: The digest of ``state``.

    Attributes:
        spec: What it is.
        weights_digest: What its weights are.
    """

    def __init__(
        self, *, spec: BackboneSpec, state: Mapping[str, Tensor], weights_digest: str
    ) -> None:
        self.spec = spec
        self.weights_digest = weights_digest
        self._encoder = Encoder(spec=spec, state=state)

    @classmethod
    def from_pretrained(
        cls,
        name: str = registry.DEFAULT_BACKBONE,
        *,
        file: str | Path | None = None,
        progress: Progress | None = None,
    ) -> "Backbone":
        """Load a backbone; fetch and convert its weights where the cache has none.

        Args:
            name: Its id in a registry, or the path of a spec.
            file: A checkpoint on this disk, used instead of the spec's sources.
            progress: Where to report a download; nowhere if not given.

        Raises:
            NotFoundError: There is no such backbone.
            NetworkError: No source delivered its weights.
            IntegrityError: The weights are not the right ones.
        """
        spec = registry.backbone_spec(name)
        found = weights.ensure(
            spec, progress=progress or Silent(), file=Path(file) if file else None
        )
        return cls(spec=spec, state=weights.load(found), weights_digest=found.digest)

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """What these weights compute on the probe image; taken from the spec if it pins them."""
        if self.spec.fingerprint is not None and self.weights_digest == self.spec.weights_digest:
            return self.spec.fingerprint
        return self.measure_fingerprint()

    def measure_fingerprint(self) -> Fingerprint:
        """Run the probe image and project its tokens."""
        size = self.spec.preprocessing.size_px
        key = PassKey(size, 1, norm=True)
        layers = tuple(range(self.spec.tokens.layers))
        tokens, _ = self.tokens(Image.fromarray(probe.probe_image(size)), {key: layers})
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
        size = self.spec.preprocessing.size_px
        home = PassKey(size, 1, norm=True)
        at_home = [replace(home, norm=norm) for norm in (True, False)]
        found: dict[tuple[PassKey, int], Tensor] = {}
        embedding = None
        if embed and geometry.is_cropped(image.size, self.spec.preprocessing):
            embedding, embed = self._embedding_of_centre(image), False
        needed = (
            {home: (), **passes} if embed and not any(key in passes for key in at_home) else passes
        )
        for key, layers in needed.items():
            key.grid(self.spec.tokens.patch_px)
            wants = embed and embedding is None and key in at_home
            tokens, pooled = self._run(self._pixels(image, key), layers, key, wants)
            for layer, tiles in zip(layers, tokens, strict=True):
                found[key, layer] = self._placed(tiles, key, image.size)
            embedding = pooled[0] if pooled is not None else embedding
        return found, embedding

    def shared(self, vectors: Tensor) -> Tensor:
        """Bring tokens or embeddings to the space shared with text, as `Encoder.shared` does."""
        return self._encoder.shared(vectors)

    def batch_tokens(self, pixels: Tensor, layer: int) -> Tensor:
        """Give one layer's tokens, final norm applied, for pixels that are ready for the encoder.

        Args:
            pixels: (B, 3, S, S) float32, normalised.
            layer: Counted from 0.

        Returns:
            (B, N, D) float32.
        """
        tokens: list[Tensor] = self._encoder(pixels, (layer,), norm=True, embed=False)[0]
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

    def _run(
        self, pixels: Tensor, layers: Sequence[int], key: PassKey, embed: bool
    ) -> tuple[list[Tensor], Tensor | None]:
        """Run the tiles of an image, few at a time; (T, 3, S, S) in, (T, N, D) for each layer."""
        parts = [
            self._encoder(some, layers, norm=key.norm, embed=embed)
            for some in torch.split(pixels, _TILES_AT_ONCE)
        ]
        tokens = [torch.cat([part[0][number] for part in parts]) for number in range(len(layers))]
        return tokens, parts[0][1]

    def _pixels(self, image: Image.Image, key: PassKey) -> Tensor:
        """Give what the encoder sees of an image in a pass, (T, 3, S, S)."""
        preprocessing = self.spec.preprocessing
        frame = geometry.frame(image.size, preprocessing, key.side_px)
        pixels = geometry.resized(image, preprocessing, (frame.width, frame.height))
        return self._normalised(cut(frame.filled(seen(pixels, key.view)), key))

    def _placed(self, tiles: Tensor, key: PassKey, size: tuple[int, int]) -> Tensor:
        """Bring (T, N, D) tokens of an image's tiles to their places on the image, (N, D)."""
        frame = geometry.frame(size, self.spec.preprocessing, key.side_px)
        field = geometry.onto_image(stitch(tiles, key, self.spec.tokens.patch_px), frame)
        return placed_back(field, key.view).flatten(0, 1)

    def _embedding_of_centre(self, image: Image.Image) -> Tensor:
        pixels = geometry.centre(image, self.spec.preprocessing)
        _, embedding = self._encoder(self._normalised([pixels]), (), norm=True, embed=True)
        return cast("Tensor", embedding)[0]

    def _normalised(self, squares: Iterable[Pixels]) -> Tensor:
        scaled = [normalise(one, self.spec.preprocessing) for one in squares]
        return torch.from_numpy(np.stack(scaled))


class LazyBackbone:
    """A backbone whose weights are at hand on disk, and in memory only once they are needed.

    Args:
        name: Its id in a registry, or the path of a spec.
        progress: Where to report a download of the weights.

    Attributes:
        spec: What it is.
        weights_digest: What its weights are.

    Raises:
        NotFoundError: There is no such backbone.
        NetworkError: No source delivered its weights.
        IntegrityError: The weights are not the right ones.
    """

    def __init__(
        self, name: str = registry.DEFAULT_BACKBONE, *, progress: Progress | None = None
    ) -> None:
        self.spec = registry.backbone_spec(name)
        self._found = weights.ensure(self.spec, progress=progress or Silent())
        self.weights_digest = self._found.digest
        self._loaded: Backbone | None = None

    def __call__(self) -> Backbone:
        """Give the backbone, loading it the first time."""
        if self._loaded is None:
            state = weights.load(self._found)
            self._loaded = Backbone(spec=self.spec, state=state, weights_digest=self.weights_digest)
        return self._loaded

    def shared(self, vectors: Tensor) -> Tensor:
        """Do as `Backbone.shared`; the weights are loaded for it."""
        return self().shared(vectors)

    @property
    def ref(self) -> BackboneRef:
        """What a query's manifest says of this backbone; loads it only if its spec pins nothing."""
        pinned = self.spec.fingerprint
        if pinned is None or self.weights_digest != self.spec.weights_digest:
            return self().ref
        return BackboneRef(
            id=self.spec.id,
            weights_digest=self.weights_digest,
            preprocessing_digest=self.spec.preprocessing_digest,
            fingerprint=pinned,
        )

    def check(self, ref: BackboneRef, *, allow_mismatch: bool = False) -> str:
        """Decide as `Backbone.check` does, without loading the weights where digests agree."""
        return compatibility.check(
            ref, self.spec, self.weights_digest, lambda: self().fingerprint, allow_mismatch
        )


def _keys(one: Pass, basis: Basis) -> list[PassKey]:
    """Give a pass of each view."""
    return [
        PassKey(one.size_px, one.tiles, basis.norm, overlap_px=one.overlap_px or 0, view=view)
        for view in basis.views or ("plain",)
    ]
