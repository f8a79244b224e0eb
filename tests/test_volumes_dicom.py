from pathlib import Path

import numpy as np
import pydicom
import pytest
import scans
from PIL import Image
from pydicom.pixels.processing import apply_modality_lut, apply_windowing
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)
from scans import group, items

from retq_hub.errors import ImageError
from retq_hub.volumes.depth import Window, windowed
from retq_hub.volumes.dicom import open_dicom


@pytest.fixture(scope="module")
def grey() -> np.ndarray:
    return scans.phantom()


def values(path: Path) -> np.ndarray:
    return np.stack([np.asarray(one)[..., 0] for one in open_dicom(path)])


def test_the_range_of_values_is_that_of_their_bits(tmp_path: Path, grey: np.ndarray) -> None:
    path = tmp_path / "scan.dcm"
    twelve = grey.astype(np.uint16) * 16
    scans.save_dicom(path, twelve, bits=12)
    assert np.abs(values(path) - twelve / 4095 * 255).max() <= 0.51
    signed = grey.astype(np.int16) - 128
    scans.save_dicom(path, signed, bits=8, HighBit=7)
    np.testing.assert_array_equal(values(path), grey)


def test_monochrome1_is_inverted_and_single_frames_are_volumes_of_one_slice(
    tmp_path: Path, grey: np.ndarray
) -> None:
    path = scans.save_dicom(
        tmp_path / "scan.dcm",
        grey[:1],
        PhotometricInterpretation="MONOCHROME1",
        NumberOfFrames=None,
    )
    np.testing.assert_array_equal(values(path), 255 - grey[:1])


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_windows_are_those_of_the_standard(tmp_path: Path, grey: np.ndarray, function: str) -> None:
    said = {
        "WindowCenter": [700.0, 3.0],
        "WindowWidth": [900.0, 5.0],
        "VOILUTFunction": function,
        "RescaleSlope": 2.0,
        "RescaleIntercept": -300.0,
    }
    path = scans.save_dicom(tmp_path / "scan.dcm", grey.astype(np.uint16) * 4, bits=10, **said)
    header = pydicom.dcmread(path)
    shown = apply_windowing(apply_modality_lut(header.pixel_array, header), header)
    low, high = -300, 1023 * 2 - 300
    assert np.abs(values(path) - (shown - low) / (high - low) * 255).max() <= 0.51


def test_a_window_must_show_something() -> None:
    for window in (
        Window(centre=1, width=1),
        Window(centre=1, width=0, function="LINEAR_EXACT"),
        Window(centre=1, width=5, function="OTHER"),
    ):
        with pytest.raises(ValueError, match="a window"):
            windowed(np.arange(3), window)


def test_what_is_said_of_a_frame_counts_before_what_is_said_of_all(
    tmp_path: Path, grey: np.ndarray
) -> None:
    own = [group(FrameVOILUTSequence=items(WindowCenter=100 + n, WindowWidth=50)) for n in range(5)]
    shared = group(
        PixelValueTransformationSequence=items(RescaleSlope=0.5, RescaleIntercept=10),
        FrameVOILUTSequence=items(WindowCenter=1, WindowWidth=2),
    )
    path = scans.save_dicom(
        tmp_path / "scan.dcm",
        grey,
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=own,
    )
    for number, found in enumerate(values(path)):
        level = windowed(grey[number] * 0.5 + 10, Window(centre=100 + number, width=50))
        assert np.abs(found - level * 255).max() <= 0.51


def test_tables_are_looked_up(tmp_path: Path, grey: np.ndarray) -> None:
    table = items(LUTDescriptor=[256, 0, 12])
    table.add_new("LUTData", "US", [(255 - one) * 16 for one in range(256)])
    path = scans.save_dicom(tmp_path / "scan.dcm", grey, VOILUTSequence=[table])
    assert np.abs(values(path) - (255.0 - grey) * 16 / 4095 * 255).max() <= 0.51


