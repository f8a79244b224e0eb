"""Images on squares and back: aspects, round trips, the middle; the tiny backbone so fed."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from support_core import assert_clear, fundus
from tiny import Tiny

from retq_hub.backbone import Backbone, PassKey
from retq_hub.errors import ImageError
from retq_hub.geometry import Frame, centre, frame, is_cropped, onto_image, onto_square, square
from retq_hub.images import area_mask
from retq_hub.spec import Preprocessing
from retq_hub.views import FLIPS

PHOTO = fundus()
STRETCH = Preprocessing(
    size_px=16,
    resize="bicubic",
    antialias=True,
    aspect="stretch",
    mean=(0.5, 0.25, 0.125),
    std=(0.5, 0.25, 0.5),
)
PAD = replace(STRETCH, aspect="pad")
CROP = replace(STRETCH, aspect="crop")

SIDES = st.integers(1, 300)


def picture(pixels: NDArray[np.uint8] = PHOTO) -> Image.Image:
    return Image.fromarray(pixels)


def ramp(width: int, height: int) -> Image.Image:
    """Red says how far to the right a pixel is, green how far down, from 0 to 255."""
    y, x = np.mgrid[:height, :width]
    across, down = (x + 0.5) / width * 255, (y + 0.5) / height * 255
    return Image.fromarray(np.stack([across, down, 0 * x], axis=-1).round().astype(np.uint8))


def test_an_image_is_stretched_to_a_square_and_averaged():
    stripes = np.zeros((64, 128, 3), np.uint8)
    stripes[:, ::2] = 255
    found = square(picture(stripes), STRETCH, 16)
    assert (found.shape, found.dtype) == ((16, 16, 3), np.uint8)
    assert abs(found[:, 1:-1].astype(int) - 127).max() <= 2


def test_colours_become_luminance_where_a_backbone_wants_grey():
    found = square(picture(PHOTO), replace(STRETCH, grey=True), 16)
    expected = square(picture(PHOTO).convert("L").convert("RGB"), STRETCH, 16)
    assert np.array_equal(found, expected)
    assert np.array_equal(found[..., 0], found[..., 2])


@pytest.mark.parametrize("resize", ["bicubic", "bilinear"])
def test_values_may_keep_their_fractions(resize: str):
    whole, image = replace(STRETCH, resize=resize), ramp(100, 61)
    found = square(image, replace(whole, unrounded=True), 16)
    assert found.dtype == np.float32
    assert (found[..., :2] != found[..., :2].round()).mean() > 0.8
    np.testing.assert_allclose(found, square(image, whole, 16), atol=1)


def test_a_padded_image_keeps_its_aspect_above_or_left_of_black():
    wide = square(ramp(200, 90), PAD, 64)
    assert wide[:28].any(axis=2).all()
    assert not wide[28:].any()
    np.testing.assert_array_equal(wide[:28], ramp(200, 90).resize((64, 28), Image.Resampling(3)))
    high = square(ramp(90, 200), PAD, 64)
    assert high[:, :28].any(axis=2).all()
    assert not high[:, 28:].any()


@given(SIDES, SIDES, st.integers(1, 64))
def test_a_frame_keeps_the_aspect_to_a_pixel(width: int, height: int, side_px: int):
    found = frame((width, height), PAD, side_px)
    assert max(found.width, found.height) == side_px
    for got, side in ((found.width, width), (found.height, height)):
        exact = side * side_px / max(width, height)
        assert max(1, exact - 1) <= got <= max(1, exact)


@pytest.mark.parametrize("aspect", ["stretch", "crop"])
def test_tokens_of_all_others_are_of_a_full_square(aspect: str):
    place = frame((200, 90), replace(STRETCH, aspect=aspect), 64)
    field = torch.randn(4, 4, 2)
    assert place == Frame(64, 64, 64)
    assert onto_image(field, place) is field


@settings(deadline=None)
@given(SIDES, SIDES, st.integers(2, 24))
def test_a_point_comes_back_to_its_place(width: int, height: int, cells: int):
    """Cells that say where on the square they lie give a grid that says where on the image."""
    place = frame((width, height), PAD, 8 * cells)
    middles = torch.arange(cells) + 0.5
    there = torch.stack(torch.meshgrid(middles, middles, indexing="ij"), dim=-1)
    found = onto_image(there, place)
    for axis, filled in enumerate((place.height, place.width)):
        expected = middles * filled / place.side_px
        shown = -(-filled * cells // place.side_px)
        expected = expected.clamp(0.5, shown - 0.5)
        lines = found[..., axis].movedim(axis, -1)
        torch.testing.assert_close(lines, expected.expand_as(lines), atol=1e-4, rtol=0)


@settings(deadline=None)
@given(SIDES, SIDES, st.randoms(use_true_random=False))
def test_a_mask_comes_back_within_a_cell(width: int, height: int, random):
    """A half plane, seen by cells of the square, ends on the image's grid where it did."""
    cells, side = 16, 128
    place = frame((width, height), PAD, side)
    if min(place.width, place.height) < side // cells:
        return
    cut = random.randrange(side)
    mask = np.zeros((side, side), dtype=bool)
    mask[:, :cut] = True
    shown = onto_square(mask, place).reshape(cells, 8, cells, 8).mean((1, 3))
    back = onto_image(torch.from_numpy(shown).float()[..., None], place)[..., 0]
    expected = area_mask(mask, cells)
    step = cells * place.side_px / place.width / cells
    middles = (np.arange(cells) + 0.5) * side / cells
    far = abs(middles - cut) > 8 * step
    # The last row may lie half in the dark beside the image.
    assert ((back[: cells // 2].numpy() > 0.5) == expected[: cells // 2])[:, far].all()


def test_what_is_beside_the_image_has_no_part_in_it():
    place = Frame(64, 41, 64)
    field = torch.ones(8, 8, 1)
    field[6:] = torch.nan
    field[:6] = 3
    found = onto_image(torch.nan_to_num(field, nan=1e6), place)
    assert torch.equal(found, torch.full((8, 8, 1), 3.0))


def test_masks_go_where_the_image_goes():
    place = frame((100, 60), PAD, 50)
    mask = np.zeros((50, 50), dtype=bool)
    mask[25:, :10] = True
    expected = np.zeros((50, 50), dtype=bool)
    expected[15:30, :10] = True
    np.testing.assert_array_equal(onto_square(mask, place), expected)
    full = Frame(50, 50, 50)
    assert onto_square(mask, full) is mask


@pytest.mark.parametrize(("width", "height"), [(100, 61), (61, 100), (60, 60), (33, 32)])
@pytest.mark.parametrize("share", [None, 0.875])
def test_the_middle_is_what_torchvision_cuts_out(width: int, height: int, share: float | None):
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

    image = Image.fromarray(fundus(height, width))
    short = int(16 / (share or 1))
    theirs = Compose([Resize(short, interpolation=InterpolationMode.BICUBIC), CenterCrop(16)])
    found = centre(image, replace(CROP, share=share))
    np.testing.assert_array_equal(found, np.asarray(theirs(image)))


def test_what_is_cropped():
    assert is_cropped((100, 61), CROP)
    assert not is_cropped((61, 61), CROP)
    assert is_cropped((61, 61), replace(CROP, share=0.875))
    assert not is_cropped((100, 61), PAD)


def test_a_strip_has_no_middle():
    with pytest.raises(ImageError) as caught:
        centre(Image.new("RGB", (2000, 10)), CROP)
    assert_clear(caught.value, 6, "2000 x 10", "32 times")


def variant(tiny: Tiny, **changes: object) -> Backbone:
    """Give the tiny backbone with another preprocessing."""
    spec = replace(tiny.spec, preprocessing=replace(tiny.spec.preprocessing, **changes))
    return Backbone(spec=spec, state=tiny.state, weights_digest=tiny.backbone.weights_digest)


@pytest.fixture
def image() -> Image.Image:
    return Image.fromarray(fundus(60, 128))


def padded(image: Image.Image) -> Image.Image:
    canvas = Image.new("RGB", (max(image.size), max(image.size)))
    canvas.paste(image)
    return canvas


@pytest.mark.parametrize("tiles", [1, 2])
def test_a_backbone_that_pads_sees_the_image_above_black(tiny, image, tiles):
    key = PassKey(64, tiles, norm=True)
    seen_so, embedding = variant(tiny, aspect="pad").tokens(image, {key: (2,)}, embed=True)
    whole, expected = tiny.backbone.tokens(padded(image), {key: (2,)}, embed=True)
    G = 4 * tiles
    place = Frame(64 * tiles, 30 * tiles, 64 * tiles)
    field = onto_image(whole[key, 2].view(G, G, -1), place).flatten(0, 1)
    torch.testing.assert_close(seen_so[key, 2], field, atol=0.05, rtol=0.05)
    torch.testing.assert_close(embedding, expected, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("view", FLIPS)
def test_a_padded_view_is_the_turned_image_padded(tiny, image, view):
    backbone = variant(tiny, aspect="pad")
    turned = Image.fromarray(np.flip(np.asarray(image), FLIPS[view]))
    plain, flipped = PassKey(64, 1, norm=True), PassKey(64, 1, norm=True, view=view)
    there, _ = backbone.tokens(turned, {plain: (2,)})
    here, _ = backbone.tokens(image, {flipped: (2,)})
    expected = there[plain, 2].view(4, 4, -1).flip(FLIPS[view]).flatten(0, 1)
    torch.testing.assert_close(here[flipped, 2], expected)


@pytest.mark.parametrize("share", [None, 0.875])
def test_a_backbone_that_crops_embeds_the_middle_and_maps_the_whole(tiny, image, share):
    key = PassKey(64, 1, norm=True)
    backbone = variant(tiny, aspect="crop", share=share)
    tokens, embedding = backbone.tokens(image, {key: (2,)}, embed=True)
    middle = Image.fromarray(centre(image, backbone.spec.preprocessing))
    whole, _ = tiny.backbone.tokens(image, {key: (2,)})
    _, expected = tiny.backbone.tokens(middle, {}, embed=True)
    assert torch.equal(tokens[key, 2], whole[key, 2])
    torch.testing.assert_close(embedding, expected)


def test_a_square_image_is_passed_through_once(tiny):
    image = Image.fromarray(fundus(80, 80))
    key = PassKey(64, 1, norm=True)
    for aspect in ("pad", "crop"):
        tokens, embedding = variant(tiny, aspect=aspect).tokens(image, {key: (2,)}, embed=True)
        whole, expected = tiny.backbone.tokens(image, {key: (2,)}, embed=True)
        assert torch.equal(tokens[key, 2], whole[key, 2])
        assert torch.equal(embedding, expected)
