import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scans
from PIL import Image

from retq_hub.errors import ImageError
from retq_hub.images import decode
from retq_hub.volumes.opening import content_digest, is_volume, open_volume
from retq_hub.volumes.volume import MAX_SLICES


@pytest.fixture(scope="module")
def grey() -> np.ndarray:
    return scans.phantom()


def values(path: Path) -> np.ndarray:
    """(n, H, W) of the first channel; all three are equal."""
    slices = np.stack([np.asarray(one) for one in open_volume(path)])
    assert (slices == slices[..., :1]).all()
    return slices[..., 0]


def test_a_stack_a_folder_and_a_dicom_file_give_the_same_slices(
    tmp_path: Path, grey: np.ndarray
) -> None:
    many = np.concatenate([grey, grey[::-1], grey])
    stack = scans.save_tiff(tmp_path / "scan.tif", many)
    folder = scans.save_folder(tmp_path / "scan", many)
    dicom = scans.save_dicom(tmp_path / "scan.dcm", many)
    for path in (stack, folder, dicom):
        volume = open_volume(path)
        assert (len(volume), volume.size, volume.modality) == (15, (64, 48), "oct")
        np.testing.assert_array_equal(values(path), many)
        np.testing.assert_array_equal(np.asarray(volume[11])[..., 0], many[11])
        with pytest.raises(IndexError, match="slices 0-14"):
            volume[15]


def test_what_is_a_volume(tmp_path: Path, grey: np.ndarray) -> None:
    assert is_volume(scans.save_tiff(tmp_path / "scan.tif", grey))
    assert is_volume(scans.save_dicom(tmp_path / "IM0001", grey))
    one = scans.save_tiff(tmp_path / "one.tif", grey[:1])
    thumbnail = scans.save_tiff(tmp_path / "thumbnail.tif", [grey[0], grey[0, ::4, ::4]])
    (tmp_path / "no.tif").write_bytes(b"II*\0 and so on")
    for path in (one, thumbnail, tmp_path / "no.tif", tmp_path, tmp_path / "missing.png"):
        assert not is_volume(path)
    assert decode(one).size == (64, 48)
    with pytest.raises(ImageError, match="is one image, not a volume"):
        open_volume(one)


@pytest.mark.parametrize("factor", [1, 16, 257])
def test_deep_grey_is_scaled_by_the_bits_of_the_whole_volume(
    tmp_path: Path, grey: np.ndarray, factor: int
) -> None:
    deep = grey.astype(np.uint16) * factor
    deep[0] //= 4
    for path in (
        scans.save_tiff(tmp_path / "scan.tif", deep),
        scans.save_folder(tmp_path / "scan", deep),
    ):
        wanted = deep / {1: 255, 16: 4095, 257: 65535}[factor] * 255
        assert np.abs(values(path) - wanted).max() <= 0.5 + 1e-9
        bits = {1: 8, 16: 12, 257: 0}[factor]
        assert [f"read as {bits} bits" in note for note in open_volume(path).notes] == [True] * (
            bits > 0
        )


def test_floats_lie_within_0_and_1(tmp_path: Path, grey: np.ndarray) -> None:
    path = scans.save_tiff(tmp_path / "scan.tif", (grey / 255).astype(np.float32))
    np.testing.assert_array_equal(values(path), grey)
    for wrong in (grey.astype(np.float32), np.where(grey > 9, np.nan, grey).astype(np.float32)):
        scans.save_tiff(path, wrong)
        with pytest.raises(ImageError, match=r"has values from .* expected 0-1 for floats"):
            open_volume(path)


def test_white_may_be_zero(tmp_path: Path, grey: np.ndarray) -> None:
    deep = grey.astype(np.uint16) * 257
    path = scans.save_tiff(tmp_path / "scan.tif", deep, tiffinfo={262: 0})
    np.testing.assert_array_equal(values(path), 255 - grey)


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("compression", [None, "tiff_deflate"])
def test_frames_are_turned_upright(
    tmp_path: Path, grey: np.ndarray, deep: bool, compression: str | None
) -> None:
    stored = grey.astype(np.uint16) * 257 if deep else grey
    path = scans.save_tiff(
        tmp_path / "scan.tif", stored, tiffinfo={274: 6}, compression=compression
    )
    assert open_volume(path).size == (48, 64)
    np.testing.assert_array_equal(values(path), np.rot90(grey, -1, axes=(1, 2)))


