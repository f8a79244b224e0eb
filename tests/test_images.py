import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from support_core import assert_clear, blob_mask, fundus

from retq_hub.errors import ImageError, MaskError
from retq_hub.images import (
    area_mask,
    decode,
    image_files,
    normalise,
    read_mask,
)
from retq_hub.spec import Preprocessing

PHOTO = fundus()
GREY = PHOTO[..., 0]
MASK = blob_mask()
SPOT = np.zeros_like(MASK)
SPOT[30:34, 50:54] = True
ORIENTATION = 0x112
PREPROCESSING = Preprocessing(
    size_px=16,
    resize="bicubic",
    antialias=True,
    aspect="stretch",
    mean=(0.5, 0.25, 0.125),
    std=(0.5, 0.25, 0.5),
)


def picture(pixels: NDArray[np.uint8] = PHOTO) -> Image.Image:
    return Image.fromarray(pixels)


def pixels(image: Image.Image) -> NDArray[np.int16]:
    assert image.mode == "RGB"
    return np.asarray(image).astype(np.int16)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png_16_bit(values: NDArray[np.uint8]) -> bytes:
    """An RGB PNG of 16 bits a channel, which Pillow reads but does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = b"".join(b"\0" + (row.astype(">u2") * 257).tobytes() for row in values)
    size = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 2, 0, 0, 0)
    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size)
    return head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def paletted(mask: NDArray[np.integer], colours: list[int]) -> Image.Image:
    image = Image.frombytes("P", mask.shape[::-1], mask.astype(np.uint8).tobytes())
    image.putpalette(colours)
    return image


def coloured(*layers: tuple[NDArray[np.bool_], tuple[int, ...]]) -> Image.Image:
    """Masks painted over each other, the first one everywhere."""
    canvas = np.empty((*MASK.shape, len(layers[0][1])), np.uint8)
    for mask, colour in layers:
        canvas[mask] = colour
    return Image.fromarray(canvas)


def halo() -> Image.Image:
    """A mask drawn with a soft brush, as in HVDROPDB's Neo part."""
    soft = np.where(MASK, 255, 0).astype(np.uint8)
    soft[4:7, 9:40] = [[60], [128], [200]]
    return Image.fromarray(soft)


def stack(*, damaged: bool = False) -> bytes:
    blob = encoded(picture(), "TIFF", save_all=True, append_images=[picture()] * 2)
    (first,) = struct.unpack_from("<I", blob, 4)
    (count,) = struct.unpack_from("<H", blob, first)
    (second,) = struct.unpack_from("<I", blob, first + 2 + 12 * count)
    zeros = bytes(12 * count) if damaged else blob[second + 2 : second + 2 + 12 * count]
    return blob[: second + 2] + zeros + blob[second + 2 + 12 * count :]


NO_IMAGES: dict[str, tuple[Callable[[], bytes], str]] = {
    "text": (lambda: b"hello, I am no image", "no PNG"),
    "zero bytes": (lambda: b"", "0 bytes"),
    "truncated jpeg": (lambda: encoded(picture(), "JPEG")[:-300], "truncated"),
    "header alone": (lambda: encoded(picture(), "JPEG")[:20], ""),
    "truncated png": (lambda: encoded(picture(), "PNG")[:-300], "truncated"),
    "too wide": (lambda: encoded(Image.new("1", (30_000, 2)), "PNG"), "30000 x 2"),
    "stack": (stack, "3 frames"),
    "stack with a damaged frame": (lambda: stack(damaged=True), ""),
    "gif": (lambda: encoded(picture(), "GIF"), "no PNG"),
}

NOTHING = np.zeros_like(PHOTO)
CYAN = np.array([0, 255, 255], np.uint8)
SHOWN = np.where(MASK[..., None], PHOTO, NOTHING)
ALPHA = np.where(MASK, 255, 0).astype(np.uint8)
TWO_COLOURS = np.where(MASK[..., None], (6, 5, 4), (9, 8, 7))

