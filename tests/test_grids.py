import pytest
import torch
import torch.nn.functional as F
from problems import brought

from retq_hub.grids import interpolation_matrix, logit_map, pick, upsample


@pytest.mark.parametrize("size", [1, 2, 5, 12, 31])
@pytest.mark.parametrize("grid", [1, 2, 5, 28])
def test_upsampling_is_torchs_bilinear_interpolation(size: int, grid: int):
    maps = torch.randn(2, 3, grid, grid, generator=torch.Generator().manual_seed(size * grid))
    expected = F.interpolate(maps, (size, 2 * size + 1), mode="bilinear", align_corners=False)
    torch.testing.assert_close(upsample(maps, size, 2 * size + 1), expected)


@pytest.mark.parametrize(("size", "grid"), [(1, 1), (7, 3), (392, 28), (3, 7)])
def test_each_sample_is_a_mean_of_at_most_two_neighbours(size: int, grid: int):
    matrix = interpolation_matrix(size, grid)
    assert matrix.shape == (size, grid)
    assert matrix.dtype == torch.float32
    assert (matrix >= 0).all()
    torch.testing.assert_close(matrix.sum(1), torch.ones(size))
    for row in matrix:
        found = row.nonzero().ravel()
        assert len(found) <= 2
        assert found[-1] - found[0] <= 1


def test_leading_axes_of_maps_are_kept():
    assert upsample(torch.zeros(4, 4), 8, 6).shape == (8, 6)
    assert upsample(torch.zeros(2, 3, 5, 4, 4), 8, 6).shape == (2, 3, 5, 8, 6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_logits_are_float32_dot_products_row_by_row(dtype: torch.dtype):
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(2, 9, 5, generator=generator).to(dtype)
    vector, bias = torch.randn(3, 5, generator=generator), torch.randn(3, generator=generator)
    logits = logit_map([tokens], vector, bias)
    assert logits.shape == (2, 3, 3, 3)
    assert logits.dtype == torch.float32
    for image in range(2):
        for target in range(3):
            for token in range(9):
                expected = tokens[image, token].float() @ vector[target] + bias[target]
                torch.testing.assert_close(logits[image, target, token // 3, token % 3], expected)


def blocks_of(*sizes: tuple[int, int], images: int = 2) -> list[torch.Tensor]:
    """Random (B, g * g, D) tokens for each (g, D)."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(images, g * g, D, generator=generator) for g, D in sizes]


GRIDS = [((4, 3),), ((6, 2), (3, 4)), ((2, 3), (6, 1), (3, 2)), ((5, 2), (7, 3), (7, 1))]


@pytest.mark.parametrize("sizes", GRIDS)
def test_several_grids_give_what_upsampled_tokens_give(sizes: tuple[tuple[int, int], ...]):
    blocks = blocks_of(*sizes)
    G, D = max(g for g, _ in sizes), sum(width for _, width in sizes)
    vector, bias = torch.randn(2, D), torch.randn(2)
    tokens = torch.cat([brought(block, G) for block in blocks], dim=2)
    expected = (tokens @ vector.T + bias).transpose(1, 2).reshape(2, 2, G, G)
    torch.testing.assert_close(logit_map(blocks, vector, bias), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("sizes", GRIDS)
def test_picked_tokens_give_the_logits_of_their_cells(sizes: tuple[tuple[int, int], ...]):
    blocks = blocks_of(*sizes, images=1)
    G, D = max(g for g, _ in sizes), sum(width for _, width in sizes)
    vector, bias = torch.randn(3, D), torch.randn(3)
    cells = torch.tensor([0, G * G - 1, G, 3, 3])
    picked = pick([block[0] for block in blocks], cells)
    assert (picked.shape, picked.dtype) == ((5, D), torch.float32)
    expected = logit_map(blocks, vector, bias)[0].flatten(1)[:, cells].T
    torch.testing.assert_close(picked @ vector.T + bias, expected, atol=1e-5, rtol=1e-4)


def test_half_precision_blocks_are_multiplied_in_float32():
    blocks = [block.half() for block in blocks_of((4, 3), (2, 2))]
    vector, bias = torch.randn(1, 5), torch.randn(1)
    full = logit_map([block.float() for block in blocks], vector, bias)
    assert torch.equal(logit_map(blocks, vector, bias), full)
