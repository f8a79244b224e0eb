"""JPEGs decoded at a fraction of their size: where, how large, and that they behave as in full."""

import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import Tiny

from retq_hub.errors import ImageError
from retq_hub.images import decode, read
from retq_hub.photograph import SCALED, Photograph
from retq_hub.preparation import Needs, prepare
from retq_hub.tiling import PassKey


def smooth(width: int, height: int) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    red, green = 255 * x / width, 255 * y / height
    blue = 127 + 100 * np.sin(x / 30) * np.cos(y / 40)
    return Image.fromarray(np.stack([red, green, blue], axis=-1).astype(np.uint8))


def jpeg(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=95, **options)
    return stream.getvalue()


def scaled(content: bytes) -> Photograph:
    return Photograph.from_bytes(content, "eye.jpg", decoding=SCALED)


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        ((80, 60), (80, 60)),
        ((81, 60), (160, 120)),
        ((160, 120), (160, 120)),
        ((200, 200), (320, 240)),
        ((321, 1), (640, 480)),
        ((9999, 9999), (640, 480)),
    ],
)
def test_it_is_decoded_as_small_as_will_do(wanted: tuple[int, int], given: tuple[int, int]) -> None:
    photograph = scaled(jpeg(smooth(640, 480)))
    assert photograph.size == (640, 480)
    assert photograph.at_least(*wanted).size == given


@pytest.mark.parametrize(("size", "smallest"), [((642, 480), 2), ((644, 484), 4), ((641, 480), 1)])
def test_only_scales_that_divide_both_sides_are_used(size: tuple[int, int], smallest: int) -> None:
    found = scaled(jpeg(smooth(*size))).at_least(10, 10)
    assert found.size == (size[0] // smallest, size[1] // smallest)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_upright_at_every_scale(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = jpeg(smooth(640, 320), exif=exif)
    whole = Photograph.from_bytes(content, "eye.jpg")
    small = scaled(content)
    assert small.size == whole.size
    expected = whole.at_least(1, 1).reduce(4)
    found = small.at_least(expected.width, expected.height)
    assert found.size == expected.size
    assert np.abs(np.asarray(found).astype(int) - np.asarray(expected)).mean() < 1.5


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
@pytest.mark.parametrize("progressive", [False, True])
def test_other_jpegs_become_rgb_as_in_full(mode: str, progressive: bool) -> None:
    content = jpeg(smooth(320, 320).convert(mode), progressive=progressive)
    expected = Photograph.from_bytes(content, "eye.jpg").at_least(1, 1).reduce(2)
    found = scaled(content).at_least(160, 160)
    assert found.mode == "RGB"
    assert np.abs(np.asarray(found).astype(int) - np.asarray(expected)).mean() < 1.5


def test_what_is_no_jpeg_is_decoded_in_full(tmp_path: Path) -> None:
    image = smooth(640, 480)
    image.save(tmp_path / "eye.png")
    found = Photograph.opened(tmp_path / "eye.png", decoding=SCALED)
    assert np.array_equal(found.at_least(10, 10), image)
    assert Photograph.opened(image, decoding=SCALED).at_least(10, 10).size == (640, 480)


@pytest.mark.parametrize("decoding", [None, SCALED])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"no image at all", "no PNG, JPEG, TIFF or BMP image"),
        (jpeg(smooth(640, 480))[:8000], "cannot be decoded"),
    ],
)
def test_bad_files_are_refused_as_in_full(
    content: bytes, words: str, decoding: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "eye.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=words) as found:
        Photograph.opened(path, decoding=decoding).at_least(10, 10)
    with pytest.raises(ImageError) as expected:
        decode(path)
    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize("decoding", [None, SCALED])
def test_huge_images_are_refused_before_they_are_decoded(decoding: str | None) -> None:
    content = bytearray(jpeg(smooth(16, 16)))
    start = content.index(b"\xff\xc0") + 5
    content[start : start + 4] = (60_000).to_bytes(2, "big") * 2
    with pytest.raises(ImageError, match="million pixels"):
        Photograph.from_bytes(bytes(content), "eye.jpg", decoding=decoding).at_least(10, 10)


def test_files_are_read_whole_and_missing_ones_named(tmp_path: Path) -> None:
    (tmp_path / "eye.jpg").write_bytes(b"abc")
    assert read(tmp_path / "eye.jpg") == b"abc"
    with pytest.raises(ImageError, match="there is no file"):
        read(tmp_path / "none.jpg")
    with pytest.raises(ImageError, match="is a folder"):
        read(tmp_path)


def test_what_gives_bytes_without_end_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "eye.jpg")
    for place in (tmp_path / "eye.jpg", Path("/dev/zero")):
        with pytest.raises(ImageError, match="is no file"):
            read(place)


def test_a_file_larger_than_any_image_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "eye.jpg").open("wb") as stream:
        stream.truncate(2**31 + 1)
    with pytest.raises(ImageError, match="2147483649 bytes"):
        read(tmp_path / "eye.jpg")


@pytest.mark.parametrize("aspect", ["stretch", "pad", "crop"])
def test_what_a_pass_sees_is_near_full_decoding_and_knows_no_other_pass(
    tiny: Tiny, aspect: str
) -> None:
    spec = replace(tiny.spec, preprocessing=replace(tiny.spec.preprocessing, aspect=aspect))
    content = jpeg(smooth(640, 480))
    small, large = PassKey(64, 1, norm=True), PassKey(64, 2, norm=True)
    both = Needs(plan={small: (0,), large: (0,)}, embed=True, channels=True, guides=(98,))
    found = prepare(scaled(content), both, spec)
    whole = prepare(Photograph.from_bytes(content, "eye.jpg"), both, spec)
    assert found.scene.size == whole.scene.size == (640, 480)
    for key in whole.squares:
        difference = np.abs(found.squares[key].astype(int) - whole.squares[key])
        assert 0 < difference.mean() < 1, "near, yet not the same"
    alone = prepare(scaled(content), Needs(plan={small: (0,)}), spec)
    assert np.array_equal(alone.squares[small], found.squares[small])
    assert np.abs(found.scene.guides[98] - whole.scene.guides[98]).mean() < 0.01
    if aspect == "crop":
        assert np.abs(found.centre.astype(int) - whole.centre).mean() < 1
