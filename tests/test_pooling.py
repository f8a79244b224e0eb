"""Weights of positions, weighted means, evidence and probabilities, against plain loops."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from retq_hub import pooling

GENERATOR = torch.Generator().manual_seed(3)


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=GENERATOR)


def test_softmax_weights_are_those_of_the_formula():
    logits = drawn(2, 3, 3)
    wanted = logits.exp() / logits.exp().sum((1, 2), keepdim=True)
    torch.testing.assert_close(pooling.weights(logits, "softmax"), wanted)


def test_sigmoid_weights_are_divided_by_their_sum():
    logits = drawn(2, 3, 3)
    wanted = logits.sigmoid() / logits.sigmoid().sum((1, 2), keepdim=True)
    torch.testing.assert_close(pooling.weights(logits, "sigmoid"), wanted)


@pytest.mark.parametrize("weighting", ["softmax", "sigmoid"])
def test_weights_sum_to_one_however_far_the_logits_are(weighting: str):
    logits = torch.full((1, 4, 4), -500.0)
    logits[0, 1, 2] = -480.0
    maps = pooling.weights(logits, weighting)
    assert maps.isfinite().all()
    assert float(maps.sum()) == pytest.approx(1)
    assert maps.argmax() == 6


@pytest.mark.parametrize("whole", [False, True])
def test_a_pooled_vector_is_the_weighted_mean(whole: bool):
    tokens, maps = drawn(9, 5), pooling.weights(drawn(2, 3, 3), "softmax")
    wanted = [tokens.mean(0)] if whole else []
    wanted += [
        sum(w * token for w, token in zip(one.flatten(), tokens, strict=True)) for one in maps
    ]
    torch.testing.assert_close(pooling.pool([tokens], maps, whole=whole), torch.cat(wanted))


def test_coarser_blocks_get_the_weights_of_the_places_they_cover():
    coarse = drawn(4, 5)
    maps = torch.zeros(1, 4, 4)
    maps[0, 0, 0], maps[0, 3, 3] = 0.25, 0.75
    pooled = pooling.pool([coarse], maps, whole=False)
    torch.testing.assert_close(pooled, 0.25 * coarse[0] + 0.75 * coarse[3])


def test_blocks_are_concatenated_within_each_mean():
    fine, coarse = drawn(16, 2), drawn(4, 3)
    maps = pooling.weights(drawn(1, 4, 4), "softmax")
    pooled = pooling.pool([fine, coarse], maps, whole=True)
    torch.testing.assert_close(pooled[:5], torch.cat([fine.mean(0), coarse.mean(0)]))
    torch.testing.assert_close(pooled[5:7], maps.flatten() @ fine)


@pytest.mark.parametrize("whole", [False, True])
def test_evidence_sums_to_the_scores(whole: bool):
    tokens, maps = drawn(9, 5), pooling.weights(drawn(2, 3, 3), "softmax")
    vector = drawn(4, 5 * (2 + whole))
    found = pooling.evidence(tokens, maps, vector, whole=whole)
    assert found.shape == (4, 3, 3)
    scores = vector @ pooling.pool([tokens], maps, whole=whole)
    torch.testing.assert_close(found.sum((1, 2)), scores)


def test_cosines_keep_the_length_of_averaged_texts():
    vectors, texts = torch.tensor([[3.0, 4.0]]), torch.tensor([[0.5, 0.0], [0.0, 1.0]])
    found = pooling.cosines(vectors, texts, 10.0)
    torch.testing.assert_close(found, torch.tensor([[3.0, 8.0]]))


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=6), st.integers(1, 4))
def test_grades_have_probabilities_that_sum_to_one(values: list[float], rows: int):
    scores = torch.tensor(sorted(values, reverse=True)).repeat(rows, 1)
    found = pooling.probabilities("ordinal", scores)
    assert found.shape == (rows, len(values) + 1)
    assert bool((found >= -1e-6).all())
    torch.testing.assert_close(found.sum(1), torch.ones(rows))


def test_a_grade_is_above_another_as_often_as_its_score_says():
    scores = torch.tensor([2.0, -1.0])
    found = pooling.probabilities("ordinal", scores)
    torch.testing.assert_close(found[1:].sum(), scores.sigmoid()[0])
    torch.testing.assert_close(found[2], scores.sigmoid()[1])
