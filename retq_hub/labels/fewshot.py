"""Few-shot adaptation: a text's vectors and a few labelled images make a classifier's vectors.

Tensors only: no files, no images. Nothing is chosen on validation images, for there are none; what
a method needs it takes from the images that it learns from. Whoever wants the same bytes calls
these in one thread.

Axis letters: n images, C classes, P width of the space that images share with text.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["METHODS", "Adapted", "Method", "clap", "lp_plus_plus", "ss_text", "text_pull"]

_STEPS = 300
_MOMENTUM = 0.9
_MOST_TRUST = 1000
"""SS-Text trusts a class's images in proportion to their number, up to this one."""
_BLEND = 250
"""LP++ begins with this many times the mean cosine of images and the text of their class."""
_BLEND_EVERY = 10
_RATE = 0.1
_FIRST_RATE = 1e-5


@dataclass(frozen=True, kw_only=True)
class Adapted:
    """A classifier in the space shared with text: ``logits = scale * unit(image) . vector + bias``.

    Attributes:
        vector: (C, P) float64.
        bias: (C,) float64.
        loss: What was minimised, in words.
        chosen: What the method took from the images, in words.
    """

    vector: Tensor
    bias: Tensor
    loss: str
    chosen: str


Method = Callable[[Tensor, Tensor, Tensor, float], Adapted]
"""From features (n, P), labels (n,), text (C, P) and the scale of cosines."""


def text_pull(features: Tensor, labels: Tensor, text: Tensor, scale: float) -> Tensor:
    """Give the vectors that lie best between the text's and those of the images, in closed form.

    They minimise ``-1/n sum_i scale * features_i . w_label(i) + 1/2 sum_c |w_c - text_c|^2 / m_c``
    where m_c is the number of images of class c, at most 1000: the fewer images, the closer a class
    stays to its text. Without any it is the text.

    Args:
        features: (n, P) float64, of unit norm.
        labels: (n,) int64, 0 to C - 1.
        text: (C, P) float64.
        scale: What cosines are multiplied with.

    Returns:
        (C, P) float64.

    Source: SS-Text with shots-adaptive multipliers, Silva-Rodriguez et al., MICCAI 2025
    (arXiv:2506.17500) and IPMI 2025.
    """
    shown = F.one_hot(labels, len(text)).to(features.dtype)
    trust = shown.sum(0).clamp(max=_MOST_TRUST)
    return text + scale / len(labels) * trust[:, None] * (shown.T @ features)


def ss_text(features: Tensor, labels: Tensor, text: Tensor, scale: float) -> Adapted:
    """Adapt in closed form; for classes of any number of images, none included.

    From each vector of `text_pull` a unit vector along ``2 w_c - mean(w)`` is taken off, which
    drives the classes apart, and it is divided by its norm.

    Args:
        features: (n, P) float64, of unit norm.
        labels: (n,) int64, 0 to C - 1.
        text: (C, P) float64.
        scale: What cosines are multiplied with.

    Source: SS-Text+, Silva-Rodriguez et al., MICCAI 2025 (arXiv:2506.17500).
    """
    pulled = text_pull(features, labels, text, scale)
    apart = pulled - F.normalize(2 * pulled - pulled.mean(0), dim=-1)
    return Adapted(
        vector=F.normalize(apart, dim=-1),
        bias=text.new_zeros(len(text)),
        loss="minus the mean logit of the label, L2 towards the texts",
        chosen="in closed form; each class is held to its text by one over its number of images",
    )


