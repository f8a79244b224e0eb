"""Which backbone a checkpoint belongs to, told by the names and shapes of its tensors."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

from retq_hub.encoder import expected_shapes
from retq_hub.errors import CheckpointError, RetqError
from retq_hub.keymap import canonical
from retq_hub.spec import BackboneSpec
from retq_hub.statefile import state_dict

__all__ = ["lookalikes", "named"]

_ALIKE = 0.9
"""Share of names and shapes in common, of all that either has, from which a model is named."""


def named(
    error: CheckpointError, document: object, wanted: str, specs: Iterable[BackboneSpec]
) -> CheckpointError:
    """Give an error over a checkpoint a hint that says which backbones' it looks like.

    Args:
        error: Why it is refused.
        document: The checkpoint, from `statefile.read`.
        wanted: The id of the backbone that it was taken for.
        specs: The backbones that are known.
    """
    alike = lookalikes(document, specs)
    if not alike or wanted in alike:
        return error
    more = ", ..." if len(alike) > 3 else ""
    return CheckpointError(error.found, hint=f"it looks like {', '.join(alike[:3])}{more}")


def lookalikes(document: object, specs: Iterable[BackboneSpec]) -> list[str]:
    """Name the backbones that a checkpoint fits best; none if it fits none well.

    Args:
        document: The checkpoint, from `statefile.read`.
        specs: The backbones that are known.
    """
    shares = {spec.id: _share(document, spec) for spec in specs if spec.checkpoint.format == "timm"}
    best = max(shares.values(), default=0)
    return [name for name, share in shares.items() if share == best >= _ALIKE]


def _share(document: object, spec: BackboneSpec) -> float:
    """Give the share of names and shapes that a converted checkpoint has in common with a spec."""
    try:
        state = state_dict(document, spec.checkpoint.key, Path())
        with torch.device("meta"):
            bare = {name: torch.empty(tensor.shape) for name, tensor in state.items()}
        shapes = {
            name: tuple(tensor.shape)
            for name, tensor in canonical(bare, spec.checkpoint.map).items()
        }
        if not _plausible(shapes, spec):
            return 0.0
        have, wanted = set(shapes.items()), set(expected_shapes(spec).items())
    except RetqError:
        return 0.0
    return len(have & wanted) / len(have | wanted)


def _plausible(shapes: Mapping[str, tuple[int, ...]], spec: BackboneSpec) -> bool:
    """Whether the width is right: to build the network for comparison takes a moment."""
    if spec.architecture.projection is not None:
        return "projection.weight" in shapes
    return (spec.tokens.width,) in shapes.values()
