from itertools import product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support_core import assert_clear
from torch import Tensor

from retq_hub.errors import UsageError
from retq_hub.tiling import PassKey, cut, stitch

PATCH = 4

KEYS = [
    PassKey(16, tiles, norm=True, overlap_px=overlap)
    for tiles, overlap in [(1, 0), (2, 0), (2, 4), (3, 8), (4, 4)]
]


def means(tiles: NDArray[np.uint8]) -> Tensor:
    """What a backbone that averages its patches would give: (T, N, 3)."""
    T, size = tiles.shape[:2]
    g = size // PATCH
    cells = tiles.reshape(T, g, PATCH, g, PATCH, 3).mean(axis=(2, 4))
    return torch.from_numpy(cells.reshape(T, g * g, 3)).float()


def picture(side: int) -> NDArray[np.uint8]:
    """A ramp in each direction, and noise: no place is like its mirror image."""
    y, x = np.mgrid[:side, :side]
    noise = np.random.default_rng(0).integers(0, 256, (side, side))
    return np.stack([255 * y // side, 255 * x // side, noise], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_stitched_patch_means_are_those_of_the_uncut_image(key: PassKey):
    pixels = picture(key.side_px)
    tiles = cut(pixels, key)
    assert tiles.shape == (key.tiles**2, 16, 16, 3)
    G = key.grid(PATCH)
    whole = pixels.reshape(G, PATCH, G, PATCH, 3).mean(axis=(1, 3))
    found = stitch(means(tiles), key, PATCH)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.from_numpy(whole).float(), atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_weights_sum_to_one_over_every_cell(key: PassKey):
    tokens = torch.full((key.tiles**2, 16, 2), 3.0)
    found = stitch(tokens, key, PATCH)
    torch.testing.assert_close(found, torch.full_like(found, 3.0))


def naive_blend(tokens: Tensor, key: PassKey) -> Tensor:
    """Weigh each tile by a ramp over the cells that it shares, one cell after the other."""
    g, overlap, G = key.size_px // PATCH, key.overlap_px // PATCH, key.grid(PATCH)
    step = g - overlap
    result = torch.zeros(G, G, tokens.shape[-1])
    for down, right in product(range(key.tiles), repeat=2):
        for y, x in product(range(g), repeat=2):
            weight = 1.0
            for number, place in ((down, y), (right, x)):
                if number > 0 and place < overlap:
                    weight *= (place + 0.5) / overlap
                if number < key.tiles - 1 and place >= step:
                    weight *= 1 - (place - step + 0.5) / overlap
            token = tokens[down * key.tiles + right, y * g + x]
            result[down * step + y, right * step + x] += weight * token
    return result


@pytest.mark.parametrize("key", [key for key in KEYS if key.tiles > 1], ids=str)
def test_tiles_that_disagree_are_blended_by_ramps(key: PassKey):
    tokens = torch.randn(key.tiles**2, 16, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(stitch(tokens, key, PATCH), naive_blend(tokens, key))


@pytest.mark.parametrize(
    ("key", "side", "grid"),
    [
        (PassKey(392, 1, norm=True), 392, 28),
        (PassKey(392, 2, norm=True), 784, 56),
        (PassKey(392, 3, norm=True, overlap_px=56), 1064, 76),
    ],
)
def test_side_and_grid(key: PassKey, side: int, grid: int):
    assert (key.side_px, key.grid(14)) == (side, grid)


@pytest.mark.parametrize(
    ("size", "overlap", "words"),
    [
        (390, 0, ("390 pixels", "14")),
        (392, 15, ("overlap of 15", "14")),
        (392, 210, ("392 pixels cannot overlap by 210", "half")),
        (392, -14, ("cannot overlap by -14",)),
    ],
)
def test_sizes_off_the_patches_and_overlaps_too_large_are_refused(
    size: int, overlap: int, words: tuple[str, ...]
):
    with pytest.raises(UsageError) as caught:
        PassKey(size, 2, norm=True, overlap_px=overlap).grid(14)
    assert_clear(caught.value, 2, *words)
