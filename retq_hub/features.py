"""Tokens of many images, computed once: a cache on disk by image, backbone and preprocessing.

Tokens are kept as float16, one safetensors an image and pass, with a check sum; a file that lacks a
layer is made anew with the union, a file that is damaged is made anew. Beside the cache a store may
serve (`retq_hub.store`): what it holds is not computed, nor copied.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from torch import Tensor

from retq_hub import tensorfile
from retq_hub.backbone import Backbone
from retq_hub.basis import Basis
from retq_hub.channels import METHOD, pixel_channels
from retq_hub.digest import json_digest
from retq_hub.errors import BackboneMismatch, ImageError, IntegrityError, UsageError
from retq_hub.photograph import Photograph
from retq_hub.plans import Plan, TokenSet, assemble, plan
from retq_hub.pools.threads import Crew, Stages, flow
from retq_hub.preparation import Needs, Prepared, prepare, scene
from retq_hub.probe import probe_image
from retq_hub.progress import Progress
from retq_hub.storage import cache_dir
from retq_hub.store.store import Store
from retq_hub.tiling import PassKey

__all__ = ["CachedTokens", "ImageFile", "TokenCache"]

_ENGINE = "torch float32"

_IN_MEMORY_BYTES = 2**30
"""Up to this size tokens are held in memory as float32; up to twice of it as float16."""


class ImageFile(Protocol):
    """An image on disk whose content is known by its digest."""

    @property
    def image(self) -> Path:
        """The file."""
        ...

    @property
    def image_digest(self) -> str:
        """SHA-256 of the file."""
        ...


class TokenCache:
    """The tokens that one backbone gives for images on disk.

    Args:
        backbone: The backbone; run by PyTorch in float32, and only for an image that is not in the
            cache.
        store: What is asked first, by the digests of images.

    Raises:
        BackboneMismatch: The store is of another backbone.
        UsageError: The store was made by another engine than float32 torch.
    """

    def __init__(self, *, backbone: Backbone, store: Store | None = None) -> None:
        self._key = (backbone.weights_digest, backbone.spec.preprocessing_digest)
        self._backbone = backbone.with_engine(None)
        self._folder = cache_dir() / "tokens"
        self._store = store
        if store is not None:
            _check_store(store, self._key)

    @property
    def digest(self) -> str:
        """What makes the tokens what they are: weights and preprocessing."""
        return json_digest(list(self._key))

    def missing(self, files: Iterable[ImageFile], basis: Basis) -> list[ImageFile]:
        """Give the images that would need the backbone; what is cached is verified."""
        needed = plan([basis])
        return [
            file
            for file in files
            if not all(
                self._is_stored(file, {key: layers}) or set(layers) <= self._kept(file, key)
                for key, layers in needed.items()
            )
        ]

    def fill(self, files: Iterable[ImageFile], basis: Basis, *, progress: Progress) -> None:
        """Compute what is missing for a basis; the next images are read while the backbone runs.

        A kill loses no more than the images under way.

        Raises:
            ImageError: An image cannot be used.
            IntegrityError: The backbone gives something else than numbers.
            UsageError: The backbone cannot give such a basis.
            StorageError: The cache cannot be written.
        """
        todo = self.missing(files, basis)
        stages: Stages[ImageFile, _Lacking, _Computed, object] = Stages(
            prepare=lambda file: self._lacking(file, basis),
            apply=lambda some: [self._computed(one) for one in some],
            finish=lambda _, found: self._written(*found),
        )
        outcomes = flow(todo, stages, crew=Crew(), kept=ImageError)
        for one in progress.steps(outcomes, what="running the backbone", total=len(todo)):
            if one.error is not None:
                raise one.error

    def blocks(self, file: ImageFile, basis: Basis) -> list[Tensor]:
        """Give one image's tokens, a block a pass.

        Returns:
            (N, D) float32 each, of float16 precision.
        """
        blocks = assemble(self.tokens(file, basis), basis)
        if basis.pixels:
            blocks.append(self._pixels(file))
        return blocks

    def tokens(self, file: ImageFile, basis: Basis) -> TokenSet:
        """Give one image's tokens, all passes and layers that a basis names.

        Returns:
            (N, D) float32 each, of float16 precision.
        """
        found: dict[tuple[PassKey, int], Tensor] = {}
        for key, layers in plan([basis]).items():
            if self._store is not None and self._is_stored(file, {key: layers}):
                found |= self._store.tokens(file.image_digest, Needs(plan={key: layers}))
                continue
            part = self._read(file, key, layers)
            if part is None:
                part = self._written(*self._computed(self._lacking(file, basis)))[key]
            found |= {(key, layer): part[layer].float() for layer in layers}
        return found

    def embedding(self, file: ImageFile) -> Tensor:
        """Give one image's embedding, pooled as the backbone's spec says; computed once.

        Returns:
            (D,) float32.

        Raises:
            ImageError: The image cannot be used.
            IntegrityError: The backbone gives something else than numbers.
            StorageError: The cache cannot be written.
        """
        if self._store is not None and self._is_stored(file, {}):
            return self._store.embedding(file.image_digest)
        path = self._folder / self._pooled / f"{file.image_digest}.safetensors"
        return self._embedding(path, lambda: self._photograph(file), str(file.image))

    def probe_embedding(self) -> Tensor:
        """Give the probe image's embedding, (D,) float32."""
        size = self._backbone.spec.preprocessing.size_px
        path = self._folder / "probe" / f"{self._pooled}.safetensors"
        image = Image.fromarray(probe_image(size))
        return self._embedding(path, lambda: Photograph.of(image), "the probe")

    def _embedding(self, path: Path, image: Callable[[], Photograph], name: str) -> Tensor:
        if stored := tensorfile.read(path):
            return stored["embedding"]
        backbone, needs = self._backbone, Needs(plan={}, embed=True)
        found = backbone.run([prepare(image(), needs, backbone.spec)], needs)[0][1]
        assert found is not None, "it was asked for"
        if not bool(found.isfinite().all()):
            raise IntegrityError(
                f"{backbone.spec.id} gives an embedding of {name} that is no number",
                hint="verify the backbone with `retq backbones verify`",
            )
        tensorfile.write(path, {"embedding": found.contiguous()})
        return found

    @property
    def _pooled(self) -> str:
        return json_digest([*self._key, self._backbone.spec.pooling, "embedding"])[:32]

    def probe(self, basis: Basis) -> list[Tensor]:
        """Give the probe image's tokens, a block a pass, (N, D) float32, unrounded."""
        name = json_digest([*self._key, [asdict(key) for key in plan([basis])], asdict(basis)])
        path = self._folder / "probe" / f"{name[:32]}.safetensors"
        if stored := tensorfile.read(path):
            return [_laid_out(stored[str(number)]) for number in range(len(stored))]
        image = Image.fromarray(probe_image(max(key.side_px for key in plan([basis]))))
        blocks = assemble(self._backbone.tokens(image, plan([basis]))[0], basis)
        if basis.pixels:
            blocks.append(torch.from_numpy(pixel_channels(image)))
        blocks = [_laid_out(block) for block in blocks]
        tensorfile.write(path, {str(number): block for number, block in enumerate(blocks)})
        return blocks

    def _pixels(self, file: ImageFile) -> Tensor:
        if self._store is not None and self._is_stored(file, {}, channels=True):
            return self._store.channels(file.image_digest)
        decoding = self._backbone.spec.preprocessing.decoding
        method = f"{METHOD}-{decoding}" if decoding else METHOD
        path = self._folder / method / f"{file.image_digest}.safetensors"
        stored = tensorfile.read(path)
        if stored is None:
            channels = scene(self._photograph(file), Needs(plan={}, channels=True)).channels
            assert channels is not None, "they were asked for"
            stored = {"channels": torch.from_numpy(channels).half()}
            tensorfile.write(path, stored)
        return stored["channels"].float()

    def _photograph(self, file: ImageFile) -> Photograph:
        return Photograph.opened(file.image, decoding=self._backbone.spec.preprocessing.decoding)

    def _lacking(self, file: ImageFile, basis: Basis) -> "_Lacking":
        """Prepare an image for the passes that the cache does not have whole; in any thread."""
        passes: dict[PassKey, tuple[int, ...]] = {}
        for key, layers in plan([basis]).items():
            kept = self._kept(file, key)
            if not (set(layers) <= kept or self._is_stored(file, {key: layers})):
                passes[key] = tuple(sorted({*layers, *kept}))
        prepared = prepare(self._photograph(file), Needs(plan=passes), self._backbone.spec)
        return _Lacking(file, passes, prepared)

    def _computed(self, one: "_Lacking") -> "_Computed":
        """Run the backbone over an image."""
        return one, self._backbone.run([one.prepared], Needs(plan=one.passes))[0][0]

    def _written(self, one: "_Lacking", tokens: TokenSet) -> dict[PassKey, dict[int, Tensor]]:
        """Write an image's tokens, and give them."""
        result: dict[PassKey, dict[int, Tensor]] = {}
        for key, layers in one.passes.items():
            result[key] = {layer: tokens[key, layer].half() for layer in layers}
            for layer, found in result[key].items():
                if not bool(found.isfinite().all()):
                    raise IntegrityError(
                        f"layer {layer} of {self._backbone.spec.id} gives tokens of "
                        f"{one.file.image} that are no numbers (NaN, or beyond 65504)",
                        hint="verify the backbone with `retq backbones verify`",
                    )
            named = {str(layer): found for layer, found in result[key].items()}
            tensorfile.write(self._path(one.file, key), named)
        return result

    def _is_stored(self, file: ImageFile, passes: Plan, *, channels: bool = False) -> bool:
        """Whether the store has an image, and holds of it what is needed."""
        if self._store is None or file.image_digest not in self._store:
            return False
        return not self._store.missing(Needs(plan=passes, channels=channels))

    def _kept(self, file: ImageFile, key: PassKey) -> set[int]:
        """Give the layers that the cache has, undamaged."""
        return {int(name) for name in tensorfile.read(self._path(file, key)) or {}}

    def _read(
        self, file: ImageFile, key: PassKey, layers: Iterable[int]
    ) -> Mapping[int, Tensor] | None:
        try:
            with safe_open(self._path(file, key), framework="pt") as stored:
                return {layer: stored.get_tensor(str(layer)) for layer in layers}
        except (OSError, SafetensorError):
            return None

    def _path(self, file: ImageFile, key: PassKey) -> Path:
        made_by = json_digest([*self._key, asdict(key)])
        return self._folder / made_by[:32] / f"{file.image_digest}.safetensors"