ACCEPTED: dict[str, tuple[str, Image.Image, NDArray[np.integer]]] = {
    "png rgb": ("png", picture(), PHOTO),
    "tiff rgb": ("tif", picture(), PHOTO),
    "bmp rgb": ("bmp", picture(), PHOTO),
    "upper case ending": ("PNG", picture(), PHOTO),
    "png grey": ("png", picture(GREY), GREY),
    "tiff grey": ("tiff", picture(GREY), GREY),
    "png 16 bit": ("png", picture(GREY.astype(np.uint16) * 257), GREY),
    "tiff 16 bit": ("tif", picture(GREY.astype(np.uint16) * 257), GREY),
    "tiff float": ("tif", picture(GREY.astype(np.float32) / 255), GREY),
    "png 1 bit": ("png", picture(MASK), ALPHA),
    "bmp 1 bit": ("bmp", picture(MASK), ALPHA),
    "png palette": ("png", paletted(MASK, [9, 8, 7, 6, 5, 4]), TWO_COLOURS),
    "png rgba": ("png", picture(np.dstack([PHOTO, ALPHA])), SHOWN),
    "tiff rgba": ("tif", picture(np.dstack([PHOTO, ALPHA])), SHOWN),
    "png la": ("png", picture(np.dstack([GREY, ALPHA])), SHOWN[..., 0]),
    "tiff cmyk": ("tif", Image.new("CMYK", (64, 48), (255, 0, 0, 0)), NOTHING + CYAN),
}

MASKS: dict[str, tuple[str, Image.Image]] = {
    "1 bit": ("png", picture(MASK)),
    "1 bit bmp": ("bmp", picture(MASK)),
    "grey 0/255": ("png", picture(ALPHA)),
    "grey 0/1": ("png", picture(MASK.astype(np.uint8))),
    "grey 0/255 tiff": ("tif", picture(ALPHA)),
    "16 bit": ("png", picture(MASK.astype(np.uint16) * 65535)),
    "palette 0/1": ("tif", paletted(MASK, [0, 0, 0, 255, 0, 0])),
    "palette 0/1, dark target": ("png", paletted(MASK, [255, 255, 255, 0, 0, 0])),
    "rgb white": ("png", coloured((~SPOT | SPOT, (0, 0, 0)), (MASK, (255, 255, 255)))),
    "rgba red": ("tif", coloured((~MASK, (0, 0, 0, 255)), (MASK, (255, 0, 0, 255)))),
    "rgba red on nothing": ("png", coloured((~MASK, (0, 0, 0, 0)), (MASK, (255, 0, 0, 255)))),
    "rgba red on clear white": (
        "png",
        coloured((~MASK, (255, 255, 255, 0)), (MASK, (255, 0, 0, 255))),
    ),
    "grey with alpha": ("png", picture(np.dstack([ALPHA, np.full_like(ALPHA, 255)]))),
    "jpeg": ("jpg", picture(ALPHA)),
}

NO_MASKS: dict[str, Image.Image] = {
    "photograph": picture(),
    "grey photograph": picture(GREY),
    "gradient": picture(np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))),
    "label map": picture(MASK + 2 * SPOT.astype(np.uint8)),
    "palette label map": paletted(MASK + 2 * SPOT, [0, 0, 0, 255, 0, 0, 0, 255, 0]),
}


def open_files() -> set[Path]:
    """The files that this process holds open, where the system tells."""
    return {one.resolve() for one in Path("/proc/self/fd").glob("*")}


def saved(folder: Path, ending: str, image: Image.Image) -> Path:
    path = folder / f"it.{ending}"
    image.save(path)
    return path


@pytest.mark.parametrize("case", ACCEPTED)
def test_a_file_is_decoded_to_rgb(tmp_path: Path, case: str):
    ending, image, expected = ACCEPTED[case]
    found = pixels(decode(saved(tmp_path, ending, image)))
    expected = expected if expected.ndim == 3 else np.stack([expected] * 3, axis=2)
    np.testing.assert_array_equal(found, expected)


def test_16_bits_a_channel_become_8(tmp_path: Path):
    (tmp_path / "deep.png").write_bytes(png_16_bit(PHOTO))
    np.testing.assert_array_equal(pixels(decode(tmp_path / "deep.png")), PHOTO)


