import numpy as np
import pytest
from PIL import Image
from support_core import fundus

from retq_hub.channels import N_CHANNELS, SIDE, pixel_channels


def spot(colour: tuple[int, int, int], *, radius: int = 6) -> Image.Image:
    """A grey picture of 392 x 392 pixels with a spot at row 100, column 300."""
    y, x = np.mgrid[:392, :392]
    inside = (y - 100) ** 2 + (x - 300) ** 2 <= radius**2
    return Image.fromarray(np.where(inside[..., None], colour, 120).astype(np.uint8))


def maps(image: Image.Image) -> np.ndarray:
    return pixel_channels(image).reshape(SIDE, SIDE, N_CHANNELS)


@pytest.mark.parametrize(("height", "width"), [(48, 64), (392, 392), (500, 300)])
def test_shape_and_type_do_not_depend_on_the_image(height: int, width: int):
    found = pixel_channels(Image.fromarray(fundus(height, width)))
    assert found.shape == (SIDE * SIDE, N_CHANNELS) == (38416, 20)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert (found >= 0).all()


def test_the_same_image_gives_the_same_bytes():
    image = Image.fromarray(fundus(100, 100))
    assert pixel_channels(image).tobytes() == pixel_channels(image.copy()).tobytes()


@pytest.mark.parametrize("level", [0, 7, 128, 255])
def test_a_flat_image_gives_zeros(level: int):
    flat = Image.fromarray(np.full((60, 80, 3), level, np.uint8))
    np.testing.assert_allclose(pixel_channels(flat), 0, atol=1e-4)


def test_a_bright_and_a_dark_spot_are_told_apart_at_their_place():
    """Channels come in pairs, brighter and darker, for each scale: first red, then green."""
    for colour, brighter, darker in [((200, 200, 200), 0, 1), ((40, 40, 40), 1, 0)]:
        found = maps(spot(colour))
        for pair in (*range(0, 8, 2), *range(8, 16, 2)):
            peak = np.unravel_index(found[..., pair + brighter].argmax(), (SIDE, SIDE))
            assert np.hypot(peak[0] - 50, peak[1] - 150) < 4
            assert found[50, 150, pair + brighter] > 0.1
            assert found[50, 150, pair + darker] == 0
        assert found[150, 40].max() < 1e-3


def test_red_and_green_are_read_apart():
    found = maps(spot((200, 120, 120)))
    assert found[50, 150, :8].max() > 0.1
    assert found[50, 150, 8:].max() < 1e-3
    found = maps(spot((120, 200, 120)))
    assert found[50, 150, :8].max() < 1e-3
    assert found[50, 150, 8:16].max() > 0.1


def test_edges_are_steep_where_the_spot_ends():
    steepness = maps(spot((120, 200, 120), radius=30))[..., 16]
    peak = np.unravel_index(steepness.argmax(), (SIDE, SIDE))
    assert np.hypot(peak[0] - 50, peak[1] - 150) == pytest.approx(15, abs=1.5)
    assert steepness[50, 150] < 0.1 * steepness.max()
