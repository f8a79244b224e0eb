"""Thresholds of findings."""

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score

from retq_hub.levels import best_levels


@pytest.mark.parametrize("seed", range(5))
def test_no_threshold_is_better(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(40, 1, generator=generator) < 0.3
    chances = (torch.randn(40, 1, generator=generator).double() + values).sigmoid()
    (level,) = best_levels(chances.mul(20).round() / 20, values)
    rounded = (chances * 20).round() / 20

    def accuracy(threshold: float) -> float:
        return balanced_accuracy_score(values[:, 0], (rounded > threshold)[:, 0])

    assert accuracy(level) == max(accuracy(step) for step in np.linspace(0.01, 0.99, 99))


def test_a_threshold_lies_in_the_middle_of_a_gap() -> None:
    chances = torch.tensor([[0.1, 0.9], [0.2, 0.8], [0.6, 0.3], [0.9, 0.1]]).double()
    values = torch.tensor([[0, 1], [0, 1], [1, 0], [1, 0]]).bool()
    assert best_levels(chances, values) == (0.4, 0.55)