@pytest.mark.parametrize("mode", ["RGB", "CMYK", "L"])
def test_a_jpeg_is_decoded_to_rgb(tmp_path: Path, mode: str):
    flat = np.full((32, 32, 3), (160, 160, 160) if mode == "L" else (200, 120, 40), np.uint8)
    (tmp_path / "eye.jpg").write_bytes(encoded(picture(flat).convert(mode), "JPEG", quality=95))
    assert abs(pixels(decode(tmp_path / "eye.jpg")) - flat).max() <= 3


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_upright(tmp_path: Path, orientation: int, ending: str):
    turned = {
        1: PHOTO,
        2: PHOTO[:, ::-1],
        3: PHOTO[::-1, ::-1],
        4: PHOTO[::-1],
        5: PHOTO.transpose(1, 0, 2),
        6: PHOTO[::-1].transpose(1, 0, 2),
        7: PHOTO[::-1, ::-1].transpose(1, 0, 2),
        8: PHOTO.transpose(1, 0, 2)[::-1],
    }[orientation]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = tmp_path / f"eye.{ending}"
    picture().save(path, exif=exif)
    np.testing.assert_array_equal(pixels(decode(path)), turned)


@pytest.mark.parametrize("source", [str, Path, Image.open])
def test_a_path_a_string_and_an_open_image_are_one(tmp_path: Path, source):
    saved(tmp_path, "png", picture())
    given = source(tmp_path / "it.png")
    np.testing.assert_array_equal(pixels(decode(given)), PHOTO)
    if isinstance(given, Image.Image):
        given.close()


@pytest.mark.parametrize("array", [PHOTO, GREY, PHOTO[::2, ::-1]])
def test_an_array_is_taken_as_it_is(array: NDArray[np.uint8]):
    expected = array if array.ndim == 3 else np.stack([array] * 3, axis=2)
    np.testing.assert_array_equal(pixels(decode(array)), expected)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 5, 3), np.uint8),
        np.zeros((5, 5, 3)),
        np.zeros((5, 5, 4), np.uint8),
        np.zeros((3, 5, 5), np.uint8),
        np.zeros((2, 5, 5, 3), np.uint8),
        np.zeros((), np.uint8),
    ],
    ids=["empty", "float", "four channels", "channels first", "batch", "scalar"],
)
def test_an_array_that_is_no_image_is_refused(array: NDArray[np.uint8]):
    with pytest.raises(ImageError) as caught:
        decode(array)
    assert_clear(caught.value, 6, str(array.dtype), str(array.shape))


@pytest.mark.parametrize("case", NO_IMAGES)
@pytest.mark.parametrize(("read", "kind"), [(decode, ImageError), (read_mask, MaskError)])
def test_a_file_that_is_no_image_is_refused_and_closed(tmp_path: Path, case: str, read, kind):
    blob, words = NO_IMAGES[case]
    path = tmp_path / "eye.png"
    path.write_bytes(blob())
    with pytest.raises(kind) as caught:
        read(path)
    assert_clear(caught.value, 6, str(path), words)
    assert path not in open_files()


@pytest.mark.parametrize("name", ["none.png", ".", "a\0b"])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str):
    with pytest.raises(ImageError) as caught:
        decode(tmp_path / name)
    assert_clear(caught.value, 6, str(tmp_path))


def test_an_image_of_no_pixels_is_refused():
    with pytest.raises(ImageError) as caught:
        decode(Image.new("RGB", (0, 5)))
    assert_clear(caught.value, 6, "0 x 5")


def test_an_open_image_that_is_cut_short_is_refused():
    with pytest.raises(ImageError) as caught:
        decode(Image.open(io.BytesIO(encoded(picture(), "JPEG")[:-300])))
    assert_clear(caught.value, 6, "truncated")


def test_a_thumbnail_beside_the_picture_is_left_alone(tmp_path: Path):
    picture().save(tmp_path / "it.tif", save_all=True, append_images=[picture().resize((8, 6))])
    np.testing.assert_array_equal(pixels(decode(tmp_path / "it.tif")), PHOTO)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from(["JPEG", "PNG", "TIFF"]),
    st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_damaged_bytes_give_an_image_or_an_image_error(tmp_path: Path, kind: str, damage):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    blob = bytearray(encoded(picture(), kind, exif=exif))
    for place, value in damage:
        blob[place % len(blob)] = value
    path = tmp_path / "eye"
    path.write_bytes(blob)
    try:
        assert decode(path).mode == "RGB"
    except ImageError as error:
        assert_clear(error, 6, str(path))


