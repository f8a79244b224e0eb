"""Is this the same photograph in another file: scaled, compressed anew, renamed?

A photograph's code is 256 bits: which of 16 x 16 places in its middle are brighter than others,
large shapes taken away. Scaling and compression change few of them, another photograph of the same
eye changes many. A photograph that was cropped, turned or mirrored is not recognised.

Measured on IDRiD, 81 photographs against 516 copies at a fifth of their size: the 62 that are the
same differ in at most 42 bits, all others in 58 at least.
"""

import json
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from retq_hub.embedded import REGISTRY
from retq_hub.features import ImageFile
from retq_hub.images import ImageLike, decode, green
from retq_hub.manifest import QueryManifest
from retq_hub.progress import Progress
from retq_hub.storage import cache_dir, write_text

__all__ = ["ALIKE_BITS", "alike", "code", "codes", "is_told", "pairs", "photographs", "seen"]

ALIKE_BITS = 50
"""Photographs whose codes differ in no more bits are taken for the same."""

_SIDE, _BLUR = 64, 9
_MIDDLE = slice(8, 56), slice(16, 48)
_PLACES = 16
_TABLE = "photographs.json"


def code(image: ImageLike) -> str:
    """Give a photograph's code, 64 hexadecimal digits.

    Raises:
        ImageError: The image cannot be used.
    """
    small = green(decode(image), _SIDE)
    detail = (np.asarray(small) - uniform_filter(np.asarray(small), _BLUR))[_MIDDLE]
    rows, columns = detail.shape
    shape = (_PLACES, rows // _PLACES, _PLACES, columns // _PLACES)
    places = detail.reshape(shape).mean(axis=(1, 3))
    return np.packbits(places > np.median(places)).tobytes().hex()


def codes(files: Sequence[ImageFile], *, progress: Progress) -> list[str]:
    """Give the codes of images on disk, through a cache by the digest of their files.

    Raises:
        ImageError: An image cannot be used.
        StorageError: The cache cannot be written.
    """
    steps = progress.steps(files, what="comparing photographs", total=len(files))
    return [_cached(file) for file in steps]


def photographs(files: Sequence[ImageFile], *, progress: Progress) -> tuple[str, ...]:
    """Give the codes of images as ``data[].photographs`` of a manifest: sorted, each once.

    Raises:
        ImageError: An image cannot be used.
        StorageError: The cache cannot be written.
    """
    return tuple(sorted(set(codes(files, progress=progress))))


def alike(some: Sequence[str], others: Sequence[str]) -> list[list[int]]:
    """Say for each of some codes which of the others are of the same photograph, by number."""
    if not some or not others:
        return [[] for _ in some]
    table = _bits(others)
    return [
        np.flatnonzero((table != one).sum(axis=1) <= ALIKE_BITS).tolist() for one in _bits(some)
    ]


def pairs(found: Sequence[str]) -> list[tuple[int, int]]:
    """Give the numbers of all two codes that are of the same photograph, the lower one first."""
    return [
        (number, other)
        for number, others in enumerate(alike(found, found))
        for other in others
        if number < other
    ]


def seen(manifest: QueryManifest, files: Sequence[ImageFile], *, progress: Progress) -> list[int]:
    """Give the numbers of the images that seem to be photographs which a query was trained on.

    The same file counts as well. What is known of the photographs stands in the manifest
    (``data[].photographs``), or in a table of those that shipped queries were trained on.

    Raises:
        ImageError: An image cannot be used.
        StorageError: The cache cannot be written.
    """
    known = _known(manifest)
    if not known:
        return []
    found = alike(codes(files, progress=progress), known)
    return [number for number, others in enumerate(found) if others]


def is_told(manifest: QueryManifest) -> bool:
    """Whether it is known which photographs a query was trained on, whatever their files."""
    table = _published()
    return all(
        data.photographs is not None or set(data.images or ("unknown",)) <= table.keys()
        for data in manifest.data
    )


def _known(manifest: QueryManifest) -> list[str]:
    table = _published()
    told = {one for data in manifest.data for one in data.photographs or ()}
    told |= {table[one] for data in manifest.data for one in data.images or () if one in table}
    return sorted(told)


def _cached(file: ImageFile) -> str:
    path = cache_dir() / "photographs" / f"{file.image_digest}.txt"
    try:
        kept = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        kept = ""
    if not _is_code(kept):
        kept = code(file.image)
        write_text(path, kept)
    return kept


def _is_code(text: str) -> bool:
    return len(text) == _PLACES**2 // 4 and set(text) <= set("0123456789abcdef")


def _bits(found: Iterable[str]) -> NDArray[np.uint8]:
    """(n, 256) of 0 and 1."""
    rows = [np.frombuffer(bytes.fromhex(one), dtype=np.uint8) for one in found]
    return np.unpackbits(np.stack(rows), axis=1)


@cache
def _published() -> dict[str, str]:
    """The codes of photographs by the first digits of their files' digests."""
    path = Path(REGISTRY) / _TABLE
    found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return found
