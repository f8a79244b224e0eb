import pytest
import torch
from problems import Held, Problem, make_problem, naive_loss, plain
from torch import Tensor

from retq_hub.fit import moments
from retq_hub.grids import logit_map
from retq_hub.losses import CrossEntropy, Loss, SoftDice, SoftmaxEntropy

SHAPES: dict[str, dict[str, object]] = {
    "one grid": {"grids": (3,), "widths": (4,), "size": 10},
    "one cell": {"n": 2, "grids": (1,), "widths": (2,), "size": 3},
    "pixels no multiple of cells": {"n": 3, "grids": (4,), "widths": (3,), "size": 15},
    "two grids": {"grids": (6, 3), "widths": (2, 3), "size": 24},
    "coarse beside fine, three targets": {
        "grids": (2, 7),
        "widths": (3, 2),
        "size": 20,
        "targets": 3,
    },
    "finer than the masks": {"grids": (8,), "widths": (3,), "size": 6},
}


def somewhere(problem: Problem, *, seed: int = 7) -> Tensor:
    """A theta far from zero and from any optimum."""
    generator = torch.Generator().manual_seed(seed)
    shape = (problem.masks.shape[1], sum(problem.source.widths) + 1)
    return torch.randn(shape, generator=generator, dtype=torch.float64) / 2


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("soft", [True, False], ids=["soft", "hard"])
def test_loss_and_slope_are_autograds_on_upsampled_tokens(shape: str, soft: bool):
    problem = make_problem(**SHAPES[shape])
    if soft:
        shares = torch.rand(problem.masks.shape, generator=torch.Generator().manual_seed(1))
        problem = Problem(problem.blocks, shares)
    theta, images = somewhere(problem), [1, 0]
    loss, slope = problem.objective(l2=0.01).slope(theta, images)

    def naive(theta: Tensor) -> Tensor:
        return naive_loss(theta, problem, 0.01, images)

    assert loss == pytest.approx(float(naive(theta)), abs=1e-6)
    expected = torch.autograd.functional.jacobian(naive, theta)
    torch.testing.assert_close(slope, expected, atol=2e-6, rtol=1e-5)


def exact_hessian(problem: Problem, theta: Tensor, images: list[int]) -> Tensor:
    """Give autograd's (C, D + 1, D + 1) second derivatives, each target by itself."""
    whole = torch.autograd.functional.hessian(
        lambda theta: naive_loss(theta, problem, 0.0, images), theta
    )
    return torch.stack([whole[number, :, number] for number in range(len(theta))])


@pytest.mark.parametrize("shape", ["one grid", "two grids", "coarse beside fine, three targets"])
def test_the_curvature_is_close_to_the_exact_one(shape: str):
    problem = make_problem(**SHAPES[shape])
    theta = somewhere(problem)
    objective = problem.objective(l2=0.0)
    found = objective.hessian(objective.curvature(theta, [[0, 1]]), 2)
    torch.testing.assert_close(found, found.transpose(1, 2))
    assert (torch.linalg.eigvalsh(found) > 0).all()
    exact = exact_hessian(problem, theta, [0, 1])
    for one, other in zip(found, exact, strict=True):
        assert (one - other).norm() < 0.25 * other.norm()
        assert torch.trace(one) == pytest.approx(float(torch.trace(other)), rel=0.2)


def test_the_curvature_is_exact_where_all_pixels_weigh_the_same_and_are_drawn():
    problem = make_problem(n=3, grids=(4,), widths=(3,), size=8)
    theta = torch.zeros(1, 4, dtype=torch.float64)
    objective = problem.objective(l2=0.0)
    found = objective.hessian(objective.curvature(theta, [[0], [1, 2]]), 3)
    exact = exact_hessian(problem, theta, [0, 1, 2])
    torch.testing.assert_close(found, exact, atol=1e-5, rtol=1e-4)


def test_groups_of_images_share_the_curvature():
    problem = make_problem(grids=(6, 3), widths=(2, 3))
    objective, theta = problem.objective(), somewhere(problem)
    (whole,) = objective.curvature(theta, [[0, 1, 2, 3]])
    parts = objective.curvature(theta, [[2], [0, 3], [1]])
    torch.testing.assert_close(torch.stack(parts).sum(0), whole)
    assert torch.equal(
        torch.stack(parts), torch.stack(objective.curvature(theta, [[2], [0, 3], [1]]))
    )


