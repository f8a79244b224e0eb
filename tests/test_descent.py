import pytest
import torch
from problems import Problem, make_problem, plain
from torch import Tensor

from retq_hub.descent import Descent
from retq_hub.newton import minimise


def given(targets: int = 1) -> tuple[Tensor, Tensor]:
    """Tokens whose first channel is 1, which stands for a bias, and masks that depend on them."""
    problem = make_problem(targets=targets, size=10)
    (tokens,) = problem.blocks
    tokens[:, :, 0] = 1
    return tokens, problem.masks.float()


def go(descent: Descent, tokens: Tensor, masks: Tensor, steps: int, rate: float) -> float:
    return [descent.step(tokens, masks, rate=rate) for _ in range(steps)][-1]


def test_it_comes_down_to_the_convex_optimum() -> None:
    tokens, masks = given()
    descent = Descent(targets=1, width=4, weight_decay=1e-8)
    first = descent.step(tokens, masks, rate=1e-2)
    assert first == pytest.approx(0.6931472, abs=1e-6)
    loss = go(descent, tokens, masks, 300, 5e-2)
    # The optimum has a bias of its own; a constant channel makes up for it here.
    objective = Problem((tokens,), masks).objective(l2=1e-9, scale=plain(4))
    best = minimise(objective, range(4)).loss
    assert best - 1e-6 <= loss <= best + 1e-4


def test_targets_do_not_influence_each_other() -> None:
    tokens, masks = given(targets=3)
    together = Descent(targets=3, width=4, weight_decay=1e-8)
    loss = go(together, tokens, masks, 50, 1e-2)
    alone, losses = [], []
    for target in range(3):
        one = Descent(targets=1, width=4, weight_decay=1e-8)
        losses.append(go(one, tokens, masks[:, target : target + 1], 50, 1e-2))
        alone.append(one.vector)
    torch.testing.assert_close(together.vector, torch.cat(alone), atol=1e-5, rtol=1e-4)
    assert loss == pytest.approx(sum(losses) / 3, abs=1e-6)


def test_a_rate_of_zero_goes_nowhere() -> None:
    tokens, masks = given()
    descent = Descent(targets=1, width=4, weight_decay=1e-8)
    go(descent, tokens, masks, 3, 0.0)
    assert not descent.vector.any()


def test_what_is_restored_goes_on_to_the_same_bits() -> None:
    tokens, masks = given()
    through = Descent(targets=1, width=4, weight_decay=1e-8)
    go(through, tokens, masks, 5, 1e-2)
    state = {name: tensor.clone() for name, tensor in through.state().items()}
    go(through, tokens, masks, 5, 1e-3)
    again = Descent(targets=1, width=4, weight_decay=1e-8)
    again.restore(state)
    go(again, tokens, masks, 5, 1e-3)
    assert torch.equal(again.vector, through.vector)
