"""What decoders may do with a file: formats, limits, and one kind of error for all of theirs.

Images come out as the file holds them, in any mode; `retq_hub.images` makes RGB of them.
"""

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from retq_hub.errors import RetqError

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "MAX_SIDE_PX",
    "check_size",
    "decoding",
    "is_stack",
    "load",
    "opened",
    "unread",
]

FORMATS = ("BMP", "JPEG", "PNG", "TIFF")

MAX_SIDE_PX = 20_000
MAX_PIXELS = 170_000_000

_DECODER_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    OverflowError,
    LookupError,
    TypeError,
    struct.error,
)


def load(path: Path, kind: type[RetqError]) -> Image.Image:
    """Open and decode an image file within the limits.

    Args:
        path: The file.
        kind: What is raised where it cannot be used.

    Returns:
        The image as the file holds it, in any mode.
    """
    with decoding(path, kind), path.open("rb") as stream:
        return opened(stream, str(path), kind)
    raise AssertionError("unreachable")


def opened(
    stream: BinaryIO,
    name: str,
    kind: type[RetqError],
    max_pixels: int = MAX_PIXELS,
    *,
    scale: int = 1,
) -> Image.Image:
    """Decode a file's content within the limits; see `load`.

    Args:
        stream: The file.
        name: What it is called in messages.
        kind: What is raised where it cannot be used.
        max_pixels: A larger one is refused before it is decoded.
        scale: 2, 4 or 8: decode a JPEG, of which both sides are a multiple, at a fraction of its
            size.
    """
    image = Image.open(stream, formats=FORMATS)
    check_size(image.size, name, kind, max_pixels)
    if is_stack(image):
        raise kind(
            f"{name} holds {getattr(image, 'n_frames', 1)} frames, one image is expected",
            hint="Pipeline.volume and `retq segment` read volumes; or save the frame you mean",
        )
    if scale > 1:
        image.draft(None, (image.width // scale, image.height // scale))
    image.load()
    image.getexif()
    return image


def check_size(
    size: tuple[int, int], name: str, kind: type[RetqError], max_pixels: int = MAX_PIXELS
) -> None:
    """Refuse what would take too much memory, before it is decoded.

    Args:
        size: Width and height in pixels.
        name: What it is called in the message.
        kind: What is raised.
        max_pixels: The most pixels that are read.
    """
    width, height = size
    if max(size) > MAX_SIDE_PX or width * height > max_pixels:
        raise kind(
            f"{name} is {width} x {height} pixels, at most {MAX_SIDE_PX} a side "
            f"and {max_pixels // 10**6} million in all are read",
            hint="scale it down first",
        )


@contextmanager
def unread(path: Path) -> Iterator[Image.Image]:
    """Open an image file without decoding its pixels, until the block ends."""
    # Given a path, Pillow maps the file, and garbles grey TIFFs that lie on their side.
    with path.open("rb") as stream, Image.open(stream, formats=FORMATS) as image:
        yield image


@contextmanager
def decoding(path: Path, kind: type[RetqError]) -> Iterator[None]:
    """Turn all that decoders raise into one kind of error, and keep their warnings quiet.

    Args:
        path: The file, or what it is called in messages.
        kind: What is raised.
    """
    formats = "PNG, JPEG, TIFF or BMP"
    try:
        if path.is_file() and path.stat().st_size == 0:
            raise kind(f"{path} is empty (0 bytes)", hint="get the file again")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except FileNotFoundError as error:
        raise kind(f"there is no file {path}", hint="check the path") from error
    except IsADirectoryError as error:
        raise kind(f"{path} is a folder, a file is expected", hint="name an image") from error
    except UnidentifiedImageError as error:
        raise kind(f"{path} is no {formats} image", hint="convert it, or get it again") from error
    except Image.DecompressionBombError as error:
        raise kind(
            f"{path} has more than {MAX_PIXELS // 10**6} million pixels", hint="scale it down first"
        ) from error
    except _DECODER_ERRORS as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise kind(
            f"{path} cannot be decoded ({reason})", hint="it may be cut short: get it again"
        ) from error


def is_stack(image: Image.Image) -> bool:
    """Whether a TIFF holds several frames of one size (a volume, not a picture and thumbnails)."""
    if image.format != "TIFF" or not getattr(image, "is_animated", False):
        return False
    first = image.size
    image.seek(1)
    same = image.size == first
    image.seek(0)
    return same
