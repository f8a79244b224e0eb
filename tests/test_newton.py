import numpy as np
import pytest
import scipy.optimize
import torch
from problems import Held, Problem, make_problem, naive_loss
from torch import Tensor

from retq_hub.crossval import solve
from retq_hub.fit import moments
from retq_hub.losses import CrossEntropy, SoftDice, SoftmaxEntropy
from retq_hub.newton import Step, minimise


def by_scipy(problem: Problem, l2: float, images: list[int]) -> tuple[float, Tensor]:
    """Minimise the objective, written down naively, with L-BFGS from zero."""
    shape = (problem.masks.shape[1], sum(problem.source.widths) + 1)

    def flat(x: np.ndarray) -> tuple[float, np.ndarray]:
        theta = torch.from_numpy(x).view(shape).requires_grad_()
        loss = naive_loss(theta, problem, l2, images)
        (slope,) = torch.autograd.grad(loss, theta)
        return loss.item(), slope.numpy().ravel()

    options = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 500}
    start = np.zeros(shape[0] * shape[1])
    found = scipy.optimize.minimize(flat, start, jac=True, method="L-BFGS-B", options=options)
    return float(found.fun), torch.from_numpy(found.x).view(shape)


def soft(problem: Problem) -> Problem:
    return Problem(problem.blocks, 0.8 * problem.masks.float() + 0.1)


PROBLEMS = {
    "one block": make_problem(),
    "two blocks": make_problem(grids=(6, 3), widths=(3, 4), size=24, seed=1),
    "three targets": make_problem(targets=3, grids=(2, 5), widths=(3, 2), size=15),
    "soft masks": soft(make_problem(grids=(4, 2), widths=(2, 2))),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_minimum_is_scipys_on_upsampled_tokens(name: str):
    problem, images = PROBLEMS[name], [0, 1, 3]
    objective = problem.objective()
    fit = minimise(objective, images)
    loss, theta = by_scipy(problem, 1e-3, images)
    assert fit.loss == pytest.approx(loss, abs=1e-6)
    torch.testing.assert_close(fit.theta, theta, atol=1e-2, rtol=1e-2)
    assert objective.slope(fit.theta, images)[1].norm() < 1e-4
    assert 0 <= fit.decrement < 1e-9


def test_repeated_views_have_the_minimum_of_all_of_them():
    once = make_problem(n=3)
    (tokens,) = once.blocks
    noise = 0.3 * torch.randn(tokens.shape, generator=torch.Generator().manual_seed(5))
    views = Problem((torch.cat([tokens, tokens + noise]),), once.masks)
    loss, theta = by_scipy(views, 1e-3, list(range(6)))
    fit = minimise(views.objective(), range(6))
    assert fit.loss == pytest.approx(loss, abs=1e-6)
    torch.testing.assert_close(fit.theta, theta, atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("positive_weight", [1.0, 4.0])
def test_the_softmax_minimum_is_autograds(positive_weight: float):
    problem = make_problem(targets=2, grids=(4,), widths=(3,), exclusive=True)
    objective = problem.objective(loss=SoftmaxEntropy(positive_weight=positive_weight))
    fit = minimise(objective, range(4))
    assert objective.slope(fit.theta, range(4))[1].norm() < 1e-3
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        way = 0.05 * torch.randn(fit.theta.shape, generator=generator, dtype=torch.float64)
        assert objective.slope(fit.theta + way, range(4))[0] > fit.loss


def test_the_minimum_does_not_depend_on_the_way_there():
    objective = make_problem(seed=1).objective(l2=1e-2)
    cold = minimise(objective, range(4))
    hessian = objective.hessian(objective.curvature(cold.theta, [[0, 1]]), 2)
    start = torch.linspace(2, -2, 5, dtype=torch.float64)[None]
    warm = minimise(objective, range(4), start=start, hessian=hessian)
    torch.testing.assert_close(warm.theta, cold.theta, atol=1e-3, rtol=0)
    again = minimise(objective, range(4))
    assert torch.equal(again.theta, cold.theta)
    assert again.steps == cold.steps


def test_every_step_is_told_and_the_loss_never_rises():
    told: list[Step] = []
    fit = minimise(
        make_problem(grids=(6, 3), widths=(3, 4)).objective(), range(4), watch=told.append
    )
    assert tuple(told) == fit.steps
    losses = [one.loss for one in told]
    assert losses == sorted(losses, reverse=True)
    assert [one.step for one in told] == list(range(len(told)))


@pytest.mark.parametrize("marked", [False, True])
def test_masks_of_one_class_give_a_confident_constant(marked: bool):
    problem = make_problem()
    fit = minimise(
        Problem(problem.blocks, torch.full_like(problem.masks, marked)).objective(), range(4)
    )
    assert torch.isfinite(fit.theta).all()
    assert fit.loss < 1e-4
    assert bool(fit.theta[0, -1] > 0) == marked


def test_a_loss_that_is_not_convex_ends_below_where_it_started():
    problem = make_problem(grids=(4, 2), widths=(3, 2), noise=2.0, size=24)
    dice, entropy = problem.objective(loss=SoftDice()), problem.objective(loss=CrossEntropy())
    start = minimise(entropy, range(4)).theta
    fit = solve(dice, range(4))
    assert fit.loss < dice.slope(start, range(4))[0] - 1e-4
    assert dice.slope(fit.theta, range(4))[1].norm() < 1e-2


def test_tokens_of_half_precision_give_nearly_the_same_query():
    problem = make_problem(grids=(6, 3), widths=(3, 4))
    rounded = Problem(tuple(block.half() for block in problem.blocks), problem.masks)
    one, other = (minimise(each.objective(), range(4)) for each in (problem, rounded))
    assert one.loss == pytest.approx(other.loss, abs=1e-4)
    torch.testing.assert_close(one.theta, other.theta, atol=1e-2, rtol=1e-2)


def test_a_positive_weight_raises_what_is_marked():
    problem = make_problem(noise=2.0)
    (tokens,) = problem.blocks
    shares = []
    for weight in (1.0, 5.0):
        objective = problem.objective(loss=CrossEntropy(positive_weight=weight))
        vector, bias = moments(Held(tokens)).fold(minimise(objective, range(4)).theta)
        shares.append(float(((tokens @ vector.T + bias) > 0).float().mean()))
    assert shares[0] < shares[1]


@pytest.mark.parametrize("l2", [1e-9, 1e-3])
def test_channels_that_depend_on_each_other_do_no_harm(l2: float):
    """The same tokens twice: the curvature has no inverse but for the L2 term."""
    once = make_problem(widths=(20,), n=3, grids=(4,), noise=2.0)
    (tokens,) = once.blocks
    twice = Problem((torch.cat([tokens, tokens], dim=2),), once.masks)
    fit = minimise(twice.objective(l2=l2), range(3))
    # Each copy takes half of the weight, and pays half of the penalty.
    expected = minimise(once.objective(l2=l2 / 2), range(3))
    assert fit.loss == pytest.approx(expected.loss, abs=1e-5)
    torch.testing.assert_close(
        fit.theta[:, :20] + fit.theta[:, 20:40], expected.theta[:, :20], atol=0.02, rtol=0.02
    )
