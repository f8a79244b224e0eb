"""From the tokens of an image to its scores: weights of positions, weighted means, classes.

Pure tensors. Axis letters: N tokens, D width, A attention vectors, g grid side of a block, G that
of the attention, E width of what is pooled, K targets, L scores (K, or K - 1 for grades).
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize

__all__ = ["aligned", "cosines", "evidence", "pool", "probabilities", "weights"]


def weights(logits: Tensor, weighting: str) -> Tensor:
    """Turn attention logits into weights of positions.

    Source: Ilse, Tomczak and Welling, Attention-based Deep Multiple Instance Learning, ICML 2018,
    for the softmax.

    Args:
        logits: (A, G, G) float32.
        weighting: ``softmax`` over positions, or ``sigmoid`` divided by its sum.

    Returns:
        (A, G, G) float32, none negative, each map sums to 1.
    """
    flat = logits.flatten(1)
    if weighting == "softmax":
        return flat.softmax(1).reshape(logits.shape)
    # The largest sigmoid is divided out before the sum: all of them may be tiny.
    shares = (torch.nn.functional.logsigmoid(flat)).softmax(1)
    return shares.reshape(logits.shape)


def pool(blocks: Sequence[Tensor], maps: Tensor, *, whole: bool) -> Tensor:
    """Give the weighted means of an image's tokens.

    A block on another grid than the weights gets theirs by area, so that each keeps its place.

    Args:
        blocks: (N, D) each, N = g * g; brought to float32.
        maps: (A, G, G) float32 weights of `weights`.
        whole: Put the plain mean of the tokens first.

    Returns:
        (E,) float32, E = D of all blocks together, times A, or A + 1 with the plain mean.
    """
    means = [_shares(block, maps, whole=whole) @ block.float() for block in blocks]
    return torch.cat(means, dim=1).flatten()


def evidence(block: Tensor, maps: Tensor, vector: Tensor, *, whole: bool) -> Tensor:
    """Say what each position adds to each score: the scores are the sums of these maps, and bias.

    Args:
        block: (N, D) tokens, the only block of the basis.
        maps: (A, G, G) float32 weights of `weights`.
        vector: (K, E) float32, what the pooled vector is multiplied with.
        whole: Whether the plain mean comes first.

    Returns:
        (K, g, g) float32.
    """
    shares = _shares(block, maps, whole=whole)
    parts = vector.reshape(len(vector), len(shares), -1)
    tokens, g = block.float(), _side(block)
    # One mean after the other: of all at once there would be K x A maps in memory.
    found = torch.zeros(len(vector), len(tokens))
    for number, share in enumerate(shares):
        found += (parts[:, number] @ tokens.T) * share
    return found.reshape(len(vector), g, g)


def aligned(tokens: Tensor, whole: Tensor, *, scale: float, per: str) -> Tensor:
    """Divide tokens by a norm, so that their dot products with texts are cosines times a scale.

    Args:
        tokens: (N, P) float32, in the space shared with text.
        whole: (P,) float32, the image embedding there.
        scale: What cosines are multiplied by.
        per: By whose norm: ``token``, each by its own; ``image``, all by that of the embedding,
            so that, where the embedding is their mean, the mean of the map is the image's logit.

    Returns:
        (N, P) float32.
    """
    lengths = whole.norm() if per == "image" else tokens.norm(dim=1, keepdim=True)
    found: Tensor = scale * tokens / lengths.clamp(min=1e-12)
    return found


def cosines(vectors: Tensor, texts: Tensor, scale: float) -> Tensor:
    """Give cosines times a scale.

    Args:
        vectors: (..., P) float32, of any length.
        texts: (C, P) float32; their length counts, since an average of unit vectors has less.
        scale: What cosines are multiplied by.

    Returns:
        (..., C) float32.
    """
    return scale * normalize(vectors.float(), dim=-1) @ texts.T


def probabilities(activation: str, scores: Tensor) -> Tensor:
    """Turn the scores of an image into probabilities of its targets.

    ``ordinal`` scores say by the logistic function how likely the grade is above each of the lower
    ones; they never rise, so that no probability is negative.

    Source: McCullagh, Regression Models for Ordinal Data, 1980, for the ordinal ones.

    Args:
        activation: ``softmax``, ``sigmoid`` or ``ordinal``.
        scores: (..., L) float32.

    Returns:
        (..., K) float32.
    """
    if activation == "softmax":
        return scores.softmax(-1)
    if activation == "sigmoid":
        return scores.sigmoid()
    above = torch.nn.functional.pad(scores.sigmoid(), (1, 0), value=1.0)
    above = torch.nn.functional.pad(above, (0, 1), value=0.0)
    return above[..., :-1] - above[..., 1:]


def _shares(block: Tensor, maps: Tensor, *, whole: bool) -> Tensor:
    """Bring weights to a block's grid: (A, N), or (1 + A, N) with the plain mean's."""
    g = _side(block)
    here = maps if maps.shape[-1] == g else interpolate(maps[None], size=(g, g), mode="area")[0]
    flat = here.flatten(1)
    flat = flat / flat.sum(1, keepdim=True)
    return torch.cat([torch.full_like(flat[:1], 1 / (g * g)), flat]) if whole else flat


def _side(block: Tensor) -> int:
    return round(float(len(block) ** 0.5))
