"""Volumes in DICOM files: frames, grey levels and distances, as the header describes them.

The only module that imports pydicom, an extra; frames are decoded one at a time.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retq_hub.decoding import decoding
from retq_hub.errors import ImageError, UsageError
from retq_hub.volumes.depth import Window, eight_bits, windowed
from retq_hub.volumes.volume import Spacing, Volume, check_amount

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["is_dicom", "open_dicom"]

_MARK_AT, _MARK = 128, b"DICM"
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_GREY = ("MONOCHROME1", "MONOCHROME2")
_DEFERRED = 4096
"""Larger elements are read when they are asked for, in bytes."""

_DEFLATED = "1.2.840.10008.1.2.1.99"
_LEVELS = (
    *("PhotometricInterpretation", "BitsStored", "PixelRepresentation"),
    *("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept"),
    *("VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction"),
)
_GROUPS = ("PixelValueTransformationSequence", "FrameVOILUTSequence")
_MISFITS = (AttributeError, NotImplementedError, RecursionError, RuntimeError, ValueError)
"""What pydicom raises where a header says too little, or what the pixels are not."""

_Place: TypeAlias = tuple[tuple[float, ...], tuple[float, ...]]
"""Where a slice lies: its position, and the directions of its rows and columns."""

_EVEN = 0.02
"""So far may steps between slices differ from their mean, as a share of it."""


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do."""
    try:
        with path.open("rb") as stream:
            return stream.read(_MARK_AT + len(_MARK))[_MARK_AT:] == _MARK
    except OSError:
        return False


def open_dicom(path: Path) -> Volume:
    """Open a DICOM file: Ophthalmic Tomography, or any other of grey or RGB frames.

    Values are rescaled, shown through the file's first window, where there is none by the range of
    its bits, and inverted for MONOCHROME1; each by what is said of the frame itself, else of all.

    Raises:
        UsageError: pydicom is missing.
        ImageError: It is no DICOM file, has no pixels, is compressed in a way that cannot be read,
            cut short, too large, or of another kind of pixels.
    """
    _check_library()
    with _reading(path):
        header = _header(path)
        _check_syntax(path, header)
        n, colour = int(header.get("NumberOfFrames") or 1), _is_colour(path, header)
        size = (int(header.Columns), int(header.Rows))
        if n < 1 or 0 in size:
            raise ImageError(f"{path} has {n} frames of {size[0]} x {size[1]} pixels")
        check_amount(path, size, n)
        spacing = _spacing(header, n)
    return Volume(
        path=path,
        size=size,
        n_slices=n,
        decode=partial(_frames, path, header, colour),
        modality="oct" if header.get("Modality", "OPT") == "OPT" else None,
        spacing=spacing,
    )


def _check_library() -> None:
    try:
        import pydicom  # noqa: F401 - only whether it is there
    except ModuleNotFoundError as error:
        raise UsageError(
            "DICOM files need pydicom, which is missing", hint='pip install "retq-hub[dicom]"'
        ) from error


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn all that pydicom raises into an `ImageError`."""
    from pydicom.errors import InvalidDicomError

    try:
        with decoding(path, ImageError):
            try:
                yield
            except _MISFITS as error:
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise ImageError(
                    f"{path} cannot be decoded ({reason})",
                    hint="header and pixels do not fit: export it again",
                ) from error
    except InvalidDicomError as error:
        raise ImageError(f"{path} is no DICOM file", hint="get it again") from error


def _header(path: Path) -> "Dataset":
    """Read everything but the pixels."""
    from pydicom.filereader import dcmread, read_file_meta_info

    # What is deflated as a whole would be inflated as a whole, whatever its size.
    if read_file_meta_info(path).get("TransferSyntaxUID") == _DEFLATED:
        raise ImageError(
            f"{path} is deflated as a whole, which is not read", hint="save it in another way"
        )
    header = dcmread(path, defer_size=_DEFERRED)
    if not any(name in header for name in _PIXELS):
        kind = header.get("Modality") or "none"
        raise ImageError(
            f"{path} has no pixels (modality: {kind})", hint="name the file of the scan itself"
        )
    return header


def _check_syntax(path: Path, header: "Dataset") -> None:
    """Refuse compressions that cannot be read, or not with the plugins that are installed."""
    from pydicom.pixels.decoders.base import get_decoder

    syntax = header.file_meta.TransferSyntaxUID
    try:
        ready = get_decoder(syntax).is_available
    except NotImplementedError as error:
        raise ImageError(
            f"{path} is stored as {syntax.name}, which is not read",
            hint="save it uncompressed, or as JPEG 2000",
        ) from error
    if not ready:
        raise ImageError(
            f"{path} is stored as {syntax.name}, for which pydicom has no plugin here",
            hint="pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg",
        )


def _is_colour(path: Path, header: "Dataset") -> bool:
    """Whether frames are RGB; refuses what is neither that nor grey."""
    kind = str(header.PhotometricInterpretation)
    if kind in _GREY and int(header.SamplesPerPixel) == 1:
        return False
    rgb = kind == "RGB" or kind.startswith("YBR")
    if rgb and int(header.SamplesPerPixel) == 3 and int(header.BitsAllocated) == 8:
        return True
    raise ImageError(
        f"{path} has pixels of {header.SamplesPerPixel} x {header.BitsAllocated} bits, {kind}: "
        "expected grey, or 8-bit RGB",
        hint="save it so",
    )


def _frames(
    path: Path, header: "Dataset", colour: bool, indices: Iterable[int]
) -> Iterator[Image.Image]:
    """Decode frames as 8-bit RGB."""
    from pydicom.pixels.utils import iter_pixels

    wanted = list(indices)
    with _reading(path):
        arrays = iter_pixels(path, indices=wanted)
    for index in wanted:
        with _reading(Path(f"{path}, slice {index}")):
            values = next(arrays)
            level = values if colour else eight_bits(_level(values, _described(header, index)))
        yield Image.fromarray(level).convert("RGB")


def _described(header: "Dataset", index: int) -> "Dataset":
    """Gather what is said of a frame's values: of all frames, then of the frame itself."""
    from pydicom import Dataset

    found = Dataset()
    found.file_meta = header.file_meta
    for source in (header, *_functional(header, index, _GROUPS)):
        for name in _LEVELS:
            if name in source and source[name].value is not None:
                found[name] = source[name]
    return found


