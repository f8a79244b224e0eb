from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from retq_hub.grids import upsample
from retq_hub.guided import Lead


def window_mean(image: np.ndarray, radius: int) -> np.ndarray:
    """Average over a window, one pixel after the other."""
    height, width = image.shape
    result = np.empty_like(image)
    for y in range(height):
        for x in range(width):
            window = image[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1]
            result[y, x] = window.mean()
    return result


def naive(
    logits: np.ndarray, image: np.ndarray, radius: int, epsilon: float
) -> tuple[np.ndarray, np.ndarray]:
    """The guided filter's averaged coefficients as the paper's algorithm 1 gives them."""
    means = window_mean(image, radius), window_mean(logits, radius)
    covariance = window_mean(image * logits, radius) - means[0] * means[1]
    variance = window_mean(image * image, radius) - means[0] ** 2
    a = covariance / (variance + epsilon)
    return window_mean(a, radius), window_mean(means[1] - a * means[0], radius)


def sharpen(grid: Tensor, image: Tensor, *, radius_px: int, epsilon: float) -> Tensor:
    lead = Lead(image.numpy(), radius_px=radius_px, epsilon=epsilon)
    return torch.from_numpy(lead(grid.numpy()))


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("radius", "epsilon"), [(1, 1e-3), (2, 1e-2), (4, 1.0), (9, 0.1)])
def test_it_is_the_guided_filter_of_the_paper(radius: int, epsilon: float):
    grid, image = 4 * random(2, 5, 5) - 2, random(15, 15, seed=1)
    found = sharpen(grid, image, radius_px=radius, epsilon=epsilon)
    assert (found.shape, found.dtype) == ((2, 15, 15), torch.float32)
    for one, other in zip(found, upsample(grid, 15, 15), strict=True):
        a, b = naive(other.double().numpy(), image.double().numpy(), radius, epsilon)
        expected = a * image.double().numpy() + b
        np.testing.assert_allclose(one.numpy(), expected, atol=1e-3, rtol=1e-3)


def test_a_flat_image_leaves_a_mean_over_the_window():
    grid, flat = random(1, 6, 6), torch.full((18, 18), 0.4)
    found = sharpen(grid, flat, radius_px=2, epsilon=1e-3)
    once = window_mean(upsample(grid, 18, 18)[0].double().numpy(), 2)
    np.testing.assert_allclose(found[0].numpy(), window_mean(once, 2), atol=1e-3)


def test_an_edge_of_the_image_sharpens_the_map():
    """A step at column 21, where the grid's cells of 8 pixels can only rise slowly."""
    image = torch.zeros(48, 48)
    image[:, 21:] = 1
    cells = F.avg_pool2d(image[None], 8)
    grid = 8 * cells - 4
    plain = upsample(grid, 48, 48)[0, 24]
    led = sharpen(grid, image, radius_px=6, epsilon=1e-4)[0, 24]
    assert led[22] - led[19] > 2 * (plain[22] - plain[19])
    truth = image[24] > 0.5
    assert int(((led > 0) != truth).sum()) <= int(((plain > 0) != truth).sum())


def test_targets_are_filtered_apart():
    grid, image = random(3, 4, 4), random(12, 12, seed=1)
    settings = {"radius_px": 2, "epsilon": 1e-2}
    together = sharpen(grid, image, **settings)
    for number in range(3):
        torch.testing.assert_close(together[number], sharpen(grid[[number]], image, **settings)[0])


def test_one_filter_serves_several_threads():
    lead = Lead(random(60, 60, seed=1).numpy(), radius_px=3, epsilon=1e-2)
    grids = random(40, 1, 9, 9).numpy()
    alone = [lead(grid) for grid in grids]
    with ThreadPoolExecutor(4) as pool:
        for one, other in zip(alone, pool.map(lead, grids), strict=True):
            np.testing.assert_array_equal(one, other)
