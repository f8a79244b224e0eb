import numpy as np
import pytest
import scipy.optimize
import torch
import torch.nn.functional as F
from torch import Tensor

from retq_hub.fit import Objective, minimise, standardise
from retq_hub.heads import logit_map


def problem(n: int = 4, g: int = 3, D: int = 4, S: int = 10, *, seed: int = 0) -> dict[str, Tensor]:
    """Random tokens and noisy masks that depend on them, so that no separation is perfect."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(n, g * g, D, generator=generator)
    hidden = F.interpolate((tokens @ torch.ones(D)).view(n, 1, g, g), (S, S), mode="bilinear")[:, 0]
    masks = hidden + torch.randn(n, S, S, generator=generator) > 1
    return {"tokens": tokens, "masks": masks}


def naive_loss(
    theta: Tensor, tokens: Tensor, masks: Tensor, l2: float, images: list[int]
) -> Tensor:
    """The paper's objective in float64, written down as it is read."""
    g, S = round(tokens.shape[1] ** 0.5), masks.shape[-1]
    grid = (tokens[images].double() @ theta[:-1] + theta[-1]).view(-1, 1, g, g)
    pixels = F.interpolate(grid, (S, S), mode="bilinear", align_corners=False)[:, 0]
    loss = F.binary_cross_entropy_with_logits(pixels, masks[images].double())
    return loss + l2 * theta[:-1].square().sum()


SHAPES = [(4, 3, 4, 10), (2, 1, 2, 3), (3, 4, 3, 16), (2, 5, 2, 4)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("soft", [True, False], ids=["soft", "hard"])
def test_loss_gradient_and_hessian_are_autograds(shape: tuple[int, ...], soft: bool):
    given = problem(*shape)
    if soft:
        given["masks"] = torch.rand(
            given["masks"].shape, generator=torch.Generator().manual_seed(1)
        )
    objective = Objective(**given, l2=0.01)
    images = [1, 0]
    theta = torch.linspace(-1, 1, shape[2] + 1, dtype=torch.float64)

    def naive(theta: Tensor) -> Tensor:
        return naive_loss(theta, **given, l2=0.01, images=images)

    loss, slope = objective.gradient(theta, images)
    assert loss == pytest.approx(float(naive(theta)), abs=1e-6)
    expected = torch.autograd.functional.jacobian(naive, theta)
    torch.testing.assert_close(slope, expected, atol=1e-6, rtol=1e-5)
    parts = objective.curvature(theta, [[0], [1]])
    expected = torch.autograd.functional.hessian(naive, theta)
    torch.testing.assert_close(objective.hessian(parts, 2), expected, atol=1e-6, rtol=1e-5)


def test_the_minimum_is_scipys_and_the_gradient_vanishes_there():
    given = problem()
    objective, images = Objective(**given, l2=1e-3), [0, 1, 3]
    fit = minimise(objective, images)

    def flat(theta):
        loss, slope = objective.gradient(torch.from_numpy(theta), images)
        return loss, slope.numpy()

    options = {"ftol": 1e-15, "gtol": 1e-9}
    other = scipy.optimize.minimize(flat, np.zeros(5), jac=True, method="L-BFGS-B", options=options)
    assert fit.loss == pytest.approx(other.fun, abs=1e-7)
    np.testing.assert_allclose(fit.theta, other.x, atol=1e-2)
    assert objective.gradient(fit.theta, images)[1].norm() < 1e-4
    assert 0 <= fit.decrement < 1e-9


def test_the_minimum_does_not_depend_on_the_way_there():
    objective = Objective(**problem(seed=1), l2=1e-2)
    cold = minimise(objective, range(4))
    hessian = objective.hessian(objective.curvature(cold.theta, [[0, 1]]), 2)
    start = torch.linspace(2, -2, 5, dtype=torch.float64)
    warm = minimise(objective, range(4), start=start, hessian=hessian)
    torch.testing.assert_close(warm.theta, cold.theta, atol=1e-3, rtol=0)
    again = minimise(objective, range(4))
    assert torch.equal(again.theta, cold.theta)


@pytest.mark.parametrize("marked", [False, True])
def test_masks_of_one_class_give_a_confident_constant(marked: bool):
    given = problem()
    given["masks"] = torch.full_like(given["masks"], marked)
    fit = minimise(Objective(**given, l2=1e-3), range(4))
    assert torch.isfinite(fit.theta).all()
    assert fit.loss < 1e-4
    assert (fit.theta[-1] > 0) == marked


def test_the_start_is_the_best_constant():
    given = problem()
    objective = Objective(**given, l2=1e-3)
    theta = objective.start([0, 2])
    assert not theta[:-1].any()
    assert theta[-1].sigmoid() == pytest.approx(float(given["masks"][[0, 2]].double().mean()))
    assert abs(objective.gradient(theta, [0, 2])[1][-1]) < 1e-7


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_standardised_tokens_have_mean_zero_and_deviation_one(dtype: torch.dtype):
    raw = (3 * torch.randn(3, 16, 5, generator=torch.Generator().manual_seed(0)) + 20).to(dtype)
    standard, undo = standardise(raw)
    flat = raw.double().reshape(-1, 5)
    torch.testing.assert_close(undo.mean, flat.mean(0))
    torch.testing.assert_close(undo.std, flat.std(0, correction=0))
    assert standard.dtype == torch.float32
    torch.testing.assert_close(standard.mean((0, 1)), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(standard.reshape(-1, 5).std(0, correction=0), torch.ones(5))


def test_a_folded_solution_gives_the_same_logits_on_raw_tokens():
    raw = 2 * torch.randn(3, 9, 5, generator=torch.Generator().manual_seed(0)) + 7
    standard, undo = standardise(raw)
    theta = torch.linspace(-1, 1, 6, dtype=torch.float64)
    vector, bias = undo.fold(theta)
    assert vector.dtype == torch.float32
    on_raw = logit_map(raw, vector[None], torch.tensor([bias]))
    on_standard = logit_map(standard, theta[None, :-1].float(), theta[-1:].float())
    torch.testing.assert_close(on_raw, on_standard, atol=1e-5, rtol=1e-5)


def test_a_channel_that_never_changes_does_no_harm():
    given = problem()
    given["tokens"][:, :, 2] = 7.3
    standard, undo = standardise(given["tokens"].half())
    assert standard[:, :, 2].abs().max() < 1
    fit = minimise(Objective(tokens=standard, masks=given["masks"], l2=1e-3), range(4))
    vector, bias = undo.fold(fit.theta)
    assert torch.isfinite(vector).all()
    expected = logit_map(standard, fit.theta[None, :-1].float(), fit.theta[-1:].float())
    found = logit_map(given["tokens"].half(), vector[None], torch.tensor([bias]))
    torch.testing.assert_close(found, expected, atol=1e-2, rtol=1e-3)
