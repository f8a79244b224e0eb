"""L-BFGS with a strong Wolfe line search, in float64 and deterministic; the steps are torch's."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["descend"]

_HISTORY = 20
_SLOPE = 1e-8
_CHANGE = 1e-13


def descend(
    parameters: Sequence[Tensor], objective: Callable[[], Tensor], *, steps: int = 1000
) -> float:
    """Move parameters to a minimum of an objective.

    Args:
        parameters: What the objective depends on; changed in place.
        objective: Gives its value, one number.
        steps: At most so many steps.

    Returns:
        The objective there.
    """
    for one in parameters:
        one.requires_grad_(True)
    optimiser = torch.optim.LBFGS(
        list(parameters),
        max_iter=steps,
        history_size=_HISTORY,
        tolerance_grad=_SLOPE,
        tolerance_change=_CHANGE,
        line_search_fn="strong_wolfe",
    )

    def closure() -> float:
        optimiser.zero_grad()
        value = objective()
        value.backward()  # type: ignore[no-untyped-call]
        return value.item()

    optimiser.step(closure)
    value = objective().item()
    for one in parameters:
        one.requires_grad_(False)
    return value
