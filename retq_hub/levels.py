"""Above which probability a finding is said to be there. Pure tensors."""

from torch import Tensor

__all__ = ["best_levels"]

_EDGE = 1e-6


def best_levels(probabilities: Tensor, values: Tensor) -> tuple[float, ...]:
    """Give the thresholds of the highest balanced accuracy, in the middle of a gap.

    Args:
        probabilities: (n, C) float64.
        values: (n, C) bool; each column has both.

    Returns:
        C thresholds, above 0 and below 1.
    """
    pairs = zip(probabilities.T, values.T, strict=True)
    return tuple(_best(column, shown) for column, shown in pairs)


def _best(probability: Tensor, shown: Tensor) -> float:
    order = probability.argsort(stable=True)
    ranked, positive = probability[order], shown[order].double()
    negative = 1 - positive
    # Threshold k lies above the k + 1 lowest: specificity counts those below, sensitivity the rest.
    gain = negative.cumsum(0) / negative.sum() - positive.cumsum(0) / positive.sum()
    gain = gain[:-1].masked_fill(ranked[1:] == ranked[:-1], -1.0)
    best = int(gain.argmax())
    middle = float(ranked[best] + ranked[best + 1]) / 2
    return min(max(round(middle, 6), _EDGE), 1 - _EDGE)
