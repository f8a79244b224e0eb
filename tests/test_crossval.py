import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from problems import Held, Problem, make_problem

from retq_hub.crossval import coarse, cross_validate, folds, solve
from retq_hub.fit import Objective, moments
from retq_hub.losses import CrossEntropy, SoftDice
from retq_hub.newton import minimise

DIGESTS = st.lists(st.text("0123456789abcdef", min_size=4, max_size=4), unique=True, min_size=1)


@given(DIGESTS, st.integers(1, 7), st.integers(0, 3))
def test_folds_are_a_partition_into_nearly_equal_parts(digests: list[str], count: int, seed: int):
    parts = folds(digests, seed=seed, count=count)
    assert sorted(image for part in parts for image in part) == list(range(len(digests)))
    assert len(parts) == min(count, len(digests))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@given(DIGESTS, st.randoms())
def test_folds_depend_on_content_and_not_on_order(digests: list[str], random):
    shuffled = random.sample(digests, len(digests))

    def dealt(images: list[str]) -> list[set[str]]:
        return [{images[number] for number in part} for part in folds(images, seed=0)]

    assert dealt(digests) == dealt(shuffled)


def test_another_seed_deals_otherwise():
    digests = [f"{number:04x}" for number in range(20)]
    assert folds(digests, seed=0) != folds(digests, seed=1)


@given(DIGESTS, st.integers(2, 6), st.data())
def test_images_with_the_target_are_spread_evenly(digests: list[str], count: int, data):
    shown = st.tuples(st.booleans(), st.booleans())
    strata = data.draw(st.lists(shown, min_size=len(digests), max_size=len(digests)))
    parts = folds(digests, seed=0, count=count, strata=strata)
    rarest = min((0, 1), key=lambda target: sum(one[target] for one in strata))
    having = [sum(strata[image][rarest] for image in part) for part in parts]
    assert max(having) - min(having) <= 1


def test_copies_of_an_image_stay_together():
    parts = folds(["a", "b", "a", "c", "d", "b"], seed=0, count=4)
    assert [0, 2] in parts
    assert [1, 5] in parts


def test_two_images_with_the_target_among_many_are_never_held_out_together():
    digests = [f"{number:04x}" for number in range(20)]
    for seed in range(10):
        strata = [(number in (3, 11),) for number in range(20)]
        parts = folds(digests, seed=seed, strata=strata)
        assert not any({3, 11} <= set(part) for part in parts)


PROBLEMS = {
    "one block": make_problem(n=7),
    "two blocks, two targets": make_problem(
        n=6, grids=(4, 2), widths=(3, 4), targets=2, size=16, seed=2
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_each_fold_is_fitted_as_if_from_scratch(name: str):
    problem = PROBLEMS[name]
    n = len(problem.masks)
    parts = folds([str(number) for number in range(n)], seed=0, count=3)
    found = cross_validate(problem.source, problem.masks, loss=CrossEntropy(), l2=1e-2, parts=parts)

    objective = problem.objective(l2=1e-2)
    loss = 0.0
    for part in parts:
        theta = minimise(objective, [image for image in range(n) if image not in part]).theta
        for image in part:
            grid = objective.grid_logits(theta, image)
            torch.testing.assert_close(found.grids[image], grid, atol=1e-2, rtol=1e-2)
            size = problem.masks.shape[-1]
            logits = F.interpolate(grid[None], (size, size), mode="bilinear")[0]
            mask = problem.masks[image].float()
            each = F.binary_cross_entropy_with_logits(logits, mask, reduction="none")
            loss += float(each.mean((1, 2)).sum()) / n
    assert found.loss == pytest.approx(loss, abs=1e-4)
    whole = objective.slope(found.theta, range(n))[0]
    assert whole == pytest.approx(minimise(objective, range(n)).loss, abs=1e-6)


def test_the_masks_of_held_out_images_are_not_learned_from():
    problem = PROBLEMS["one block"]
    other = problem.masks.clone()
    other[2] = ~other[2]
    parts = [[2], [0, 1, 3], [4, 5, 6]]
    one, two = (
        cross_validate(problem.source, masks, loss=CrossEntropy(), l2=1e-2, parts=parts)
        for masks in (problem.masks, other)
    )
    torch.testing.assert_close(one.grids[2], two.grids[2], atol=1e-2, rtol=1e-2)
    assert (one.grids[4] - two.grids[4]).abs().max() > 0.05


def test_views_of_a_held_out_image_are_held_out_and_judged_in_the_first():
    problem = PROBLEMS["one block"]
    (tokens,) = problem.blocks
    noise = 0.3 * torch.randn(tokens.shape, generator=torch.Generator().manual_seed(5))
    source = Held(torch.cat([tokens, tokens + noise]))
    parts = folds([str(number) for number in range(7)], seed=0, count=3)
    found = cross_validate(source, problem.masks, loss=CrossEntropy(), l2=1e-2, parts=parts)
    assert len(found.grids) == 7
    objective = Objective(
        tokens=source, masks=problem.masks, loss=CrossEntropy(), l2=1e-2, scale=moments(source)
    )
    for part in parts:
        rest = [image for image in range(14) if image % 7 not in part]
        theta = minimise(objective, rest).theta
        for image in part:
            expected = objective.grid_logits(theta, image)
            torch.testing.assert_close(found.grids[image], expected, atol=1e-2, rtol=1e-2)


def test_images_without_the_target_are_borne():
    problem = PROBLEMS["one block"]
    masks = torch.zeros_like(problem.masks)
    parts = folds("abcdefg", seed=0)
    found = cross_validate(problem.source, masks, loss=CrossEntropy(), l2=1e-2, parts=parts)
    assert all(bool((grid < -5).all()) for grid in found.grids)


def test_it_is_the_same_each_time():
    problem = PROBLEMS["two blocks, two targets"]
    parts = folds("abcdef", seed=0)
    one, other = (
        cross_validate(problem.source, problem.masks, loss=SoftDice(), l2=1e-2, parts=parts)
        for _ in range(2)
    )
    assert one.loss == other.loss
    assert all(torch.equal(*pair) for pair in zip(one.grids, other.grids, strict=True))


def test_coarse_masks_are_shares_of_area():
    masks = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)) > 0.7
    small = coarse(masks, (28,))
    expected = masks.float().view(2, 3, 112, 2, 112, 2).mean((3, 5))
    torch.testing.assert_close(small, expected)
    assert coarse(masks, (28, 98)).shape[-1] == 196
    assert coarse(masks, (120,)) is masks
    assert coarse(masks[..., :100, :100], (4,)).shape[-1] == 100


def test_a_coarse_fit_is_close_to_the_full_one():
    problem = make_problem(n=3, grids=(6,), widths=(3,), size=224)
    small = Problem(problem.blocks, coarse(problem.masks, (6,)))
    assert small.masks.shape[-1] == 112
    one, other = (solve(each.objective(), range(3)).theta for each in (problem, small))
    torch.testing.assert_close(one, other, atol=0.02, rtol=0.02)