@dataclass(frozen=True)
class _Lacking:
    """An image, prepared for the passes that are to be run of it."""

    file: ImageFile
    passes: Plan
    prepared: Prepared


_Computed: TypeAlias = tuple[_Lacking, TokenSet]


class CachedTokens:
    """The tokens of some images by number, see `retq_hub.fit.TokenSource`.

    Where images are read in several variants, all images of the first come first. Few are held in
    memory, many are read from the cache each time, so that memory stays bounded.

    Args:
        cache: A cache that `TokenCache.fill` has filled.
        files: The images.
        variants: What is read of each image; bases of the same shape.
        in_memory_bytes: Up to this size they are held as float32, up to twice of it as float16.

    Attributes:
        widths: Width of each block.
        grids: Grid side of each block.
    """

    def __init__(
        self,
        cache: TokenCache,
        files: Sequence[ImageFile],
        variants: Sequence[Basis],
        *,
        in_memory_bytes: int = _IN_MEMORY_BYTES,
    ) -> None:
        self._cache = cache
        self._items = [(file, basis) for basis in variants for file in files]
        first = cache.blocks(*self._items[0])
        self.widths = tuple(block.shape[1] for block in first)
        self.grids = tuple(round(len(block) ** 0.5) for block in first)
        size = 4 * len(self._items) * sum(block.numel() for block in first)
        self._dtype = torch.float32 if size <= in_memory_bytes else torch.float16
        self._held: dict[int, list[Tensor]] | None = {} if size <= 4 * in_memory_bytes else None

    def __len__(self) -> int:
        """Count the images."""
        return len(self._items)

    def __getitem__(self, image: int) -> list[Tensor]:
        """Give the (N, D) tokens of each block of one image."""
        if self._held is None:
            return self._cache.blocks(*self._items[image])
        if image not in self._held:
            blocks = self._cache.blocks(*self._items[image])
            self._held[image] = [block.to(self._dtype) for block in blocks]
        return self._held[image]


def _check_store(store: Store, key: tuple[str, str]) -> None:
    contents = store.contents
    theirs = (contents.weights_digest, contents.backbone.preprocessing_digest)
    if theirs != key:
        raise BackboneMismatch(
            f"{store.folder} is of weights {theirs[0]} and preprocessing {theirs[1]}, the backbone "
            f"has {key[0]} and {key[1]}",
            hint="make a store with this backbone",
        )
    if contents.engine != _ENGINE:
        raise UsageError(
            f"{store.folder} was made by {contents.engine}: what is learned or scored is of "
            f"{_ENGINE}",
            hint="make a store without --engine and --precision",
        )


def _laid_out(block: Tensor) -> Tensor:
    """Copy to memory of one layout: the last bits of a product depend on it."""
    return block.clone(memory_format=torch.contiguous_format)
