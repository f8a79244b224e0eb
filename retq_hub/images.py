"""Images and masks: decode them safely, turn them upright, bring masks to a grid.

Images leave here as upright 8-bit RGB; masks as booleans. Nothing here knows a backbone.
"""

import io
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from retq_hub.decoding import MAX_PIXELS, MAX_SIDE_PX, decoding, load, opened
from retq_hub.errors import ImageError, MaskError
from retq_hub.spec import Preprocessing

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "MAX_SIDE_PX",
    "SUFFIXES",
    "ImageLike",
    "area_mask",
    "decode",
    "decode_bytes",
    "green",
    "image_files",
    "normalise",
    "read",
    "read_mask",
]

ImageLike: TypeAlias = str | Path | Image.Image | NDArray[np.uint8]

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff")
"""File endings that are taken for images when a folder is searched."""

_TWELVE_BITS = 4096

MAX_BYTES = 2**31
"""More than any image within `MAX_PIXELS` takes, whatever its depth."""

_MAX_SHARE = 0.95
"""A mask that marks more than this is taken for an inverted one."""


def decode(source: ImageLike) -> Image.Image:
    """Give an image as upright 8-bit RGB.

    Grey becomes three equal channels, 16 bits become 8, transparency is laid over black, the EXIF
    orientation is applied.

    Args:
        source: A path, a PIL image, or an (H, W, 3) or (H, W) uint8 array, RGB, 0-255.

    Returns:
        A PIL image of mode RGB.

    Raises:
        ImageError: It is missing, no image, truncated, empty or too large.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        with decoding(Path("the image"), ImageError):
            source.load()
        return _to_rgb(source, "the image")
    return _to_rgb(load(Path(source), ImageError), str(source))


def read(path: Path) -> bytes:
    """Give all bytes of an image's file.

    Raises:
        ImageError: It is missing, empty, a folder, cannot be read, or larger than any image may be.
    """
    with decoding(path, ImageError):
        # A device or a pipe may give bytes without end, or none and keep whoever reads waiting.
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise ImageError(f"{path} is no file", hint="name an image")
        if path.is_file() and path.stat().st_size > MAX_BYTES:
            raise ImageError(
                f"{path} has {path.stat().st_size} bytes, at most {MAX_BYTES} are read",
                hint="scale it down first",
            )
        return path.read_bytes()
    raise AssertionError("unreachable")


def decode_bytes(
    content: bytes, name: str, *, max_pixels: int = MAX_PIXELS, scale: int = 1
) -> Image.Image:
    """Give an image file's content as upright 8-bit RGB, as `decode` does.

    Args:
        content: All bytes of the file.
        name: What it is called in messages.
        max_pixels: A larger one is refused before it is decoded.
        scale: 2, 4 or 8: decode a JPEG, of which both sides are a multiple, at a fraction of its
            size.

    Returns:
        A PIL image of mode RGB.

    Raises:
        ImageError: It is no image, truncated, empty or too large.
    """
    if not content:
        raise ImageError(f"{name} is empty (0 bytes)", hint="get the file again")
    with decoding(Path(name), ImageError):
        image = opened(io.BytesIO(content), name, ImageError, max_pixels, scale=scale)
    return _to_rgb(image, name)


def green(image: Image.Image, size_px: int) -> NDArray[np.float32]:
    """Give an RGB image's green channel on a square: where retinal structures stand out most.

    Returns:
        (S, S) float32, 0-1, of 8-bit precision, S = ``size_px``.
    """
    channel = image.getchannel("G").resize((size_px, size_px), Image.Resampling.BICUBIC)
    return np.asarray(channel, dtype=np.float32) / np.float32(255)


def normalise(
    pixels: NDArray[np.uint8 | np.float32], preprocessing: Preprocessing
) -> NDArray[np.float32]:
    """Scale pixels as a backbone wants them.

    Args:
        pixels: (S, S, 3) uint8 or float32, RGB, 0-255.
        preprocessing: Mean and standard deviation, in units of 0-1.

    Returns:
        (3, S, S) float32.
    """
    mean = np.asarray(preprocessing.mean, dtype=np.float32)
    std = np.asarray(preprocessing.std, dtype=np.float32)
    scaled = (pixels.astype(np.float32) / 255 - mean) / std
    return np.ascontiguousarray(scaled.transpose(2, 0, 1))


def read_mask(path: Path, *, size: tuple[int, int] | None = None) -> NDArray[np.bool_]:
    """Read a mask file: anything that is not background is marked.

    Understood are 1-bit and palette images with two values, grey or colour images whose values lie
    near 0 and near the maximum (soft edges are cut at half), with or without transparency.

    Args:
        path: The mask's file.
        size: Width and height that the mask must have, in pixels; those of its image.

    Returns:
        (H, W) bool.

    Raises:
        MaskError: It is no image, of another size, or its values are no mask.
    """
    image = load(path, MaskError)
    if size is not None and image.size != size:
        raise MaskError(
            f"mask {path} is {image.width} x {image.height} pixels, "
            f"its image {size[0]} x {size[1]}",
            hint="give the mask that was drawn on this image, at its size",
        )
    values = _mask_values(image)
    top = int(values.max())
    if top == 0:
        return np.zeros(values.shape, dtype=np.bool_)
    counts = np.bincount(values.ravel(), minlength=top + 1)
    present = np.flatnonzero(counts)
    between = counts[top // 8 + 1 : top - top // 8].sum()
    label_map = (
        len(present) > 2 if top <= 16 else len(present) == 3 and between > values.size / 1000
    )
    if label_map or between > 0.05 * values.size or between > 0.5 * counts[1:].sum():
        raise MaskError(
            f"mask {path} has {len(present)} grey values ({present[0]} ... {top}), "
            f"{between / values.size:.1%} of the pixels in between: that is no mask of one target",
            hint="give a mask with two values, background and target",
        )
    marked = np.asarray(values > top / 2)
    if marked.mean() > _MAX_SHARE:
        raise MaskError(
            f"mask {path} marks {marked.mean():.0%} of the image: it may be inverted",
            hint="the target must be bright and the background dark",
        )
    return marked


def area_mask(mask: NDArray[np.bool_], size_px: int) -> NDArray[np.bool_]:
    """Bring a mask to a square by area averaging; a pixel is marked from half of its area on.

    Args:
        mask: (H, W) bool.
        size_px: Side S of the square.

    Returns:
        (S, S) bool.
    """
    share = Image.fromarray(mask.astype(np.float32)).resize(
        (size_px, size_px), Image.Resampling.BOX
    )
    return np.asarray(share) >= 0.5


def image_files(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> list[Path]:
    """List the image files below a folder, by their names; hidden ones are left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def _from_array(array: NDArray[Any]) -> Image.Image:
    shape_ok = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    if array.dtype != np.uint8 or not shape_ok or array.size == 0:
        raise ImageError(
            f"an array of {array.dtype} {array.shape} is no image",
            hint="give (H, W, 3) or (H, W) uint8, RGB, 0-255",
        )
    return Image.fromarray(array).convert("RGB")


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if 0 in image.size:
        raise ImageError(
            f"{name} is {image.width} x {image.height} pixels: nothing to see",
            hint="give another image",
        )
    with decoding(Path(name), ImageError):
        upright = ImageOps.exif_transpose(image)
    if upright.mode == "RGB":
        return upright
    if upright.mode.startswith("I") or upright.mode == "F":
        return _from_deep_grey(upright, name)
    if upright.has_transparency_data:
        layer = upright.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "black"), layer).convert("RGB")
    return upright.convert("RGB")


