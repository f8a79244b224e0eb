import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support_core import fundus

from retq_hub.augment import NO_AUGMENTATION, OVERSIZE, Augmentation, View
from retq_hub.geometry import square
from retq_hub.spec import Preprocessing

S = 64


def preprocessing(size_px: int = S) -> Preprocessing:
    return Preprocessing(
        size_px=size_px,
        resize="bicubic",
        antialias=True,
        aspect="stretch",
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
    )


def corner_mark(side: int) -> NDArray[np.bool_]:
    """An L right of and above the centre, as no flip or turn leaves it."""
    mask = np.zeros((side, side), dtype=np.bool_)
    mask[side // 8 : side // 2, side * 9 // 16 : side * 11 // 16] = True
    mask[side * 3 // 8 : side // 2, side * 9 // 16 : side * 7 // 8] = True
    return mask


def as_image(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.repeat(mask[..., None].astype(np.uint8) * 255, 3, axis=2)


VIEWS = {
    "rotation": View(angle_deg=23),
    "mirror": View(mirrored=True),
    "upended": View(upended=True),
    "out": View(zoom=0.8),
    "in": View(zoom=1.2),
    "all": View(angle_deg=-29, mirrored=True, upended=True, zoom=0.9),
}


@pytest.mark.parametrize("factor", [1, OVERSIZE])
@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())
def test_an_image_that_is_its_mask_stays_its_mask(view: View, factor: int) -> None:
    mask = corner_mark(factor * S)
    seen = view.image(as_image(mask), preprocessing())[..., 0] >= 128
    marked = view.masks(mask[None], S)[0]
    assert marked.any()
    assert (seen != marked).mean() < 0.005
    assert (marked != corner_mark(S)).mean() > 0.01


@pytest.mark.parametrize("factor", [1, OVERSIZE])
def test_flips_are_exact(factor: int) -> None:
    pixels, mask = fundus(factor * S, factor * S), corner_mark(factor * S)
    plain = View().image(pixels, preprocessing())
    mirrored = View(mirrored=True)
    np.testing.assert_array_equal(mirrored.image(pixels, preprocessing()), plain[:, ::-1])
    np.testing.assert_array_equal(mirrored.masks(mask[None], S)[0], corner_mark(S)[:, ::-1])
    upended = View(upended=True)
    np.testing.assert_array_equal(upended.image(pixels, preprocessing()), plain[::-1])
    np.testing.assert_array_equal(upended.masks(mask[None], S)[0], corner_mark(S)[::-1])


def test_a_quarter_turn_is_counter_clockwise() -> None:
    mask = corner_mark(S)
    np.testing.assert_array_equal(View(angle_deg=90).masks(mask[None], S)[0], np.rot90(mask))


def test_the_flip_comes_before_the_rotation() -> None:
    mask = corner_mark(S)
    both = View(angle_deg=90, mirrored=True).masks(mask[None], S)[0]
    np.testing.assert_array_equal(both, np.rot90(mask[:, ::-1]))


def test_zoom_is_about_the_centre_and_leaves_a_black_rim() -> None:
    full = np.ones((1, S, S), dtype=np.bool_)
    rows, columns = np.nonzero(View(zoom=0.5).masks(full, S)[0])
    assert (rows.min(), rows.max()) == (columns.min(), columns.max()) == (S // 4, S * 3 // 4 - 1)
    image = View(zoom=0.5).image(as_image(full[0]), preprocessing())
    assert not image[: S // 4 - 2].any()


def test_masks_of_several_targets_keep_their_places() -> None:
    masks = np.stack([corner_mark(S), np.zeros((S, S), dtype=np.bool_), ~corner_mark(S)])
    found = View(angle_deg=10).masks(masks, S)
    assert found.shape == (3, S, S)
    np.testing.assert_array_equal(found[0], View(angle_deg=10).masks(masks[:1], S)[0])
    assert not found[1].any()


def test_no_augmentation_gives_the_input_exactly() -> None:
    view = NO_AUGMENTATION.draw(seed=3, epoch=5, number=7)
    assert view == View()
    pixels, mask = fundus(S, S), corner_mark(S)
    np.testing.assert_array_equal(view.image(pixels, preprocessing()), pixels)
    np.testing.assert_array_equal(view.masks(mask[None], S)[0], mask)


def test_brightness_and_contrast_do_what_they_say() -> None:
    pixels = np.full((S, S, 3), 100, dtype=np.uint8)
    pixels[: S // 2] = 60
    bright = View(brightness=1.5).image(pixels, preprocessing())
    assert (bright.min(), bright.max()) == (90, 150)
    flat = View(contrast=0.5).image(pixels, preprocessing())
    assert (flat.min(), flat.max()) == (70, 90)


def test_a_view_depends_on_seed_epoch_and_image_alone() -> None:
    kinds = Augmentation()
    first = kinds.draw(seed=1, epoch=2, number=3)
    kinds.draw(seed=9, epoch=9, number=9)
    assert kinds.draw(seed=1, epoch=2, number=3) == first
    others = {kinds.draw(seed=1, epoch=2, number=4), kinds.draw(seed=1, epoch=3, number=3)}
    assert first not in others | {kinds.draw(seed=2, epoch=2, number=3)}


def test_views_fill_their_ranges_and_keep_to_them() -> None:
    views = [Augmentation().draw(seed=0, epoch=1, number=number) for number in range(400)]
    assert 0.4 < np.mean([one.mirrored for one in views]) < 0.6
    assert 0.4 < np.mean([one.upended for one in views]) < 0.6
    for name, middle, reach in (
        ("angle_deg", 0, 30),
        ("zoom", 1, 0.2),
        ("brightness", 1, 0.2),
        ("contrast", 1, 0.2),
    ):
        values = (np.array([getattr(one, name) for one in views]) - middle) / reach
        assert values.min() < -0.95, name
        assert values.max() > 0.95, name
        assert np.abs(values).max() <= 1, name


def test_warping_a_larger_square_keeps_the_view_sharper() -> None:
    rng = np.random.default_rng(0)
    large = rng.integers(0, 255, (OVERSIZE * S, OVERSIZE * S, 3)).astype(np.uint8)
    small = View().image(large, preprocessing())
    assert np.array_equal(small, square(Image.fromarray(large), preprocessing(), S))
    view, inside = View(angle_deg=20), slice(S // 4, S * 3 // 4)
    from_large = view.image(large, preprocessing())[inside, inside].std()
    from_small = view.image(small, preprocessing())[inside, inside].std()
    assert from_large > 1.05 * from_small