def lp_plus_plus(
    features: Tensor, labels: Tensor, text: Tensor, scale: float, *, steps: int = _STEPS
) -> Adapted:
    """Learn a vector and a weight of the text for each class: ``w_c + alpha_c text_c``, and a bias.

    Cross-entropy, steps over all images. Step sizes come from the features' largest singular
    value and the cosines with the text, beginnings from sums of features and from those cosines.
    The weight of the text moves every tenth step, along all its slopes until then.

    Args:
        features: (n, P) float64, of unit norm.
        labels: (n,) int64, 0 to C - 1, each of them at least once.
        text: (C, P) float64; directions only count.
        scale: What cosines are multiplied with; divided out of what is learned.
        steps: How many.

    Source: LP++, Huang et al., CVPR 2024 (arXiv:2404.02285), as its published code does it, except
    that the last step is taken instead of the best on validation images, and biases begin at zero.
    """
    shown = F.one_hot(labels, len(text)).to(features.dtype)
    text = F.normalize(text, dim=-1)
    cosines = features @ text.T
    rate = 4 * len(labels) / float(torch.linalg.matrix_norm(features, 2)) ** 2
    blend_rate = len(labels) / (4 * float(cosines.square().sum(0).max()))
    vector, bias = shown.T @ features, text.new_zeros(len(text))
    blend = _BLEND * ((cosines * shown).sum(0) / shown.sum(0)).mean().expand(len(text)).clone()
    speed, bias_speed, blend_slope = (torch.zeros_like(one) for one in (vector, bias, blend))
    for step in range(1, steps + 1):
        logits = features @ vector.T + bias + blend * cosines
        rest = (logits.softmax(-1) - shown) / len(labels)
        speed = _MOMENTUM * speed + rest.T @ features
        bias_speed = _MOMENTUM * bias_speed + rest.sum(0)
        blend_slope += (rest * cosines).sum(0)
        vector = vector - rate * speed
        bias = bias - rate * bias_speed
        if step % _BLEND_EVERY == 0:
            blend = blend - blend_rate * blend_slope
    return Adapted(
        vector=(vector + blend[:, None] * text) / scale,
        bias=bias,
        loss="cross-entropy",
        chosen=f"{steps} steps of {rate:.3g}, of {blend_rate:.3g} for the weights of the texts, "
        f"which came to {_range(blend)}",
    )


def clap(
    features: Tensor, labels: Tensor, text: Tensor, scale: float, *, steps: int = _STEPS
) -> Adapted:
    """Learn vectors that begin at the text and are held to it, the more the better it does.

    Cross-entropy plus the mean over classes of ``pull_c |w_c - text_c|^2``; the multiplier of a
    class is the mean probability that the text gives it for its own images. Steps over all images;
    vectors are divided by their norms.

    Args:
        features: (n, P) float64, of unit norm.
        labels: (n,) int64, 0 to C - 1, each of them at least once.
        text: (C, P) float64.
        scale: What cosines are multiplied with.
        steps: How many.

    Source: CLAP, Silva-Rodriguez et al., CVPR 2024 (arXiv:2312.12730): zero-shot initialised,
    multipliers fixed at their first values, without augmented copies of the images.
    """
    pull = _own_probability(features, labels, text, scale)
    weights = text.clone().requires_grad_()
    optimiser = torch.optim.SGD([weights], lr=_RATE, momentum=_MOMENTUM, foreach=False)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = _rate(step, steps)
        logits = scale * features @ F.normalize(weights, dim=-1).T
        held = (pull * (weights - text).square().sum(-1)).mean()
        optimiser.zero_grad()
        (F.cross_entropy(logits, labels) + held).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return Adapted(
        vector=F.normalize(weights.detach(), dim=-1),
        bias=text.new_zeros(len(text)),
        loss="cross-entropy, L2 towards the texts",
        chosen=f"{steps} steps from the texts, to which the classes are held by {_range(pull)}",
    )


def _rate(step: int, steps: int) -> float:
    """Give CLAP's learning rate: one careful step, then half a cosine."""
    return _RATE * (1 + math.cos(math.pi * (step - 1) / steps)) / 2 if step else _FIRST_RATE


def _own_probability(features: Tensor, labels: Tensor, text: Tensor, scale: float) -> Tensor:
    """Give the mean probability of each class for its own images by the text alone, (C,)."""
    shown = F.one_hot(labels, len(text)).to(features.dtype)
    logits = scale * features @ F.normalize(text, dim=-1).T
    return (logits.softmax(-1) * shown).sum(0) / shown.sum(0)


def _range(values: Tensor) -> str:
    return f"{float(values.min()):.3g} to {float(values.max()):.3g}"


METHODS: Mapping[str, Method] = MappingProxyType(
    {"clap": clap, "lp++": lp_plus_plus, "ss-text": ss_text}
)
"""The methods by name."""