def _from_deep_grey(image: Image.Image, name: str) -> Image.Image:
    """Bring 16-bit integers (0-65535) or floats (0-1) to 8 bits."""
    values = np.asarray(image, dtype=np.float64)
    scale = 255.0 if image.mode == "F" else 255 / 65535
    if not np.isfinite(values).all() or values.min() < 0 or values.max() * scale > 255:
        wanted = "0-1 for floats" if image.mode == "F" else "0-65535 for integers"
        raise ImageError(
            f"{name} has values from {values.min():g} to {values.max():g}, expected {wanted}",
            hint="rescale it first",
        )
    if image.mode != "F" and 0 < values.max() < _TWELVE_BITS:
        raise ImageError(
            f"{name} has 16 bits, but its values end at {values.max():g}: 12-bit data?",
            hint="rescale it to 0-65535 first",
        )
    grey = np.rint(values * scale).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def _mask_values(image: Image.Image) -> NDArray[np.uint16]:
    """Give one number a pixel, 0 for background."""
    if image.mode == "P":
        indices = np.asarray(image).astype(np.uint16)
        if indices.max() <= 1 or 2 < len(np.unique(indices)) <= 16:
            return indices
        image = image.convert("RGB")
    if image.mode == "1" or image.mode.startswith("I"):
        return np.asarray(image).astype(np.uint16)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        if layer.convert("RGB").getextrema() == ((0, 0), (0, 0), (0, 0)):
            return np.asarray(layer.getchannel("A")).astype(np.uint16)
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "black"), layer)
    colours: NDArray[np.uint8] = np.asarray(image.convert("RGB"))
    brightest: NDArray[np.uint8] = colours.max(axis=2)
    return brightest.astype(np.uint16)
