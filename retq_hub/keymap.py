"""From a state dict in upstream's naming to the canonical one: a closed set of steps, all data.

A step names tensors by patterns; ``*`` stands for any run of characters. What a pattern does not
match is left alone, so that one spec reads both the whole training checkpoint and the encoder
that somebody cut out of it. Whether the result is complete is checked afterwards, strictly.
"""

import re
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from retq_hub.errors import CheckpointError
from retq_hub.spec import Step

__all__ = ["canonical"]

State = dict[str, Tensor]


def canonical(state: Mapping[str, Tensor], steps: Iterable[Step]) -> State:
    """Apply the steps of a spec's ``checkpoint.map``, in order.

    Args:
        state: In upstream's naming; tensors on the meta device will do where only names count.
        steps: ``drop``, ``strip``, ``rename``, ``split``, ``concat``, ``transpose``,
            ``reshape`` and ``fold-position``.

    Returns:
        The tensors by their new names.

    Raises:
        CheckpointError: Two tensors would get one name, or a step does not fit a shape.
    """
    found = dict(state)
    for step in steps:
        try:
            found = _STEPS[step.op](found, step)
        except (IndexError, RuntimeError, TypeError, ValueError) as error:
            line = str(error).splitlines()[0]
            raise CheckpointError(f"step {step.op!r} of the key map fails: {line}") from error
    return found


def _drop(state: State, step: Step) -> State:
    patterns = [_pattern(name) for name in step.names]
    return {
        name: tensor
        for name, tensor in state.items()
        if not any(pattern.fullmatch(name) for pattern in patterns)
    }


def _strip(state: State, step: Step) -> State:
    (prefix,) = step.names
    return _renamed(state, lambda name: name.removeprefix(prefix))


def _rename(state: State, step: Step) -> State:
    (name,), (goal,) = step.names, step.to
    pattern = _pattern(name)

    def renamed(name: str) -> str:
        match = pattern.fullmatch(name)
        return _filled(goal, match) if match else name

    return _renamed(state, renamed)


def _split(state: State, step: Step) -> State:
    """Cut tensors along the first axis into equal parts."""
    found: State = {}
    pattern = _pattern(step.names[0])
    for name, tensor in state.items():
        if match := pattern.fullmatch(name):
            parts = torch.tensor_split(tensor, len(step.to))
            found |= {_filled(goal, match): part for goal, part in zip(step.to, parts, strict=True)}
        else:
            found[name] = tensor
    return found


def _concat(state: State, step: Step) -> State:
    """Join tensors along the first axis, wherever all of the parts are there."""
    found, (goal,) = dict(state), step.to
    pattern = _pattern(step.names[0])
    for match in filter(None, map(pattern.fullmatch, state)):
        parts = [_filled(name, match) for name in step.names]
        if all(part in found for part in parts):
            found[_filled(goal, match)] = torch.cat([found.pop(part) for part in parts])
    return found


def _transpose(state: State, step: Step) -> State:
    return _changed(state, step, lambda tensor: tensor.t())


def _reshape(state: State, step: Step) -> State:
    return _changed(state, step, lambda tensor: tensor.reshape(step.shape))


def _fold_position(state: State, step: Step) -> State:
    """Add the first position to the class token: the same sum, made once."""
    position, token = step.names
    if position not in state or token not in state:
        return state
    folded = state[token] + state[position][:, :1]
    return state | {token: folded, position: state[position][:, 1:]}


_STEPS: dict[str, Callable[[State, Step], State]] = {
    "concat": _concat,
    "drop": _drop,
    "fold-position": _fold_position,
    "rename": _rename,
    "reshape": _reshape,
    "split": _split,
    "strip": _strip,
    "transpose": _transpose,
}


def _renamed(state: State, rename: Callable[[str], str]) -> State:
    found: State = {}
    for name, tensor in state.items():
        goal = rename(name)
        if goal in found:
            raise CheckpointError(f"the checkpoint has two tensors that become {goal}")
        found[goal] = tensor
    return found


def _changed(state: State, step: Step, change: Callable[[Tensor], Tensor]) -> State:
    patterns = [_pattern(name) for name in step.names]
    return {
        name: change(tensor) if any(one.fullmatch(name) for one in patterns) else tensor
        for name, tensor in state.items()
    }


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile("(.*?)".join(map(re.escape, name.split("*"))))


def _filled(goal: str, match: re.Match[str]) -> str:
    """Put what the stars of a pattern matched in place of the stars of the goal, in order."""
    first, *rest = goal.split("*")
    return first + "".join(star + part for star, part in zip(match.groups(), rest, strict=True))
