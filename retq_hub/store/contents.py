"""What a store holds of each image, and what made it: the file ``store.json``.

A store holds the same of all its images. Tensors of an image are called by what they are:
``embedding``, ``channels``, ``guide 392``, and tokens as in `retq_hub.notation`, ``2x2@392:7``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from retq_hub import schema
from retq_hub.channels import N_CHANNELS, SIDE
from retq_hub.errors import Finding, ManifestError, NotFoundError
from retq_hub.manifest import Fingerprint, from_json
from retq_hub.spec import BackboneSpec
from retq_hub.storage import write_json
from retq_hub.tiling import PassKey

__all__ = [
    "CHANNELS",
    "CONTENTS",
    "EMBEDDING",
    "Contents",
    "Held",
    "Row",
    "guide_name",
    "read_contents",
    "tokens_name",
    "write_contents",
]

CONTENTS = "store.json"
"""The file of a store's folder that says what it holds."""

EMBEDDING = "embedding"
CHANNELS = "channels"

_BYTES = {"float16": 2, "float32": 4, "uint8": 1}


@dataclass(frozen=True, kw_only=True)
class Held:
    """The layers that are held of a pass."""

    key: PassKey
    layers: tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """What a tensor of one image looks like.

    Attributes:
        dtype: ``float16``, ``float32`` or ``uint8``.
        shape: Of one image.
    """

    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Its bytes."""
        numbers = 1
        for side in self.shape:
            numbers *= side
        return numbers * _BYTES[self.dtype]


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a store holds of each image.

    Attributes:
        backbone: What made it.
        weights_digest: The backbone's weights.
        fingerprint: What these weights compute.
        engine: What they ran on, and in which precision: ``torch float32``.
        passes: Tokens, (N, D) float16 for each layer; none: embeddings alone.
        channels: Whether pixel channels are held, float16.
        guides: Sides of the green channels that are held, 8 bits.
    """

    backbone: BackboneSpec
    weights_digest: str
    fingerprint: Fingerprint
    engine: str
    passes: tuple[Held, ...] = ()
    channels: bool = False
    guides: tuple[int, ...] = ()
    spec: str = "retq-store/1"

    @property
    def tensors(self) -> dict[str, Row]:
        """The tensors of an image by name."""
        tokens = self.backbone.tokens
        found = {EMBEDDING: Row("float32", (tokens.width,))}
        for held in self.passes:
            side = held.key.grid(tokens.patch_px)
            for layer in held.layers:
                row = Row("float16", (side * side, tokens.width))
                found[tokens_name(held.key, layer)] = row
        if self.channels:
            found[CHANNELS] = Row("float16", (SIDE * SIDE, N_CHANNELS))
        for side in self.guides:
            found[guide_name(side)] = Row("uint8", (side, side))
        return found

    @property
    def plan(self) -> dict[PassKey, tuple[int, ...]]:
        """The layers that are held of each pass."""
        return {held.key: held.layers for held in self.passes}

    @property
    def bytes_per_image(self) -> int:
        """What one image takes, its line of the index left out."""
        return sum(row.size for row in self.tensors.values())

    @property
    def text(self) -> str:
        """What is held, in words."""
        layers = [
            tokens_name(held.key, layer).removeprefix("tokens ")
            for held in self.passes
            for layer in held.layers
        ]
        parts = ["embeddings"]
        parts += [f"tokens {', '.join(layers)}"] if layers else []
        parts += ["pixel channels"] if self.channels else []
        parts += [f"guides at {', '.join(map(str, self.guides))} pixels"] if self.guides else []
        return " and ".join(parts)

    def missing(
        self, passes: Mapping[PassKey, tuple[int, ...]], *, channels: bool, guides: tuple[int, ...]
    ) -> list[str]:
        """Name the tensors that are not held of what is needed.

        Args:
            passes: Layers by pass.
            channels: Whether pixel channels are needed.
            guides: Sides of the green channels that are needed.
        """
        wanted = [tokens_name(key, layer) for key, layers in passes.items() for layer in layers]
        wanted += [CHANNELS] if channels else []
        wanted += [guide_name(side) for side in guides]
        held = self.tensors
        return [name for name in wanted if name not in held]


def tokens_name(key: PassKey, layer: int) -> str:
    """Name the tokens of one layer of a pass."""
    overlap = f"/{key.overlap_px}" if key.overlap_px else ""
    view = "" if key.view == "plain" else f" {key.view}"
    norm = "" if key.norm else " without norm"
    return f"tokens {key.tiles}x{key.tiles}@{key.size_px}{overlap}:{layer}{view}{norm}"


def guide_name(size_px: int) -> str:
    """Name the green channel on a square of some size."""
    return f"guide {size_px}"


def write_contents(folder: Path, contents: Contents) -> None:
    """Write what a store holds.

    Raises:
        StorageError: The folder cannot be written.
    """
    write_json(folder / CONTENTS, msgspec.to_builtins(contents))


def read_contents(folder: Path) -> Contents:
    """Read what a store holds.

    Raises:
        NotFoundError: The folder is no store.
        ManifestError: Its description is not what a store's is.
    """
    path = folder / CONTENTS
    if not path.is_file():
        raise NotFoundError(f"{folder} is no store: it has no {CONTENTS}", hint="see `retq embed`")
    document = schema.read_json(path)
    try:
        found = from_json(document, Contents)
    except msgspec.ValidationError as error:
        raise ManifestError(str(path), [Finding(where="", what=str(error))]) from error
    if found.spec != Contents.spec:
        what = f"{found.spec!r}, expected {Contents.spec!r}"
        raise ManifestError(str(path), [Finding(where="spec", what=what)])
    return found
