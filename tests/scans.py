"""Synthetic OCT volumes: layers with a dip and a pocket of fluid, in the files people have."""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, OphthalmicTomographyImageStorage, generate_uid

SHAPE = (5, 48, 64)
"""Slices, rows and columns."""

_LAYERS = ((0.30, 150), (0.38, 110), (0.46, 165), (0.55, 90), (0.62, 220), (0.70, 60))
"""Where layers begin, as a share of the depth, and how bright they are."""


def phantom(shape: tuple[int, int, int] = SHAPE, seed: int = 0) -> NDArray[np.uint8]:
    """Draw a retina with a fovea in the middle, a dark pocket below it, and speckle."""
    n, height, width = shape
    z, y, x = np.mgrid[:n, :height, :width].astype(np.float64)
    across, between = x / (width - 1) - 0.5, z / max(1, n - 1) - 0.5
    dip = np.exp(-((across / 0.12) ** 2) - (between / 0.2) ** 2)
    depth = y / height
    volume = np.full(shape, 25.0)
    for top, bright in _LAYERS:
        volume[depth > top + 0.12 * dip * (0.62 - top) + 0.06 * across**2] = bright
    pocket = ((across - 0.15) / 0.1) ** 2 + ((depth - 0.5) / 0.05) ** 2 + (between / 0.25) ** 2
    volume[pocket < 1] = 15
    speckle = np.random.default_rng(seed).gamma(9, 1 / 9, shape)
    return (volume * speckle).clip(0, 255).astype(np.uint8)


def save_tiff(path: Path, slices: Sequence[NDArray], **saving: object) -> Path:
    """Write slices as frames of a TIFF."""
    images = [Image.fromarray(one) for one in slices]
    images[0].save(path, save_all=True, append_images=images[1:], **saving)
    return path


def bare_tiff(path: Path, n: int) -> Path:
    """Write a TIFF of n frames of one black pixel; Pillow takes long for thousands."""
    entries = ((256, 1), (257, 1), (258, 8), (259, 1), (262, 1), (273, 8), (278, 1), (279, 1))
    tags = b"".join(struct.pack("<HHLHH", tag, 3, 1, value, 0) for tag, value in entries)
    frame = struct.calcsize("<H") + len(tags) + struct.calcsize("<L")
    starts = [10 + frame * number for number in range(n)]
    parts = [
        struct.pack("<H", len(entries)) + tags + struct.pack("<L", after)
        for after in [*starts[1:], 0]
    ]
    path.write_bytes(b"II*\0" + struct.pack("<L", starts[0]) + bytes(2) + b"".join(parts))
    return path


def save_folder(folder: Path, slices: Sequence[NDArray]) -> Path:
    """Write slices as PNGs: ``scan_1.png`` ... ``scan_10.png``, whose names sort badly."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(slices, 1):
        Image.fromarray(one).save(folder / f"scan_{number}.png")
    return folder


def save_dicom(
    path: Path,
    frames: NDArray,
    *,
    bits: int | None = None,
    spacing_mm: tuple[float, float] | None = (0.004, 0.012),
    steps_mm: Sequence[float] | None = None,
    syntax: str = ExplicitVRLittleEndian,
    **elements: object,
) -> Path:
    """Write frames, (n, H, W) grey or (n, H, W, 3), as Ophthalmic Tomography.

    Args:
        path: The file.
        frames: Stored values.
        bits: Bits stored; those of the values' type.
        spacing_mm: Between rows and between columns.
        steps_mm: Where each slice lies along its normal.
        syntax: The transfer syntax's UID.
        elements: What else the header says, or says otherwise; None: it does not say it.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = OphthalmicTomographyImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["retq"])
    meta.TransferSyntaxUID = syntax
    scan = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    scan.SOPClassUID, scan.Modality = meta.MediaStorageSOPClassUID, "OPT"
    scan.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    scan.NumberOfFrames, scan.Rows, scan.Columns = frames.shape[:3]
    scan.SamplesPerPixel = 3 if frames.ndim == 4 else 1
    scan.PhotometricInterpretation = "RGB" if frames.ndim == 4 else "MONOCHROME2"
    if frames.ndim == 4:
        scan.PlanarConfiguration = 0
    scan.BitsAllocated = 8 * frames.dtype.itemsize
    scan.BitsStored = bits or scan.BitsAllocated
    scan.HighBit = scan.BitsStored - 1
    scan.PixelRepresentation = int(frames.dtype.kind == "i")
    if spacing_mm:
        measures = Dataset()
        measures.PixelSpacing = list(spacing_mm)
        scan.SharedFunctionalGroupsSequence = [group(PixelMeasuresSequence=measures)]
    if steps_mm is not None:
        scan.PerFrameFunctionalGroupsSequence = [_placed(step) for step in steps_mm]
    scan.PixelData = frames.tobytes()
    for name, value in elements.items():
        if value is None:
            delattr(scan, name)
        else:
            setattr(scan, name, value)
    scan.save_as(path, enforce_file_format=True)
    return path


def group(**sequences: Dataset) -> Dataset:
    """Give an item of functional groups: a dataset of sequences of one item each."""
    found = Dataset()
    for name, item in sequences.items():
        setattr(found, name, [item])
    return found


def items(**elements: object) -> Dataset:
    """Give a dataset of elements."""
    found = Dataset()
    for name, value in elements.items():
        setattr(found, name, value)
    return found


def _placed(step_mm: float) -> Dataset:
    """Give the groups of a frame: rows run to the left, columns down, slices backwards."""
    return group(
        PlanePositionSequence=items(ImagePositionPatient=[0, step_mm, 0]),
        PlaneOrientationSequence=items(ImageOrientationPatient=[1, 0, 0, 0, 0, -1]),
    )
