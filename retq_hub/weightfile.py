"""Converted weights in the cache: which there are, and what their file holds. No torch here."""

import json
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from retq_hub.digest import TensorBytes, weights_digest
from retq_hub.errors import CheckpointError, RetqError
from retq_hub.registry import weights_folder
from retq_hub.schema import read_json
from retq_hub.spec import BackboneSpec

__all__ = ["CachedWeights", "cached", "measured"]


@dataclass(frozen=True, kw_only=True)
class CachedWeights:
    """Converted weights in the cache.

    Attributes:
        path: The safetensors file, canonical (timm) names.
        digest: Its weights digest, as it was when they were converted.
        origin: The source it was made from, for people.
        text_digest: The weights digest of the text encoder that lies beside it; None: there is
            none, because the model has none or the checkpoint held the image encoder alone.
    """

    path: Path
    digest: str
    origin: str
    text_digest: str | None = None

    @property
    def text_path(self) -> Path:
        """The safetensors file of the text encoder."""
        return self.path.with_name("text.safetensors")


def cached(spec: BackboneSpec) -> CachedWeights | None:
    """Give the cached weights of a backbone, or None if they have to be fetched."""
    folder = weights_folder(spec)
    try:
        note = read_json(folder / "weights.json")
        found = CachedWeights(
            path=folder / "weights.safetensors",
            digest=note["digest"],
            origin=note["origin"],
            text_digest=note.get("text_digest"),
        )
    except (RetqError, AttributeError, KeyError, TypeError):
        return None
    known = spec.weights_digest
    return found if found.path.is_file() and known in (None, found.digest) else None


def measured(path: Path) -> str:
    """Give the weights digest of a safetensors file, from its bytes as they are now.

    Raises:
        CheckpointError: It is no safetensors file any more.
    """
    from safetensors import SafetensorError, safe_open

    try:
        # Reads the header and refuses ranges that overlap or lead out of the file.
        with safe_open(path, framework="np"):
            pass
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ) as data:
            return weights_digest(_tensors(data))
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error})",
            hint="`retq backbones fetch --again` makes it anew",
        ) from error


def _tensors(data: mmap.mmap) -> Iterator[TensorBytes]:
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    for name, one in header.items():
        begin, end = (start + offset for offset in one["data_offsets"])
        yield TensorBytes(
            name=name, dtype=one["dtype"], shape=tuple(one["shape"]), data=data[begin:end]
        )