def test_colour_frames(tmp_path: Path, grey: np.ndarray) -> None:
    colour = np.stack([grey, grey // 2, grey // 3], axis=-1)
    path = scans.save_dicom(tmp_path / "scan.dcm", colour, Modality="OP")
    volume = open_dicom(path)
    assert volume.modality is None
    np.testing.assert_array_equal(np.stack([np.asarray(one) for one in volume]), colour)


def test_distances_are_read_where_slices_are_parallel_and_even(
    tmp_path: Path, grey: np.ndarray
) -> None:
    def between(**elements: object) -> float | None:
        volume = open_dicom(scans.save_dicom(tmp_path / "scan.dcm", grey, **elements))
        assert volume.spacing is not None
        assert (volume.spacing.down_mm, volume.spacing.across_mm) == (0.004, 0.012)
        return volume.spacing.between_mm

    assert between() is None
    assert between(steps_mm=[0, 0.24, 0.48, 0.72, 0.96]) == pytest.approx(0.24)
    assert between(steps_mm=[1, 0.9, 0.8, 0.7, 0.6]) == pytest.approx(0.1)
    assert between(steps_mm=[0, 0.24, 0.48, 0.72, 2.0]) is None
    measures = items(PixelSpacing=[0.004, 0.012], SpacingBetweenSlices=0.2)
    shared = [group(PixelMeasuresSequence=measures)]
    assert between(SharedFunctionalGroupsSequence=shared) == 0.2
    bare = scans.save_dicom(tmp_path / "bare.dcm", grey, spacing_mm=None)
    assert open_dicom(bare).spacing is None


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_compressed_frames_are_read_one_at_a_time(
    tmp_path: Path, grey: np.ndarray, syntax: str
) -> None:
    path = scans.save_dicom(tmp_path / "scan.dcm", grey)
    header = pydicom.dcmread(path)
    if syntax == RLELossless:
        header.compress(RLELossless)
    else:
        frames = [_jpeg2000(one) for one in grey]
        header.PixelData = pydicom.encaps.encapsulate(frames)
        header.file_meta.TransferSyntaxUID = JPEG2000Lossless
    header.save_as(path)
    np.testing.assert_array_equal(values(path), grey)
    np.testing.assert_array_equal(np.asarray(open_dicom(path)[3])[..., 0], grey[3])


def _jpeg2000(pixels: np.ndarray) -> bytes:
    import io

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG2000", irreversible=False, no_jp2=True)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"PixelData": None}, r"has no pixels \(modality: OPT\)"),
        ({"Rows": None}, "no attribute 'Rows'"),
        ({"NumberOfFrames": -3}, "has -3 frames"),
        ({"Columns": 0}, "frames of 0 x 48"),
        ({"NumberOfFrames": 50}, "cannot be decoded"),
        ({"Columns": 30000}, "at most 20000 a side"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "expected grey, or 8-bit RGB"),
        ({"WindowCenter": 5, "WindowWidth": 0}, "a window 0 wide"),
        ({"RescaleSlope": -1, "RescaleIntercept": 0}, "rescale slope of -1"),
    ],
)
def test_broken_headers_are_told_in_a_line(
    tmp_path: Path, grey: np.ndarray, changes: dict[str, object], message: str
) -> None:
    path = scans.save_dicom(tmp_path / "scan.dcm", grey, **changes)
    with pytest.raises(ImageError, match=message) as refused:
        list(open_dicom(path))
    assert "\n" not in str(refused.value)


def test_syntaxes_that_cannot_be_read_are_told_with_the_plugin(
    tmp_path: Path, grey: np.ndarray
) -> None:
    path = scans.save_dicom(tmp_path / "scan.dcm", grey)
    header = pydicom.dcmread(path)
    header.PixelData = pydicom.encaps.encapsulate([b"frame"] * 5)
    for syntax, message in (
        (JPEGLSLossless, "JPEG-LS .*pip install pylibjpeg"),
        ("1.2.840.10008.1.2.4.102", "MPEG-4 .*which is not read"),
    ):
        header.file_meta.TransferSyntaxUID = syntax
        header["PixelData"].VR = "OB"
        header.save_as(path)
        with pytest.raises(ImageError, match=message):
            open_dicom(path)


def test_a_file_deflated_as_a_whole_is_not_inflated(tmp_path: Path, grey: np.ndarray) -> None:
    path = scans.save_dicom(tmp_path / "scan.dcm", grey, syntax=DeflatedExplicitVRLittleEndian)
    with pytest.raises(ImageError, match="deflated as a whole"):
        open_dicom(path)


def test_other_files_are_no_dicom(tmp_path: Path, grey: np.ndarray) -> None:
    path = tmp_path / "scan.dcm"
    path.write_bytes(b"something else" * 40)
    with pytest.raises(ImageError, match="is no DICOM file"):
        open_dicom(path)
    whole = scans.save_dicom(path, grey).read_bytes()
    path.write_bytes(whole[: len(whole) - 5000])
    with pytest.raises(ImageError, match=r"slice \d cannot be decoded|cannot be decoded"):
        list(open_dicom(path))
