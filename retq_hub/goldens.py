"""Golden tests: what a query gives on the probe image, kept in its artifact.

Sums are made in one thread, so that the same query gives the same bytes.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from retq_hub import pooling
from retq_hub.artifact import Golden
from retq_hub.grids import logit_map, pick
from retq_hub.threads import one_thread

__all__ = ["of_attention", "of_map", "of_scores"]

_TOKENS = 16


def of_map(blocks: Sequence[Tensor], vector: Tensor, bias: Tensor) -> Golden:
    """Record a logit map of the probe image, and some of the tokens that it comes from.

    Args:
        blocks: (N, D) of each pass, as the vectors are multiplied with them.
        vector: (C, D) float32.
        bias: (C,) float32.
    """
    with one_thread():
        logits = logit_map([block[None] for block in blocks], vector, bias)[0]
    positions = torch.linspace(0, logits[0].numel() - 1, _TOKENS).round().to(torch.int32)
    return Golden(
        positions=positions.numpy(),
        tokens=pick(blocks, positions.long()).numpy(),
        logits=logits.numpy(),
    )


def of_scores(pooled: Tensor, vector: Tensor, bias: Tensor) -> Golden:
    """Record the scores of the probe image.

    Args:
        pooled: (E,) float32, as the vectors are multiplied with it: of cosines times their scale,
            it has that length.
        vector: (K, E) float32; of grades (1, E).
        bias: (L,) float32.
    """
    with one_thread():
        scores = vector @ pooled + bias
    return Golden(pooled=pooled[None].numpy(), scores=scores[None].numpy())


def of_attention(
    read: Sequence[Tensor],
    attention: tuple[Tensor, Tensor],
    blocks: Sequence[Tensor],
    classifier: tuple[Tensor, Tensor],
    *,
    weighting: str,
    whole: bool,
) -> Golden:
    """Record the attention map of the probe image, and its scores.

    Args:
        read: (N, D) of each pass that attention reads.
        attention: Its (A, D) vectors and (A,) biases.
        blocks: (N, D) of each pass whose tokens are pooled.
        classifier: (K, E) vectors and (L,) biases.
        weighting: See `retq_hub.kinds.Pooling`.
        whole: See there.
    """
    seen = of_map(read, *attention)
    assert seen.logits is not None, "a map has logits"
    with one_thread():
        maps = pooling.weights(torch.from_numpy(seen.logits), weighting)
        pooled = pooling.pool(blocks, maps, whole=whole)
    scores = of_scores(pooled, *classifier)
    return replace(seen, pooled=scores.pooled, scores=scores.scores)
