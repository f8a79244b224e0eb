import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from retq_hub.crossval import Trial, assess, choose_layers, coarse_fit, folds
from retq_hub.fit import Objective, minimise, standardise
from retq_hub.metrics import dice_iou

DIGESTS = st.lists(st.text("0123456789abcdef", min_size=4, max_size=4), unique=True, min_size=1)


def problem(n: int = 7, g: int = 4, D: int = 3, S: int = 20):
    generator = torch.Generator().manual_seed(3)
    tokens = 2 * torch.randn(n, g * g, D, generator=generator) + 1
    hidden = F.interpolate(tokens.sum(2).view(n, 1, g, g), (S, S), mode="bilinear")[:, 0]
    return tokens, hidden + 2 * torch.randn(n, S, S, generator=generator) > 5


def trial(layers: tuple[int, ...], dice: float) -> Trial:
    return Trial(layers=layers, dice=dice, threshold=0.5, l2=1e-3, loss=0.1)


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


def test_a_trial_is_what_plain_cross_validation_finds():
    tokens, masks = problem()
    parts = folds([str(n) for n in range(7)], seed=0, count=3)
    found = assess(tokens, masks, l2=1e-2, parts=parts, layers=(3,))
    assert (found.layers, found.l2) == ((3,), 1e-2)

    standard, _ = standardise(tokens)
    soft = F.interpolate(masks[:, None].float(), (16, 16), mode="area")[:, 0]
    objective = Objective(tokens=standard, masks=soft, l2=1e-2)
    dice, loss = [], 0.0
    for part in parts:
        theta = minimise(objective, [n for n in range(7) if n not in part]).theta
        for image in part:
            grid = (standard[image].double() @ theta[:-1] + theta[-1]).view(1, 1, 4, 4)
            likely = F.interpolate(grid, (20, 20), mode="bilinear")[0, 0].sigmoid()
            mask = masks[image].numpy()
            levels = [level / 200 for level in range(1, 200)]
            dice.append([dice_iou((likely >= level).numpy(), mask)[0] for level in levels])
            small = F.interpolate(grid, (16, 16), mode="bilinear")[0, 0]
            loss += float(F.binary_cross_entropy_with_logits(small, soft[image].double())) / 7
    mean = torch.tensor(dice).mean(0)
    assert found.dice == pytest.approx(float(mean.max()), abs=5e-3)
    assert float(mean[round(found.threshold * 200) - 1]) == pytest.approx(found.dice, abs=5e-3)
    assert found.loss == pytest.approx(loss, abs=1e-4)
    assert 0 < found.threshold < 1


def test_images_without_the_target_are_borne():
    tokens, masks = problem()
    masks[:] = False
    found = assess(tokens, masks, l2=1e-2, parts=folds("abcdefg", seed=0), layers=(0,))
    assert found.dice == 1
    assert 0 < found.threshold < 1


def test_a_trial_is_the_same_each_time():
    tokens, masks = problem()
    parts = folds("abcdefg", seed=0)
    one, other = (assess(tokens, masks, l2=1e-2, parts=parts, layers=(1,)) for _ in range(2))
    assert one == other


def test_a_coarse_fit_is_close_to_the_full_one():
    tokens, masks = problem()
    standard, _ = standardise(tokens)
    objective, coarse = coarse_fit(standard, masks, 1e-2)
    full = minimise(Objective(tokens=standard, masks=masks, l2=1e-2), range(7))
    assert objective.n == 7
    torch.testing.assert_close(coarse.theta, full.theta, atol=0.1, rtol=0.1)


def test_layers_are_added_greedily_and_the_best_combination_wins():
    table = {(1,): 0.5, (3,): 0.7, (5,): 0.6, (1, 3): 0.8, (3, 5): 0.75, (1, 3, 5): 0.78}
    asked = []

    def look_up(layers: tuple[int, ...]) -> Trial:
        asked.append(layers)
        return trial(layers, table[layers])

    choice = choose_layers([1, 3, 5], 3, look_up)
    assert choice.best == trial((1, 3), 0.8)
    assert asked == [(1,), (3,), (5,), (1, 3), (3, 5), (1, 3, 5)]
    assert [one.layers for one in choice.trials] == asked


@pytest.mark.parametrize(("max_layers", "expected"), [(1, [(4,), (2,)]), (9, [(4,), (2,), (2, 4)])])
def test_no_more_layers_are_combined_than_wanted(max_layers: int, expected: list[tuple[int, ...]]):
    choice = choose_layers([4, 2], max_layers, lambda layers: trial(layers, 0.5))
    assert [one.layers for one in choice.trials] == expected
    assert choice.best.layers == (4,)
