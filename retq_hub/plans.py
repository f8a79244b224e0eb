"""Which passes of a backbone serve some bases, and how their tokens become what a basis names.

Axis letters: N tokens, D width.
"""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor

from retq_hub.basis import Basis, Pass
from retq_hub.spec import BackboneSpec
from retq_hub.tiling import PassKey

__all__ = ["Plan", "TokenSet", "assemble", "home", "last_layer", "layered", "plan"]

Plan: TypeAlias = Mapping[PassKey, tuple[int, ...]]
"""Which layers are read from which pass."""

TokenSet: TypeAlias = Mapping[tuple[PassKey, int], Tensor]
"""The (N, D) tokens of one image by pass and layer."""


def plan(bases: Iterable[Basis]) -> dict[PassKey, tuple[int, ...]]:
    """Merge bases into the fewest passes that serve them all."""
    layers: dict[PassKey, set[int]] = {}
    for basis in bases:
        for one in basis.passes:
            for key in _keys(one, basis):
                layers.setdefault(key, set()).update(one.layers)
    return {key: tuple(sorted(found)) for key, found in sorted(layers.items())}


def last_layer(spec: BackboneSpec) -> Basis:
    """Give the basis of a backbone's own output: the whole image, last layer, norm applied."""
    one = Pass(size_px=spec.preprocessing.size_px, tiles=1, layers=(spec.tokens.layers - 1,))
    return Basis(passes=(one,), norm=True)


def home(spec: BackboneSpec) -> tuple[PassKey, PassKey]:
    """Give the passes that the image embedding can be read from: the whole image, at its size.

    Returns:
        With final norm and without; the embedding is the same.
    """
    size = spec.preprocessing.size_px
    return PassKey(size, 1, norm=True), PassKey(size, 1, norm=False)


def assemble(tokens: TokenSet, basis: Basis) -> list[Tensor]:
    """Put together the tokens that a basis names.

    Returns:
        One (N, D) block a pass, its layers concatenated, averaged over the views.
    """
    parts = iter(layered(tokens, basis))
    return [torch.cat([next(parts) for _ in one.layers], dim=-1) for one in basis.passes]


def layered(tokens: TokenSet, basis: Basis) -> list[Tensor]:
    """Give what `assemble` puts together: the tokens of each layer, averaged over the views.

    Args:
        tokens: Of one image, (N, D), or of several, (B, N, D).
        basis: The basis.

    Returns:
        One tensor a pass and layer, in the order of the basis; float32 where there are several
        views, the tokens themselves where there is one.
    """
    return [
        found[0] if len(found) == 1 else torch.stack([part.float() for part in found]).mean(0)
        for one in basis.passes
        for layer in one.layers
        for found in [[tokens[key, layer] for key in _keys(one, basis)]]
    ]


def _keys(one: Pass, basis: Basis) -> list[PassKey]:
    """Give a pass of each view."""
    return [
        PassKey(one.size_px, one.tiles, basis.norm, overlap_px=one.overlap_px or 0, view=view)
        for view in basis.views or ("plain",)
    ]
