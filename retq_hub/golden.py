"""What a query gives on the probe image, recorded when its artifact is made."""

import torch
from torch import Tensor

from retq_hub.artifact import Golden
from retq_hub.basis import Basis
from retq_hub.features import TokenCache
from retq_hub.grids import logit_map, pick
from retq_hub.threads import one_thread

__all__ = ["record"]

_TOKENS = 16


def record(cache: TokenCache, basis: Basis, vector: Tensor, bias: Tensor) -> Golden:
    """Apply a query's vectors to the probe image.

    Args:
        cache: Tokens of the backbone that the query is for.
        basis: What it reads.
        vector: (C, D) float32.
        bias: (C,) float32.

    Returns:
        The whole logit map, and the tokens of some of its cells.
    """
    blocks = cache.probe(basis)
    with one_thread():
        logits = logit_map([block[None] for block in blocks], vector, bias)[0]
    positions = torch.linspace(0, logits[0].numel() - 1, _TOKENS).round().to(torch.int32)
    return Golden(
        positions=positions.numpy(),
        tokens=pick(blocks, positions.long()).numpy(),
        logits=logits.numpy(),
    )