@pytest.mark.parametrize("loss", [SoftmaxEntropy(), SoftDice()], ids=["softmax", "dice"])
def test_the_slope_of_other_losses_is_their_difference_quotient(loss: Loss):
    problem = make_problem(grids=(4, 2), widths=(2, 2), targets=2, exclusive=True)
    objective, theta = problem.objective(loss=loss), somewhere(problem)
    _, slope = objective.slope(theta, range(4))
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        way = torch.randn(theta.shape, generator=generator, dtype=torch.float64)
        ahead, behind = (objective.slope(theta + step * way, range(4))[0] for step in (1e-3, -1e-3))
        assert (ahead - behind) / 2e-3 == pytest.approx(float((slope * way).sum()), abs=1e-3)


def test_the_start_is_the_best_constant():
    problem = make_problem(targets=2)
    objective = problem.objective()
    theta = objective.start([0, 2])
    assert not theta[:, :-1].any()
    shares = problem.masks[[0, 2]].double().mean((0, 2, 3))
    torch.testing.assert_close(theta[:, -1].sigmoid(), shares)
    assert objective.slope(theta, [0, 2])[1][:, -1].abs().max() < 1e-7


def test_more_images_than_masks_begin_the_masks_anew():
    once = make_problem(n=3)
    (tokens,) = once.blocks
    views = Problem((torch.cat([tokens, tokens + 0.1]),), once.masks)
    apart = Problem(views.blocks, torch.cat([once.masks, once.masks]))
    theta = somewhere(once)
    for one, other in zip(
        views.objective().slope(theta, range(6)),
        apart.objective().slope(theta, range(6)),
        strict=True,
    ):
        assert torch.equal(torch.as_tensor(one), torch.as_tensor(other))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_moments_are_mean_and_deviation_of_each_channel(dtype: torch.dtype):
    generator = torch.Generator().manual_seed(0)
    fine = (3 * torch.randn(3, 16, 5, generator=generator) + 20).to(dtype)
    coarse = (torch.randn(3, 4, 2, generator=generator) - 1).to(dtype)
    scale = moments(Held(fine, coarse))
    flat = [block.double().flatten(0, 1) for block in (fine, coarse)]
    mean = torch.cat([one.mean(0) for one in flat])
    std = torch.cat([one.std(0, correction=0) for one in flat])
    torch.testing.assert_close(scale.mean, mean, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(scale.std, std, atol=1e-3, rtol=1e-3)


def test_a_folded_solution_gives_the_same_logits_on_raw_tokens():
    raw = 2 * torch.randn(3, 9, 5, generator=torch.Generator().manual_seed(0)) + 7
    scale = moments(Held(raw))
    theta = torch.linspace(-1, 1, 12, dtype=torch.float64).view(2, 6)
    vector, bias = scale.fold(theta)
    assert vector.dtype == bias.dtype == torch.float32
    standard = ((raw - scale.mean) / scale.std).float()
    on_standard = logit_map([standard], theta[:, :-1].float(), theta[:, -1].float())
    torch.testing.assert_close(logit_map([raw], vector, bias), on_standard, atol=1e-5, rtol=1e-5)


def test_grid_logits_are_those_of_the_folded_query():
    problem = make_problem(grids=(6, 3), widths=(2, 3), targets=2)
    objective, theta = problem.objective(), somewhere(problem)
    vector, bias = objective.scale.fold(theta)
    whole = logit_map(problem.blocks, vector, bias)
    for image in range(4):
        torch.testing.assert_close(objective.grid_logits(theta, image), whole[image])


def test_a_channel_that_never_changes_does_no_harm():
    problem = make_problem()
    problem.blocks[0][:, :, 2] = 7.3
    source = Held(problem.blocks[0].half())
    scale = moments(source)
    assert scale.std.isinf().tolist() == [False, False, True, False]
    objective = problem.objective(scale=scale)
    loss, slope = objective.slope(somewhere(problem), range(4))
    assert torch.isfinite(slope).all() and loss < 1e3


def test_the_penalty_leaves_biases_free():
    problem = make_problem(targets=2)
    theta = somewhere(problem)
    free = problem.objective(l2=0.0, loss=CrossEntropy(), scale=plain(4))
    bound = problem.objective(l2=0.5, loss=CrossEntropy(), scale=plain(4))
    assert bound.penalty(theta) == pytest.approx(0.5 * float(theta[:, :-1].square().sum()))
    assert bound.slope(theta, [0])[0] - free.slope(theta, [0])[0] == pytest.approx(
        bound.penalty(theta)
    )
    difference = bound.slope(theta, [0])[1] - free.slope(theta, [0])[1]
    torch.testing.assert_close(difference[:, :-1], theta[:, :-1])
    assert not difference[:, -1].any()
