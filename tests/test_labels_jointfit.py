"""Attention learned from labels: it begins at the plain mean, folds back, and finds what counts."""

import pytest
import torch
from torch import Tensor

from retq_hub import pooling
from retq_hub.grids import logit_map
from retq_hub.labels.jointfit import Components, JointFit, Weighting, components
from retq_hub.labels.likelihood import Independent, Likelihood, Multinomial, Proportional
from retq_hub.labels.linear import Features, Solver

D, g = 6, 5
WAYS = [("softmax", False, 1), ("softmax", True, 2), ("sigmoid", True, 1), ("sigmoid", False, 2)]


def images(n: int = 60, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens (n, N, D) of which a few carry a sign, whether each image has it, and where."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(n, g * g, D, generator=generator) * torch.arange(1.0, D + 1) + 3
    marked = torch.zeros(n, g * g, dtype=torch.bool)
    for image in range(0, n, 2):
        marked[image, torch.randperm(g * g, generator=generator)[:2]] = True
    tokens[..., 1] += 12 * marked
    return tokens, marked.any(1).long(), marked


def fitted(
    tokens: Tensor,
    values: Tensor,
    likelihood: Likelihood,
    *,
    way: tuple[str, bool, int] = WAYS[0],
    steps: int = 30,
    l2_attention: float = 1e-2,
) -> tuple[Components, JointFit, float]:
    method, whole, vectors = way
    found = components(lambda: iter(tokens))
    reduced = torch.stack([found.of(one) for one in tokens])
    fit = JointFit(
        reduced,
        values,
        likelihood=likelihood,
        weights=torch.ones(len(tokens), dtype=torch.float64),
        how=Weighting(
            method=method, vectors=vectors, whole=whole, l2=1e-2, l2_attention=l2_attention
        ),
    )
    (value,) = fit.run([steps])
    return found, fit, value


def test_components_are_those_of_standardised_tokens() -> None:
    tokens, _, _ = images()
    tokens[..., 3] = 2.0
    found = components(lambda: iter(tokens))
    reduced = torch.cat([found.of(one) for one in tokens]).double()
    assert reduced.shape[1] == D - 1
    assert reduced.mean(0).abs().max() < 1e-5
    flat = tokens.double().flatten(0, 1)
    standard = ((flat - flat.mean(0)) / flat.std(0, correction=0))[:, [0, 1, 2, 4, 5]]
    wanted = torch.linalg.eigvalsh(standard.T @ standard / len(flat)).flip(0)
    torch.testing.assert_close(reduced.square().mean(0), wanted, atol=1e-4, rtol=0)


def test_it_begins_at_the_classifier_of_the_plain_means() -> None:
    tokens, values, _ = images()
    found, fit, _ = fitted(tokens, values, Multinomial(2), steps=0, l2_attention=1.0)
    reduced = torch.stack([found.of(one) for one in tokens])
    features = Features(reduced.mean(1))
    weights = torch.ones(len(tokens), dtype=torch.float64)
    mean = Solver(features.values, values, likelihood=Multinomial(2), weights=weights).solve(1e-2)
    torch.testing.assert_close(
        fit.scores(reduced), mean.scores(features.values), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("likelihood", [Multinomial(2), Proportional(2), Independent(1)])
def test_the_heatmap_is_the_score(way: tuple[str, bool, int], likelihood: Likelihood) -> None:
    tokens, values, _ = images()
    labels = values[:, None].bool() if likelihood == Independent(1) else values
    found, fit, _ = fitted(tokens, labels, likelihood, way=way, steps=5)
    attention, (vector, bias) = fit.folded(found)
    method, whole, _ = way
    for image in tokens[:3]:
        maps = pooling.weights(logit_map([image[None]], *attention)[0], method)
        torch.testing.assert_close(maps.sum((1, 2)), torch.ones(len(maps)))
        evidence = pooling.evidence(image, maps, vector, whole=whole)
        folded = evidence.sum((1, 2)) + bias
        pooled = vector @ pooling.pool([image], maps, whole=whole) + bias
        torch.testing.assert_close(folded, pooled, atol=1e-4, rtol=1e-4)
        wanted = fit.scores(found.of(image)[None])[0].float()
        torch.testing.assert_close(folded, wanted, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("method", ["softmax", "sigmoid"])
def test_attention_finds_what_the_labels_hang_on(method: str) -> None:
    tokens, values, _ = images()
    found, fit, value = fitted(tokens, values, Multinomial(2), way=(method, False, 1))
    _, _, before = fitted(tokens, values, Multinomial(2), way=(method, False, 1), steps=0)
    assert value < 0.7 * before
    attention, _ = fit.folded(found)
    unseen, truth, where = images(seed=1)
    reduced = torch.stack([found.of(one) for one in unseen])
    assert (fit.scores(reduced).argmax(1) == truth).double().mean() > 0.9
    logits = (unseen @ attention[0].T).squeeze(2)[where.any(1)]
    assert where[where.any(1)].gather(1, logits.argmax(1, keepdim=True)).double().mean() > 0.8


def test_strong_l2_keeps_attention_even() -> None:
    tokens, values, _ = images()
    _, fit, _ = fitted(tokens, values, Multinomial(2), l2_attention=1e5)
    assert fit.attention.abs().max() < 1e-4


def test_the_same_beginning_gives_the_same_fit() -> None:
    tokens, values, _ = images()
    _, first, _ = fitted(tokens, values, Multinomial(2), way=WAYS[1])
    _, second, _ = fitted(tokens, values, Multinomial(2), way=WAYS[1])
    assert torch.equal(first.attention, second.attention)
    assert torch.equal(first.vector, second.vector)