def test_colour_stays_colour(tmp_path: Path, grey: np.ndarray) -> None:
    colour = np.stack([grey, grey // 2, grey // 3], axis=-1)
    path = scans.save_tiff(tmp_path / "scan.tif", colour)
    np.testing.assert_array_equal(np.stack([np.asarray(one) for one in open_volume(path)]), colour)


def test_slices_that_differ_are_named(tmp_path: Path, grey: np.ndarray) -> None:
    mixed = [*grey[:2], grey[2, :40], *grey[3:]]
    with pytest.raises(
        ImageError, match=r"several sizes: 64 x 48 pixels: 0, 1, 3, 4; 64 x 40 .*: 2"
    ):
        open_volume(scans.save_tiff(tmp_path / "scan.tif", mixed))
    with pytest.raises(ImageError, match=r"64 x 40 pixels: scan_3.png"):
        open_volume(scans.save_folder(tmp_path / "sizes", mixed))
    coloured = [*grey[:4], np.stack([grey[4]] * 3, axis=-1)]
    with pytest.raises(ImageError, match=r"mixes grey and colour: grey: 0, 1, 2, 3; colour: 4"):
        open_volume(scans.save_tiff(tmp_path / "scan.tif", coloured))


def test_a_cut_file_is_named_with_its_slice(tmp_path: Path, grey: np.ndarray) -> None:
    path = scans.save_tiff(tmp_path / "scan.tif", grey)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(ImageError, match="slice 4 cannot be decoded"):
        list(open_volume(path))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match="cut short"):
        open_volume(path)


def test_empty_and_missing_ones_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no slices here")
    with pytest.raises(ImageError, match="has no slices"):
        open_volume(tmp_path)
    with pytest.raises(ImageError, match="there is no file"):
        open_volume(tmp_path / "scan.tif")
    (tmp_path / "empty.tif").touch()
    with pytest.raises(ImageError, match=r"empty \(0 bytes\)"):
        open_volume(tmp_path / "empty.tif")


def test_too_many_slices_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = scans.bare_tiff(tmp_path / "scan.tif", MAX_SLICES + 2)
    with pytest.raises(ImageError, match=f"at most {MAX_SLICES} slices"):
        open_volume(path)
    frames = np.zeros((1, 8, 8), np.uint8)
    dicom = scans.save_dicom(tmp_path / "scan.dcm", frames, NumberOfFrames=10**9)
    with pytest.raises(ImageError, match="has 1000000000 slices"):
        open_volume(dicom)


def test_a_volume_that_changes_meanwhile_is_refused(tmp_path: Path, grey: np.ndarray) -> None:
    folder = scans.save_folder(tmp_path, grey)
    volume = open_volume(folder)
    Image.fromarray(grey[0, :20]).save(folder / "scan_2.png")
    with pytest.raises(ImageError, match="changed"):
        list(volume)


def test_the_digest_is_of_all_slices(tmp_path: Path, grey: np.ndarray) -> None:
    folder = scans.save_folder(tmp_path, grey)
    before = content_digest(folder)
    assert content_digest(scans.save_folder(tmp_path, grey)) == before
    Image.fromarray(grey[0]).save(folder / "scan_5.png")
    assert content_digest(folder) != before


def test_a_missing_extra_is_named(tmp_path: Path, grey: np.ndarray) -> None:
    path = scans.save_dicom(tmp_path / "scan.dcm", grey)
    script = (
        "import sys; sys.modules['pydicom'] = None; "
        "from retq_hub.volumes.opening import open_volume; "
        f"open_volume({str(path)!r})"
    )
    refused = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert 'pip install "retq-hub[dicom]"' in refused.stderr
    assert "UsageError" in refused.stderr
