"""Opening any volume: a multi-frame TIFF, a DICOM file or a folder of slices."""

from pathlib import Path

from retq_hub.decoding import decoding, is_stack, unread
from retq_hub.digest import file_digest, json_digest
from retq_hub.errors import ImageError
from retq_hub.volumes.dicom import is_dicom, open_dicom
from retq_hub.volumes.stacks import open_folder, open_tiff, slice_files
from retq_hub.volumes.volume import Volume

__all__ = ["SUFFIXES", "content_digest", "is_volume", "open_volume"]

SUFFIXES = (".dcm",)
"""File endings that are taken for volumes when a folder is searched, beside those of images."""

_TIFF = (".tif", ".tiff")


def is_volume(path: Path) -> bool:
    """Whether a file is a volume: DICOM, or a TIFF of several frames of one size.

    A folder is none: whether its images are slices cannot be seen. What cannot be read is none.
    """
    if path.suffix.lower() in SUFFIXES:
        return True
    if path.suffix.lower() not in _TIFF:
        return is_dicom(path)
    try:
        with decoding(path, ImageError), unread(path) as image:
            return is_stack(image)
    except ImageError:
        return False


def open_volume(path: str | Path) -> Volume:
    """Open a volume; slices are decoded when they are asked for.

    Args:
        path: A multi-frame TIFF, a DICOM file (needs the extra ``dicom``), or a folder of images,
            one a slice, in the natural order of their names.

    Raises:
        UsageError: It is DICOM and pydicom is missing.
        ImageError: It is none of these, or it cannot be read; slices differ in size or colour.
    """
    path = Path(path)
    if path.is_dir():
        return open_folder(path)
    if path.suffix.lower() in SUFFIXES or is_dicom(path):
        return open_dicom(path)
    with decoding(path, ImageError), unread(path) as image:
        single = not is_stack(image)
    if single:
        raise ImageError(
            f"{path} is one image, not a volume",
            hint="a volume is a TIFF of several frames, a DICOM file or a folder of slices",
        )
    return open_tiff(path)


def content_digest(path: Path) -> str:
    """Give the SHA-256 of a volume's file; of a folder, that of its slices' names and digests.

    Raises:
        ImageError: A folder has no slices.
        OSError: It cannot be read.
    """
    if path.is_dir():
        return json_digest([[one.name, file_digest(one)] for one in slice_files(path)])
    return file_digest(path)
