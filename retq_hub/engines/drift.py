"""How far an engine is from float32 PyTorch, in tokens and in masks, and what is too far.

Axis letters: S side of a square in pixels, N tokens, D width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from retq_hub import geometry, probe
from retq_hub.embedded import EXAMPLE_IMAGE
from retq_hub.engines.engine import Engine
from retq_hub.errors import EngineDrift
from retq_hub.images import decode
from retq_hub.spec import BackboneSpec

__all__ = ["DICE", "TOKENS", "Drift", "Masks", "check", "measure"]

DICE = 0.97
"""Lowest Dice of a target's masks by an engine and by float32.

Measured on IDRiD's test images, disc and lesions: bfloat16 0.9988 and 0.992, 8 bits 0.993 and
0.944.
"""

TOKENS = 0.1
"""Largest relative distance of tokens; bfloat16 is 0.01 off, 8 bits 0.06."""

_BEYOND = 1e9
"""Stands for a distance that is no number."""

_FEW = 5e-5
"""A share of pixels that may differ whatever the Dice: of a small mask each pixel is much."""

Masks = Callable[[Engine], Sequence[NDArray[np.bool_]]]
"""Gives the masks that queries make with an engine: one (images, H, W) array a target."""


@dataclass(frozen=True, kw_only=True)
class Drift:
    """How far an engine is from float32 PyTorch.

    Attributes:
        fingerprint: Relative distance of the two fingerprints, see `retq_hub.probe`.
        tokens: Relative distance of the tokens of a photograph, in the layer where it is largest.
        dice: Lowest Dice of a target's masks over all images; None: no masks were made.
        pixels: Share of the pixels that differ; the largest of a target whose Dice is too low.
    """

    fingerprint: float
    tokens: float
    dice: float | None = None
    pixels: float = 0.0

    def __str__(self) -> str:
        masks = "" if self.dice is None else f", masks with a Dice of {self.dice:.4f}"
        return f"fingerprint {self.fingerprint:.2g} off, tokens {self.tokens:.2g} off{masks}"

    @property
    def is_tolerable(self) -> bool:
        """Whether queries may be read from the engine's tokens."""
        near = self.fingerprint <= probe.TOLERANCE and self.tokens <= TOKENS
        return near and self.pixels <= _FEW


def measure(
    engine: Engine, reference: Engine, spec: BackboneSpec, *, masks: Masks | None = None
) -> Drift:
    """Compare an engine with another on the probe, on the example photograph and by masks.

    Args:
        engine: The one.
        reference: The other, float32 PyTorch.
        spec: Of the backbone that both run.
        masks: Makes the masks that are compared.

    Raises:
        UsageError: The engine cannot run.
    """
    ours, theirs = _tokens(engine, spec), _tokens(reference, spec)
    dice, pixels = _of_masks(masks(engine), masks(reference)) if masks else (None, 0.0)
    on_probe = [probe.fingerprint([one[0].numpy() for one in some]) for some in (ours, theirs)]
    return Drift(
        fingerprint=_number(probe.deviation(on_probe[1], on_probe[0])),
        tokens=max(_distance(a[1], b[1]) for a, b in zip(ours, theirs, strict=True)),
        dice=dice,
        pixels=pixels,
    )


def check(drift: Drift, what: str) -> None:
    """Refuse an engine that is too far off.

    Args:
        drift: Of the engine.
        what: The engine, for the message.

    Raises:
        EngineDrift: It is; the figures and what is allowed are named.
    """
    if not drift.is_tolerable:
        raise EngineDrift(
            f"{what} is too far from float32 PyTorch: {drift} (allowed: fingerprint "
            f"{probe.TOLERANCE}, tokens {TOKENS}, Dice {DICE})",
            hint="take another --precision or --engine",
        )


def _tokens(engine: Engine, spec: BackboneSpec) -> list[Tensor]:
    """Give each layer's (2, N, D) tokens of the probe and of the example photograph."""
    size = spec.preprocessing.size_px
    drawn = probe.probe_image(size).astype(np.float32)
    photograph = geometry.square(decode(EXAMPLE_IMAGE), spec.preprocessing, size)
    squares = torch.from_numpy(np.stack([drawn.astype(photograph.dtype), photograph]))
    layers = range(spec.tokens.layers)
    return engine(squares, layers, norm=True, embed=False)[0]


def _distance(one: Tensor, other: Tensor) -> float:
    return _number(float((one - other).norm() / other.norm()))


def _number(distance: float) -> float:
    return float(np.nan_to_num(distance, nan=_BEYOND, posinf=_BEYOND))


def _of_masks(
    ours: Sequence[NDArray[np.bool_]], theirs: Sequence[NDArray[np.bool_]]
) -> tuple[float, float]:
    """Give the lowest Dice, and the largest share of pixels that differ where it is too low."""
    found = [
        (_dice(one, other), float((one ^ other).mean()))
        for one, other in zip(ours, theirs, strict=True)
    ]
    low = [pixels for dice, pixels in found if dice < DICE]
    return min(dice for dice, _ in found), max(low, default=0.0)


def _dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    marked = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / marked if marked else 1.0