def test_pixels_are_normalised_channel_by_channel():
    found = normalise(PHOTO[:16, :16], PREPROCESSING)
    assert (found.shape, found.dtype) == ((3, 16, 16), np.float32)
    for channel, (mean, std) in enumerate([(0.5, 0.5), (0.25, 0.25), (0.125, 0.5)]):
        expected = (PHOTO[:16, :16, channel] / 255 - mean) / std
        np.testing.assert_allclose(found[channel], expected, atol=1e-6)


@pytest.mark.parametrize("case", MASKS)
def test_a_mask_marks_what_is_not_background(tmp_path: Path, case: str):
    ending, image = MASKS[case]
    found = read_mask(saved(tmp_path, ending, image), size=(64, 48))
    np.testing.assert_array_equal(found, MASK, strict=True)


def test_soft_edges_of_a_mask_are_cut_at_half(tmp_path: Path):
    found = read_mask(saved(tmp_path, "png", halo().convert("RGB")))
    np.testing.assert_array_equal(found, MASK)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16"])
def test_a_mask_that_is_all_black_is_empty(tmp_path: Path, mode: str):
    found = read_mask(saved(tmp_path, "png", Image.new(mode, (7, 5))))
    np.testing.assert_array_equal(found, np.zeros((5, 7), np.bool_), strict=True)


@pytest.mark.parametrize("case", NO_MASKS)
def test_an_image_that_is_no_mask_is_refused(tmp_path: Path, case: str):
    with pytest.raises(MaskError) as caught:
        read_mask(saved(tmp_path, "png", NO_MASKS[case]))
    assert_clear(caught.value, 6, "it.png", "no mask", "two values")


def test_a_mask_of_another_size_is_refused_with_both_sizes(tmp_path: Path):
    with pytest.raises(MaskError) as caught:
        read_mask(saved(tmp_path, "png", picture(MASK)), size=(48, 64))
    assert_clear(caught.value, 6, "64 x 48", "48 x 64")


@pytest.mark.parametrize(("height", "width", "size"), [(24, 36, 6), (8, 8, 8), (6, 6, 3)])
def test_a_pixel_is_marked_from_half_of_its_area_on(height: int, width: int, size: int):
    mask = np.random.default_rng(0).random((height, width)) < 0.5
    cells = mask.reshape(size, height // size, size, width // size)
    np.testing.assert_array_equal(area_mask(mask, size), cells.mean((1, 3)) >= 0.5, strict=True)


def test_image_files_are_found_by_ending_and_hidden_ones_are_not(tmp_path: Path):
    wanted = ["a.PNG", "b.jpeg", "deep/er/c.tif"]
    others = ["._a.png", "notes.txt", "deep/Thumbs.db", ".ipynb_checkpoints/a-checkpoint.png"]
    for name in wanted + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    assert image_files(tmp_path) == [tmp_path / name for name in wanted]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([0, 128, 255], "that is no mask of one target"),
        ([255, 255, 255], "it may be inverted"),
    ],
)
def test_disc_and_cup_maps_and_inverted_masks_are_refused(
    tmp_path: Path, values: list[int], reason: str
):
    pixels = np.repeat(np.array(values, np.uint8), 40).reshape(3, 40)
    with pytest.raises(MaskError, match=reason):
        read_mask(saved(tmp_path, "png", Image.fromarray(pixels)))


def test_a_mask_drawn_in_black_on_transparent_ground_is_read_from_its_alpha(tmp_path: Path):
    alpha = np.zeros((6, 8), np.uint8)
    alpha[2:4, 3:6] = 255
    layer = Image.new("RGBA", (8, 6), (0, 0, 0, 0))
    layer.putalpha(Image.fromarray(alpha))
    np.testing.assert_array_equal(read_mask(saved(tmp_path, "png", layer)), alpha > 0)


def test_twelve_bits_in_sixteen_are_refused(tmp_path: Path):
    deep = Image.fromarray((np.arange(48, dtype=np.uint16) * 80).reshape(6, 8))
    with pytest.raises(ImageError, match="12-bit data"):
        decode(saved(tmp_path, "png", deep))
