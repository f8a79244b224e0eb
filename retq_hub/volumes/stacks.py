"""Volumes that Pillow reads: multi-frame TIFFs, and folders of images in natural order."""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from PIL import ExifTags, Image, ImageOps

from retq_hub.decoding import check_size, decoding, load, unread
from retq_hub.errors import ImageError
from retq_hub.images import SUFFIXES, decode
from retq_hub.volumes.depth import Scale, is_deep, scale_of
from retq_hub.volumes.volume import MAX_SLICES, Look, Volume, check_looks

__all__ = ["open_folder", "open_tiff", "slice_files"]

_GREY = ("1", "L", "LA", "La", "F")
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0
_TURNED = (5, 6, 7, 8)

_Decode = Callable[[Iterable[int]], Iterator[Image.Image]]


def open_tiff(path: Path) -> Volume:
    """Open a multi-frame TIFF; a file of one frame is a volume of one slice.

    Deep grey is read through once, for its scale; else slices are decoded when they are asked for.

    Raises:
        ImageError: It is no TIFF, cut short, too large, or its frames differ in size or colour.
    """
    with decoding(path, ImageError), unread(path) as image:
        looks, deep = _frames_of(image, path)
    return _volume(path, looks, [f"{n}" for n in range(len(looks))], deep, partial(_frames, path))


def open_folder(path: Path) -> Volume:
    """Open a folder of images, one a slice, in the natural order of their names: 2 before 10.

    Raises:
        ImageError: There are none; one cannot be read; or they differ in size or colour.
    """
    files = slice_files(path)
    looks, deep = [], False
    for file in islice(files, MAX_SLICES + 1):
        with decoding(file, ImageError), unread(file) as image:
            looks.append(_look(image))
            deep = deep or is_deep(image)
    names = [file.name for file in files][: len(looks)]
    return _volume(path, looks, names, deep, partial(_files, files))


def slice_files(folder: Path) -> list[Path]:
    """List the images of a folder, not of those inside it, in the natural order of their names.

    Raises:
        ImageError: There are none.
    """
    with decoding(folder, ImageError):
        found = [
            path
            for path in folder.iterdir()
            if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
        ]
    if not found:
        raise ImageError(
            f"{folder} has no slices: images that end in {', '.join(SUFFIXES)}",
            hint="name the folder that they lie in",
        )
    return sorted(found, key=_natural)


def _volume(path: Path, looks: list[Look], names: list[str], deep: bool, raw: _Decode) -> Volume:
    look = check_looks(path, looks, names)
    scale = scale_of(raw(range(len(looks))), str(path)) if deep else None
    return Volume(
        path=path,
        size=look.size,
        n_slices=len(looks),
        decode=partial(_upright, raw, scale),
        notes=(scale.note,) if scale and scale.note else (),
    )


def _frames_of(image: Image.Image, path: Path) -> tuple[list[Look], bool]:
    """Read the headers of a TIFF's frames, no more than a volume may have; is any of them deep?"""
    looks, deep = [], False
    for index in range(MAX_SLICES + 1):
        try:
            image.seek(index)
        except EOFError:
            break
        looks.append(_look(image))
        deep = deep or is_deep(image)
    if 0 in image.size:
        raise ImageError(f"{path}, slice {len(looks) - 1} is empty", hint="get the file again")
    return looks, deep


def _look(image: Image.Image) -> Look:
    """Say what an image will look like upright; Pillow turns the size of TIFFs itself."""
    turned = image.format != "TIFF" and (image.getexif().get(ExifTags.Base.Orientation) in _TURNED)
    size = image.size[::-1] if turned else image.size
    grey = image.mode in _GREY or image.mode.startswith("I") or _grey_palette(image)
    return Look((size[0], size[1]), not grey)


def _grey_palette(image: Image.Image) -> bool:
    colours = (image.getpalette("RGB") or []) if image.mode == "P" else []
    return bool(colours) and colours[::3] == colours[1::3] == colours[2::3]


def _frames(path: Path, indices: Iterable[int]) -> Iterator[Image.Image]:
    """Decode frames of a TIFF as the file holds them."""
    with unread(path) as image:
        for index in indices:
            with decoding(Path(f"{path}, slice {index}"), ImageError):
                image.seek(index)
                check_size(image.size, str(path), ImageError)
                image.load()
                frame = image.copy()
                frame.info["inverted"] = image.getexif().get(_PHOTOMETRIC) == _WHITE_IS_ZERO
            yield frame


def _files(files: list[Path], indices: Iterable[int]) -> Iterator[Image.Image]:
    """Decode image files as they are."""
    for index in indices:
        image = load(files[index], ImageError)
        image.info["inverted"] = image.getexif().get(_PHOTOMETRIC) == _WHITE_IS_ZERO
        yield image


def _upright(raw: _Decode, scale: Scale | None, indices: Iterable[int]) -> Iterator[Image.Image]:
    """Decode slices as upright RGB; deep grey by the volume's scale."""
    for image in raw(indices):
        if scale is not None and is_deep(image):
            turned = ImageOps.exif_transpose(image)
            yield scale.grey(turned, inverted=image.info["inverted"]).convert("RGB")
        else:
            yield decode(image)


def _natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Order names by the numbers in them, as people do."""
    pieces = re.split(r"(\d+)", path.name.lower())
    return [(int(one), "") if one.isdecimal() else (-1, one) for one in pieces], path.name
