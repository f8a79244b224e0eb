"""Which tokens a query reads: passes over the image, layers, views, pixel channels."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

__all__ = ["Basis", "Pass", "span", "union"]


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One way of running the backbone over an image, and the layers that are read from it.

    Attributes:
        size_px: Side of the square that the backbone sees.
        tiles: The image is cut into ``tiles`` x ``tiles`` squares of that size; 1: not cut.
        layers: Blocks whose tokens are read, counted from 0, concatenated in this order.
        overlap_px: By so many pixels neighbouring squares overlap; None: they do not.
    """

    size_px: int
    tiles: int
    layers: tuple[int, ...]
    overlap_px: int | None = None

    @property
    def side_px(self) -> int:
        """Side of the square that the whole image is resized to before it is cut."""
        return self.tiles * self.size_px - (self.tiles - 1) * (self.overlap_px or 0)


@dataclass(frozen=True, kw_only=True)
class Basis:
    """Which tokens a query reads.

    Attributes:
        passes: The passes, concatenated in this order.
        norm: Whether the backbone's final norm is applied to each layer's tokens.
        views: The views of the image over which tokens are averaged, see `retq_hub.views.VIEWS`;
            None: the plain image alone.
        pixels: The pixel channels that follow the tokens, see `retq_hub.channels`; None: none.
    """

    passes: tuple[Pass, ...]
    norm: bool
    views: tuple[str, ...] | None = None
    pixels: str | None = None

    @property
    def layers(self) -> tuple[int, ...]:
        """All layers in the order in which their tokens are concatenated."""
        return tuple(layer for one in self.passes for layer in one.layers)

    @property
    def places(self) -> tuple[tuple[Pass, int], ...]:
        """The pass, without its layers, and the layer of each width of tokens, in their order."""
        return tuple(
            (replace(one, layers=()), layer) for one in self.passes for layer in one.layers
        )


def span(bases: Sequence[Basis]) -> Basis | None:
    """Give the basis that has the tokens of all bases, in the order in which they first occur.

    Args:
        bases: At least one.

    Returns:
        None where there is none: norm and views are those of a whole basis.
    """
    if len({(one.norm, one.views) for one in bases}) > 1:
        return None
    layers: dict[Pass, dict[int, None]] = {}
    for place, layer in (place for one in bases for place in one.places):
        layers.setdefault(place, {})[layer] = None
    return replace(
        bases[0],
        passes=tuple(replace(place, layers=tuple(found)) for place, found in layers.items()),
        pixels=next((one.pixels for one in bases if one.pixels), None),
    )


def union(bases: Iterable[Basis]) -> Basis:
    """Give the basis that reads all that several read, in one run of each pass.

    Args:
        bases: One at least, with the same views and the same use of the final norm.
    """
    several = list(bases)
    layers: dict[Pass, set[int]] = {}
    for basis in several:
        for one in basis.passes:
            layers.setdefault(replace(one, layers=()), set()).update(one.layers)
    passes = tuple(replace(one, layers=tuple(sorted(found))) for one, found in layers.items())
    return replace(several[0], passes=passes, pixels=None)
