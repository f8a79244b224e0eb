import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from retq_hub.views import FLIPS, VIEWS, placed_back, seen


def picture(side: int = 40) -> NDArray[np.uint8]:
    """A ramp in each direction, and noise."""
    y, x = np.mgrid[:side, :side]
    noise = np.random.default_rng(0).integers(60, 180, (side, side))
    return np.stack([200 * y // side, 200 * x // side, noise], axis=-1).astype(np.uint8)


def cells(pixels: NDArray[np.uint8], patch: int) -> torch.Tensor:
    """Mean colour of each cell: what a backbone might say of it, (G, G, 3)."""
    G = len(pixels) // patch
    means = pixels.reshape(G, patch, G, patch, 3).mean(axis=(1, 3))
    return torch.from_numpy(means).float()


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_a_picture_of_the_same_size_and_leaves_the_image_alone(view: str):
    pixels = picture()
    found = seen(pixels, view)
    assert (found.shape, found.dtype) == (pixels.shape, np.uint8)
    np.testing.assert_array_equal(pixels, picture())
    assert (view == "plain") is bool((found == pixels).all())


@pytest.mark.parametrize("view", ["plain", *FLIPS])
def test_tokens_of_a_flip_come_back_to_their_places(view: str):
    pixels = picture()
    back = placed_back(cells(seen(pixels, view), 4), view)
    torch.testing.assert_close(back, cells(pixels, 4))


def test_tokens_of_the_smaller_image_come_back_to_their_places():
    """The colours of a smooth image, but for the border that black bleeds into."""
    y, x = np.mgrid[:200, :200]
    smooth = np.stack([y, x, (x + y) // 2], axis=-1).astype(np.uint8)
    back = placed_back(cells(seen(smooth, "smaller"), 10), "smaller")
    inner = slice(2, -2)
    expected = cells(smooth, 10)
    assert (back[inner, inner] - expected[inner, inner]).abs().max() < 4


@pytest.mark.parametrize(
    ("view", "change"),
    [
        ("brighter", lambda pixels, mean: pixels * 1.2),
        ("darker", lambda pixels, mean: pixels * 0.8),
        ("contrasted", lambda pixels, mean: (pixels - mean) * 1.25 + mean),
        ("faded", lambda pixels, mean: (pixels - mean) * 0.8 + mean),
    ],
)
def test_light_and_contrast_change_and_places_do_not(view, change):
    pixels = picture().astype(np.float64)
    expected = change(pixels, pixels.mean(axis=(0, 1))).clip(0, 255)
    np.testing.assert_allclose(seen(picture(), view), expected, atol=0.51)
    field = cells(picture(), 4)
    assert torch.equal(placed_back(field, view), field)


def test_what_is_too_bright_or_too_dark_is_cut():
    white = np.full((8, 8, 3), 250, np.uint8)
    assert (seen(white, "brighter") == 255).all()
    half = np.zeros((8, 8, 3), np.uint8)
    half[:4] = 255
    assert set(np.unique(seen(half, "contrasted")).tolist()) == {0, 255}


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_of_an_oblong_image_with_fractions(view: str):
    pixels = picture()[:30]
    found = seen(pixels + np.float32(0.25), view)
    assert found.shape == pixels.shape
    np.testing.assert_allclose(found, seen(pixels, view).astype(np.float32), atol=1.01)
