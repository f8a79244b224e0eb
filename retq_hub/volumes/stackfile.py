"""Files of a volume's maps, written a slice at a time, whole or not at all."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import AppendingTiffWriter

from retq_hub.storage import whole_file

__all__ = ["Writer", "mask_file", "probability_file"]

Writer: TypeAlias = Callable[[NDArray[np.bool_], NDArray[np.float32]], None]
"""Writes the next slice: its mask and its probability, (H, W) each; takes the one that it needs."""


@contextmanager
def mask_file(path: Path) -> Iterator[Writer]:
    """Write masks into a multi-frame TIFF of 8 bits, 0 and 255.

    Args:
        path: Where it shall be when the block succeeds; its folder is made.

    Raises:
        StorageError: The place cannot be written.
    """
    with _stack(path) as add:
        yield lambda mask, _: add(Image.fromarray(mask.astype(np.uint8) * 255))


def probability_file(path: Path, shape: tuple[int, int, int]) -> AbstractContextManager[Writer]:
    """Write probabilities: into ``.npy`` as float32, into a TIFF as 16 bits, 65535 being 1.

    Args:
        path: Where it shall be when the block succeeds; its folder is made.
        shape: Slices, height and width.

    Raises:
        StorageError: The place cannot be written.
    """
    return _array(path, shape) if path.suffix == ".npy" else _deep(path)


@contextmanager
def _deep(path: Path) -> Iterator[Writer]:
    with _stack(path) as add:
        yield lambda _, probability: add(
            Image.fromarray(np.rint(probability * 65535).astype(np.uint16))
        )


@contextmanager
def _array(path: Path, shape: tuple[int, int, int]) -> Iterator[Writer]:
    with whole_file(path) as temporary:
        whole = open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
        indices = count()

        def write(_: NDArray[np.bool_], probability: NDArray[np.float32]) -> None:
            whole[next(indices)] = probability

        yield write
        whole.flush()


@contextmanager
def _stack(path: Path) -> Iterator[Callable[[Image.Image], None]]:
    with whole_file(path) as temporary, AppendingTiffWriter(temporary, new=True) as writer:

        def add(image: Image.Image) -> None:
            image.save(writer, "TIFF", compression="tiff_deflate")
            writer.newFrame()

        yield add
