"""A photograph that is decoded no larger than what is asked of it.

A JPEG gives itself at a half, a quarter or an eighth of its size for a fraction of the time. Only
who asks for it gets that: pixels differ a little from those of the whole photograph made smaller.
"""

import io
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from PIL import ExifTags, Image

from retq_hub.decoding import FORMATS, decoding
from retq_hub.errors import ImageError
from retq_hub.images import ImageLike, decode, decode_bytes, read

__all__ = ["SCALED", "Photograph"]

SCALED = "scaled"
"""What a backbone's preprocessing says of decoding where JPEGs are decoded as small as will do."""

_SCALES = (8, 4, 2)
_ON_ITS_SIDE = 5
"""From this value of the EXIF orientation on, width and height change places."""


class Photograph:
    """An image, upright and RGB, at the sizes in which it is had.

    Args:
        size: Its width and height in pixels.
        decoded: Gives it at a fraction of its size, by the denominator.
        scales: The denominators, the largest first; 1 is always there.

    Attributes:
        size: Its width and height in pixels.
    """

    def __init__(
        self,
        *,
        size: tuple[int, int],
        decoded: Callable[[int], Image.Image],
        scales: Sequence[int] = (),
    ) -> None:
        self.size = size
        self._decoded = cache(decoded)
        self._scales = (*scales, 1)

    @classmethod
    def of(cls, image: Image.Image) -> "Photograph":
        """Take an RGB image as it is."""
        return cls(size=image.size, decoded=lambda _: image)

    @classmethod
    def opened(cls, source: ImageLike, *, decoding: str | None = None) -> "Photograph":
        """Take a path, a PIL image or an array.

        Args:
            source: As `retq_hub.images.decode` takes it.
            decoding: ``scaled``, or None: in full.

        Raises:
            ImageError: The image cannot be used.
        """
        if isinstance(source, str | Path) and decoding == SCALED:
            return cls.from_bytes(read(Path(source)), str(source), decoding=decoding)
        return cls.of(decode(source))

    @classmethod
    def from_bytes(cls, content: bytes, name: str, *, decoding: str | None = None) -> "Photograph":
        """Take the content of an image's file.

        Only scales that divide both sides are used, so that each pixel stands for as much.

        Args:
            content: All bytes.
            name: What it is called in messages.
            decoding: ``scaled``, or None: in full.

        Raises:
            ImageError: The image cannot be used.
        """
        size = _jpeg_size(content, name) if decoding == SCALED else None
        if size is None:
            return cls.of(decode_bytes(content, name))
        scales = [one for one in _SCALES if not size[0] % one and not size[1] % one]
        return cls(
            size=size,
            decoded=lambda scale: decode_bytes(content, name, scale=scale),
            scales=scales,
        )

    def at_least(self, width: float, height: float) -> Image.Image:
        """Give it at a size not below this, as far as it is that large; else all of it.

        Raises:
            ImageError: It cannot be decoded.
        """
        for scale in self._scales:
            if self.size[0] >= scale * width and self.size[1] >= scale * height:
                return self._decoded(scale)
        return self._decoded(1)


def _jpeg_size(content: bytes, name: str) -> tuple[int, int] | None:
    """Give the size of an upright JPEG without decoding it; None for all else."""
    with decoding(Path(name), ImageError):
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        if image.format != "JPEG":
            return None
        on_its_side = image.getexif().get(ExifTags.Base.Orientation, 1) >= _ON_ITS_SIDE
        return image.size[::-1] if on_its_side else image.size
    raise AssertionError("unreachable")
