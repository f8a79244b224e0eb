"""Tokens of many images, computed once: a cache on disk by image, backbone and preprocessing.

Tokens are kept as float16, one safetensors an image and pass; a file that lacks a layer is made
anew with the union, a file that cannot be read is made anew.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from retq_hub.backbone import LazyBackbone, PassKey, assemble, plan
from retq_hub.digest import json_digest
from retq_hub.images import decode
from retq_hub.manifest import Basis
from retq_hub.progress import Progress
from retq_hub.storage import cache_dir, whole_file

__all__ = ["ImageFile", "TokenCache"]


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
        backbone: The backbone; loaded only when an image is not in the cache.
    """

    def __init__(self, *, backbone: LazyBackbone) -> None:
        self._key = (backbone.weights_digest, backbone.spec.preprocessing_digest)
        self._backbone = backbone
        self._folder = cache_dir() / "tokens"

    def missing(self, files: Iterable[ImageFile], basis: Basis) -> list[ImageFile]:
        """Give the images that would need the backbone."""
        needed = plan([basis])
        return [
            file
            for file in files
            if any(self._read(file, key, layers) is None for key, layers in needed.items())
        ]

    def fill(self, files: Iterable[ImageFile], basis: Basis, *, progress: Progress) -> None:
        """Compute what is missing for a basis; one image at a time, so that a kill loses one.

        Raises:
            ImageError: An image cannot be used.
            StorageError: The cache cannot be written.
        """
        todo = self.missing(files, basis)
        for file in progress.steps(todo, what="running the backbone", total=len(todo)):
            self._compute(file, basis)

    def tokens(self, files: Sequence[ImageFile], basis: Basis) -> Tensor:
        """Give the tokens of images that `fill` has seen.

        Returns:
            (n, N, D) float16.
        """
        needed = plan([basis])
        stacked: Tensor | None = None
        for number, file in enumerate(files):
            found: dict[tuple[PassKey, int], Tensor] = {}
            for key, layers in needed.items():
                part = self._read(file, key, layers) or self._compute(file, basis)[key]
                found |= {(key, layer): part[layer] for layer in layers}
            one = assemble(found, basis)
            if stacked is None:
                stacked = torch.empty(len(files), *one.shape, dtype=one.dtype)
            stacked[number] = one
        assert stacked is not None, "there is at least one image"
        return stacked

    def _compute(self, file: ImageFile, basis: Basis) -> dict[PassKey, dict[int, Tensor]]:
        backbone = self._backbone()
        result: dict[PassKey, dict[int, Tensor]] = {}
        image = decode(file.image)
        for key, layers in plan([basis]).items():
            wanted = tuple(sorted({*layers, *self._layers(file, key)}))
            found, _ = backbone.tokens(image, {key: wanted})
            result[key] = {layer: found[key, layer].half() for layer in wanted}
            with whole_file(self._path(file, key)) as temporary:
                blob = save({str(layer): one for layer, one in result[key].items()})
                temporary.write_bytes(blob)
        return result

    def _read(
        self, file: ImageFile, key: PassKey, layers: Iterable[int]
    ) -> Mapping[int, Tensor] | None:
        try:
            with safe_open(self._path(file, key), framework="pt") as stored:
                return {layer: stored.get_tensor(str(layer)) for layer in layers}
        except (OSError, SafetensorError):
            return None

    def _layers(self, file: ImageFile, key: PassKey) -> list[int]:
        try:
            with safe_open(self._path(file, key), framework="pt") as stored:
                return [int(name) for name in stored.keys()]  # noqa: SIM118 - not a mapping
        except (OSError, SafetensorError):
            return []

    def _path(self, file: ImageFile, key: PassKey) -> Path:
        made_by = json_digest([*self._key, key.size_px, key.tiles, key.norm])
        return self._folder / made_by[:32] / f"{file.image_digest}.safetensors"