def _functional(header: "Dataset", index: int, sequences: Iterable[str]) -> "Iterator[Dataset]":
    """Give the first item of functional groups: those of all frames, then those of the frame."""
    shared = header.get("SharedFunctionalGroupsSequence") or []
    own = header.get("PerFrameFunctionalGroupsSequence") or []
    for group in (*shared[:1], *own[index : index + 1]):
        for name in sequences:
            yield from (group.get(name) or [])[:1]


def _level(values: NDArray[Any], said: "Dataset") -> NDArray[np.float64]:
    """Bring a frame's stored values to 0-1: modality, window or table, polarity."""
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    shown = apply_modality_lut(values, said)
    if tables := said.get("VOILUTSequence"):
        bits = int(tables[0].LUTDescriptor[2])
        level = apply_voi_lut(shown, said) / (2**bits - 1)
    elif "WindowWidth" in said and "WindowCenter" in said:
        level = windowed(shown, _window(said))
    else:
        lowest, highest = _range(values, said)
        level = (shown - lowest) / (highest - lowest)
    level = np.asarray(level, dtype=np.float64)
    return 1 - level if said.PhotometricInterpretation == "MONOCHROME1" else level


def _window(said: "Dataset") -> Window:
    """Give the first window."""
    function = str(said.get("VOILUTFunction") or "LINEAR").upper()
    centre, width = (
        float(np.atleast_1d(said[name].value)[0]) for name in ("WindowCenter", "WindowWidth")
    )
    return Window(centre=centre, width=width, function=function)


def _range(values: NDArray[Any], said: "Dataset") -> tuple[float, float]:
    """Say between which values a frame may lie, by its bits; floats by 0-1."""
    if tables := said.get("ModalityLUTSequence"):
        return 0.0, float(2 ** int(tables[0].LUTDescriptor[2]) - 1)
    slope, intercept = float(said.get("RescaleSlope", 1)), float(said.get("RescaleIntercept", 0))
    if values.dtype.kind == "f":
        lowest, highest = 0.0, 1.0
        if not (values.min() >= 0 and values.max() <= 1):
            raise ValueError(f"floats from {values.min():g} to {values.max():g} and no window")
    else:
        bits, signed = int(said.BitsStored), int(said.PixelRepresentation)
        lowest = -(2.0 ** (bits - 1)) if signed else 0.0
        highest = lowest + 2.0**bits - 1
    if not slope > 0:
        raise ValueError(f"a rescale slope of {slope:g} and no window")
    return lowest * slope + intercept, highest * slope + intercept


def _spacing(header: "Dataset", n: int) -> Spacing | None:
    """Find distances; that between slices only if they are parallel and evenly spaced."""
    measures = list(_functional(header, 0, ("PixelMeasuresSequence",))) or [header]
    pixel = measures[-1].get("PixelSpacing")
    if not pixel or len(pixel) != 2 or not min(map(float, pixel)) > 0:
        return None
    between = _between(header, n) if n > 1 else None
    if between is None and not _places(header, n):
        said = float(measures[-1].get("SpacingBetweenSlices") or 0)
        between = said if said > 0 else None
    return Spacing(down_mm=float(pixel[0]), across_mm=float(pixel[1]), between_mm=between)


def _between(header: "Dataset", n: int) -> float | None:
    """Measure the step from slice to slice along their normal."""
    places = _places(header, n)
    if not places or any(way != places[0][1] for _, way in places):
        return None
    positions = np.array([position for position, _ in places])
    way = np.array(places[0][1])
    steps = np.diff(positions @ np.cross(way[:3], way[3:]))
    mean = float(steps.mean())
    if not abs(mean) > 0 or np.abs(steps - mean).max() > _EVEN * abs(mean):
        return None
    return abs(mean)


def _places(header: "Dataset", n: int) -> list[_Place]:
    """Give position and orientation of each frame; nothing if they are not said of all."""
    found: list[_Place] = []
    for index in range(n):
        position, way = (
            tuple(float(one) for item in items for one in (item.get(name) or ()))
            for items, name in (
                (_last(header, index, "PlanePositionSequence"), "ImagePositionPatient"),
                (_last(header, index, "PlaneOrientationSequence"), "ImageOrientationPatient"),
            )
        )
        if len(position) != 3 or len(way) != 6:
            return []
        found.append((position, way))
    return found


def _last(header: "Dataset", index: int, sequence: str) -> "list[Dataset]":
    return list(_functional(header, index, (sequence,)))[-1:]
