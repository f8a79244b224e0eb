"""A frozen backbone with its weights in memory: images in, tokens out; and who may use it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from retq_hub import probe, registry, weights
from retq_hub.encoder import Encoder
from retq_hub.errors import BackboneMismatch, IntegrityError, UsageError
from retq_hub.images import normalise, square
from retq_hub.manifest import BackboneRef, BackboneSpec, Basis, Fingerprint, Pass
from retq_hub.progress import Progress, Silent

__all__ = ["Backbone", "LazyBackbone", "PassKey", "Plan", "TokenSet", "assemble", "plan"]


@dataclass(frozen=True, order=True)
class PassKey:
    """What makes two passes the same: they see the same pixels and give the same tokens."""

    size_px: int
    tiles: int
    norm: bool


Plan = Mapping[PassKey, tuple[int, ...]]
"""Which layers are read from which pass."""

TokenSet = Mapping[tuple[PassKey, int], Tensor]
"""The (N, D) tokens of one image by pass and layer."""


def plan(bases: Iterable[Basis]) -> dict[PassKey, tuple[int, ...]]:
    """Merge bases into the fewest passes that serve them all."""
    layers: dict[PassKey, set[int]] = {}
    for basis in bases:
        for one in basis.passes:
            layers.setdefault(_key(one, basis), set()).update(one.layers)
    return {key: tuple(sorted(found)) for key, found in sorted(layers.items())}


def assemble(tokens: TokenSet, basis: Basis) -> Tensor:
    """Concatenate the (N, D) tokens that a basis names, in its order."""
    return torch.cat(
        [tokens[_key(one, basis), layer] for one in basis.passes for layer in one.layers], dim=-1
    )


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
            embed: Also give the image embedding, from the pass at the spec's own size.

        Returns:
            (N, D) float32 tokens by pass and layer, and the (D,) embedding or None.

        Raises:
            UsageError: The backbone has no such layer or cannot run at such a size.
        """
        home = PassKey(self.spec.preprocessing.size_px, 1, norm=True)
        at_home = any(key.tiles == 1 and key.size_px == home.size_px for key in passes)
        needed = {home: (), **passes} if embed and not at_home else passes
        found: dict[tuple[PassKey, int], Tensor] = {}
        embedding = None
        for key, layers in needed.items():
            if key.tiles != 1:
                raise UsageError(f"tiles {key.tiles} x {key.tiles} are not supported, only 1 x 1")
            pixels = self._pixels(image, key.size_px)
            wants = embed and embedding is None and key.size_px == home.size_px
            tokens, pooled = self._encoder(pixels, layers, norm=key.norm, embed=wants)
            found |= {(key, layer): one[0] for layer, one in zip(layers, tokens, strict=True)}
            embedding = pooled[0] if pooled is not None else embedding
        return found, embedding

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
        return _check(ref, self.spec, self.weights_digest, lambda: self.fingerprint, allow_mismatch)

    def _pixels(self, image: Image.Image, size_px: int) -> Tensor:
        preprocessing = self.spec.preprocessing
        pixels = normalise(square(image, preprocessing, size_px), preprocessing)
        return torch.from_numpy(np.expand_dims(pixels, 0))


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

    def check(self, ref: BackboneRef, *, allow_mismatch: bool = False) -> str:
        """Decide as `Backbone.check` does, without loading the weights where digests agree."""
        return _check(
            ref, self.spec, self.weights_digest, lambda: self().fingerprint, allow_mismatch
        )


def _check(
    ref: BackboneRef,
    spec: BackboneSpec,
    weights_digest: str,
    fingerprint: Callable[[], Fingerprint],
    allow_mismatch: bool,
) -> str:
    """Compare by digests, and by fingerprints where the weights' digests differ."""
    if ref.preprocessing_digest != spec.preprocessing_digest:
        return _refuse(
            f"it was made with preprocessing {ref.preprocessing_digest} ({ref.id}), "
            f"this is {spec.preprocessing_digest} ({spec.id})",
            allow_mismatch,
        )
    if ref.weights_digest == weights_digest:
        return ""
    other = f"weights {ref.weights_digest} ({ref.id})"
    this = f"{weights_digest} ({spec.id})"
    try:
        distance = probe.deviation(ref.fingerprint, fingerprint())
    except IntegrityError:
        distance = float("inf")
    if distance <= probe.TOLERANCE:
        return (
            f"it was made with {other}, this is {this}, but they compute the same "
            f"(fingerprints {distance:.2g} apart)"
        )
    return _refuse(
        f"it was made with {other}, this is {this}; fingerprints {distance:.2g} apart",
        allow_mismatch,
    )


def _key(one: Pass, basis: Basis) -> PassKey:
    return PassKey(one.size_px, one.tiles, norm=basis.norm)


def _refuse(reason: str, allow_mismatch: bool) -> str:
    if allow_mismatch:
        return reason + "; used all the same, as you asked"
    raise BackboneMismatch(
        f"the query does not fit the backbone: {reason}",
        hint="use the backbone it was made for, or insist with --allow-mismatch",
    )
