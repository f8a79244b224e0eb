"""Smoothing is what scipy computes, up to rounding."""

import numpy as np
import pytest
from scipy import ndimage

from retq_hub.smoothing import smoothed, steepness


@pytest.mark.parametrize("size", [1, 5, 57, 392])
@pytest.mark.parametrize("sigma", [0.7, 1.5, 3, 6, 12])
def test_smoothing_and_steepness_are_those_of_scipy(size: int, sigma: float) -> None:
    image = np.random.default_rng(size).random((size, size), dtype=np.float32)
    expected = ndimage.gaussian_filter(image.astype(np.float64), sigma)
    np.testing.assert_allclose(smoothed(image, sigma), expected, atol=1e-6)
    expected = ndimage.gaussian_gradient_magnitude(image.astype(np.float64), sigma)
    np.testing.assert_allclose(steepness(image, sigma), expected, atol=1e-6)
    assert smoothed(image, sigma).dtype == steepness(image, sigma).dtype == np.float32


def test_one_point_spreads_as_a_bell_that_keeps_its_sum() -> None:
    image = np.zeros((64, 64), dtype=np.float32)
    image[20, 30] = 1
    found = smoothed(image, 2)
    assert found.sum() == pytest.approx(1, abs=1e-6)
    assert np.unravel_index(found.argmax(), found.shape) == (20, 30)
    assert found[20, 32] / found[20, 30] == pytest.approx(np.exp(-0.5), abs=1e-4)
    assert found[29, 30] == 0
