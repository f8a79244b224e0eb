"""The learning rate over a run: up, level, down.

Source: RETQuerySeg, section 2.3; the decay is that of Loshchilov and Hutter, SGDR (2017).
"""

import math
from dataclasses import dataclass

from retq_hub.errors import UsageError

__all__ = ["Schedule"]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A linear rise from 0, a level stretch, half a cosine down.

    The paper does not say whether the rate changes by step or by epoch. Here it changes by step,
    and a step has the rate that belongs to its end: no step is taken at a rate of 0, and the very
    last one has the final rate.

    Attributes:
        peak: The rate of the level stretch.
        final: The rate at the end.
        warm_up: The rise ends after so many epochs.
        decay_from: The decay begins after so many epochs.
        epochs: The decay ends after so many epochs.
    """

    peak: float = 1e-2
    final: float = 1e-4
    warm_up: int = 10
    decay_from: int = 50
    epochs: int = 150

    def __post_init__(self) -> None:
        if not 0 <= self.warm_up <= self.decay_from < self.epochs:
            raise UsageError(
                f"a schedule of {self.epochs} epochs cannot rise until {self.warm_up} and decay "
                f"from {self.decay_from}",
                hint="shorten all three, or keep the schedule and stop early",
            )

    def rate(self, epoch: float) -> float:
        """Give the learning rate after so many epochs, which need not be whole."""
        if epoch < self.warm_up:
            return self.peak * epoch / self.warm_up
        if epoch <= self.decay_from:
            return self.peak
        done = min((epoch - self.decay_from) / (self.epochs - self.decay_from), 1.0)
        return self.final + (self.peak - self.final) * (1 + math.cos(math.pi * done)) / 2
