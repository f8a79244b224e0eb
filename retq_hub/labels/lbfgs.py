"""L-BFGS with a strong Wolfe line search, deterministic; the steps themselves are torch's."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

__all__ = ["descend", "stages"]

_HISTORY = 20
_SLOPE = 1e-8
_CHANGE = 1e-13
_MOST_STEPS = 1000

Objective = Callable[[], Iterable[Tensor]]
"""Gives the parts of an objective, each one number, one after the other."""


def descend(parameters: Sequence[Tensor], objective: Objective) -> float:
    """Move parameters to a minimum of an objective.

    Args:
        parameters: What the objective depends on; changed in place.
        objective: Gives its parts; what is kept for the slope of one is freed before the next.

    Returns:
        The objective there.
    """
    (value,) = stages(parameters, objective, [_MOST_STEPS])
    return value


def stages(
    parameters: Sequence[Tensor], objective: Objective, steps: Sequence[int]
) -> Iterator[float]:
    """Move parameters down, and stop on the way.

    Args:
        parameters: As for `descend`.
        objective: As for `descend`.
        steps: Numbers of steps after which to stop, rising.

    Yields:
        The objective after each of them; parameters may be read then.
    """
    optimiser = torch.optim.LBFGS(
        list(parameters),
        history_size=_HISTORY,
        tolerance_grad=_SLOPE,
        tolerance_change=_CHANGE,
        line_search_fn="strong_wolfe",
    )

    def slope() -> float:
        optimiser.zero_grad()
        value = 0.0
        for part in objective():
            part.backward()  # type: ignore[no-untyped-call]
            value += part.item()
        return value

    done = 0
    for goal in steps:
        for one in parameters:
            one.requires_grad_(True)
        optimiser.param_groups[0]["max_iter"] = goal - done
        optimiser.param_groups[0]["max_eval"] = 2 * (goal - done) + 1
        optimiser.step(slope)  # type: ignore[no-untyped-call]
        done = goal
        for one in parameters:
            one.requires_grad_(False)
        with torch.no_grad():
            yield sum(part.item() for part in objective())
