"""Linear classifiers of images: the optimum is scikit-learn's, and grades keep their order."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from retq_hub.labels.likelihood import Independent, Likelihood, Multinomial, Proportional
from retq_hub.labels.linear import Features, Linear, Solver, balance

C_FLAIR = 0.316


def problem(n: int = 60, width: int = 90, classes: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features of more channels than images, and noisy grades that depend on them."""
    generator = torch.Generator().manual_seed(seed)
    features = 3 * torch.randn(n, width, generator=generator).double() + 5
    hidden = features[:, :5].sum(1) + 4 * torch.randn(n, generator=generator).double()
    return features, (hidden.argsort().argsort() * classes) // n


def solved(features: Tensor, values: Tensor, likelihood: Likelihood, l2: float) -> Linear:
    ones = torch.ones(len(features), dtype=torch.float64)
    return Solver(features, values, likelihood=likelihood, weights=ones).solve(l2)


def slope(
    fit: Linear, features: Tensor, values: Tensor, likelihood: Likelihood, l2: float
) -> float:
    """The largest slope of the plain objective at a fit, biases taken as they are."""
    vector = fit.vector.clone().requires_grad_(True)
    bias = fit.bias.clone().requires_grad_(True)
    losses = likelihood.losses(features @ vector.T + bias, values)
    (losses.mean() + l2 * vector.square().sum()).backward()
    assert vector.grad is not None and bias.grad is not None
    return max(float(vector.grad.abs().max()), float(bias.grad.abs().max()))


def test_classes_are_those_of_sklearn_with_balanced_weights() -> None:
    features, values = problem()
    values[:20] = 0
    weights = balance(values, 4)
    solver = Solver(features, values, likelihood=Multinomial(4), weights=weights)
    mine = solver.solve(1 / (2 * C_FLAIR * len(features)))
    theirs = LogisticRegression(C=C_FLAIR, class_weight="balanced", solver="newton-cg", tol=1e-12)
    theirs.fit(features.numpy(), values.numpy())
    np.testing.assert_allclose(mine.vector, theirs.coef_, atol=1e-5)
    np.testing.assert_allclose(
        mine.scores(features).softmax(1), theirs.predict_proba(features.numpy()), atol=1e-5
    )


def test_labels_are_those_of_one_sklearn_each() -> None:
    features, values = problem()
    labels = torch.stack([values > 0, values == 2], dim=1)
    mine = solved(features, labels, Independent(2), 1e-2)
    for number in range(2):
        theirs = LogisticRegression(C=1 / (2e-2 * len(features)), solver="newton-cg", tol=1e-12)
        theirs.fit(features.numpy(), labels[:, number].numpy())
        np.testing.assert_allclose(mine.vector[number], theirs.coef_[0], atol=1e-5)
        np.testing.assert_allclose(mine.bias[number], theirs.intercept_[0], atol=1e-4)


@pytest.mark.parametrize("l2", [1e-3, 1e-1])
def test_grades_reach_the_only_minimum_and_their_cuts_keep_their_order(l2: float) -> None:
    features, values = problem(classes=5)
    fit = solved(features, values, Proportional(5), l2)
    assert fit.vector.shape == (1, 90)
    assert (fit.bias.diff() < 0).all()
    assert slope(fit, features, values, Proportional(5), l2) < 1e-6


def test_two_grades_are_two_classes() -> None:
    features, values = problem(classes=2)
    graded = solved(features, values, Proportional(2), 1e-2)
    single = solved(features, values[:, None] > 0, Independent(1), 1e-2)
    torch.testing.assert_close(graded.vector, single.vector, atol=1e-6, rtol=0)
    torch.testing.assert_close(graded.bias, single.bias, atol=1e-6, rtol=0)


def test_probabilities_of_grades_are_differences_of_sigmoids() -> None:
    scores = torch.tensor([[2.0, 0.5, -1.0]]).double()
    above = torch.cat([torch.ones(1), scores[0].sigmoid(), torch.zeros(1)])
    wanted = -(above[:-1] - above[1:]).log()
    for grade in range(4):
        found = Proportional(4).losses(scores, torch.tensor([grade]))
        torch.testing.assert_close(found[0], wanted[grade])


@pytest.mark.parametrize("likelihood", [Multinomial(3), Proportional(3), Independent(2)])
def test_without_features_the_shares_of_the_labels_are_the_optimum(likelihood: Likelihood) -> None:
    values = torch.tensor([0, 0, 0, 1, 1, 2])
    labels = torch.stack([values > 0, values > 1], 1) if likelihood == Independent(2) else values
    nothing = torch.zeros(6, 2).double()
    fit = solved(nothing, labels, likelihood, 1e-2)
    start = likelihood.bias(likelihood.free(labels, torch.ones(6).double()))
    torch.testing.assert_close(fit.bias, start, atol=1e-6, rtol=0)
    assert slope(fit, nothing, labels, likelihood, 1e-2) < 1e-7


def test_folded_classifiers_give_the_same_scores_on_raw_features() -> None:
    raw, values = problem()
    raw[:, 7] = 3.0
    features = Features(raw.float())
    fit = solved(features.values, values, Multinomial(4), 1e-2)
    vector, bias = features.fold(fit)
    assert vector.dtype == bias.dtype == torch.float32
    assert (vector[:, 7] == 0).all()
    torch.testing.assert_close(
        raw.float() @ vector.T + bias, fit.scores(features.values).float(), atol=1e-4, rtol=0
    )


def test_features_may_be_taken_as_they_come() -> None:
    raw, _ = problem()
    torch.testing.assert_close(Features(raw, standardise=False).values, raw)
