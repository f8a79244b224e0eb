"""Multi-frame TIFFs, written a slice at a time, whole or not at all."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from PIL.TiffImagePlugin import AppendingTiffWriter

from retq_hub.storage import whole_file

__all__ = ["stack_file"]


@contextmanager
def stack_file(path: Path) -> Iterator[Callable[[Image.Image], None]]:
    """Yield a function that adds a slice; the file is at its place when the block succeeds.

    Args:
        path: Where the TIFF shall be in the end; its folder is made.

    Raises:
        StorageError: The place cannot be written.
    """
    with whole_file(path) as temporary, AppendingTiffWriter(temporary, new=True) as writer:

        def add(image: Image.Image) -> None:
            image.save(writer, "TIFF", compression="tiff_deflate")
            writer.newFrame()

        yield add
