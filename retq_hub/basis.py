"""Which tokens a query reads: passes over the image, layers, views, pixel channels."""

from dataclasses import dataclass

__all__ = ["Basis", "Pass"]


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
