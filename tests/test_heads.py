import pytest
import torch
import torch.nn.functional as F

from retq_hub.heads import interpolation_matrix, logit_map, upsample


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
    logits = logit_map(tokens, vector, bias)
    assert logits.shape == (2, 3, 3, 3)
    assert logits.dtype == torch.float32
    for image in range(2):
        for target in range(3):
            for token in range(9):
                expected = tokens[image, token].float() @ vector[target] + bias[target]
                torch.testing.assert_close(logits[image, target, token // 3, token % 3], expected)
