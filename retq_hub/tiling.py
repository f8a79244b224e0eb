"""How an image is cut for the backbone, and how the tiles' tokens come back to one grid.

Tensors and arrays only. Axis letters: T tiles, N tokens of a tile, D width, G side of the stitched
grid in cells.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from retq_hub.errors import UsageError
from retq_hub.views import Pixels

__all__ = ["PassKey", "cut", "stitch", "stitching"]


@dataclass(frozen=True, order=True)
class PassKey:
    """What makes two passes the same: they see the same pixels and give the same tokens.

    Attributes:
        size_px: Side of the square that the backbone sees.
        tiles: The image is cut into ``tiles`` x ``tiles`` such squares.
        overlap_px: By so many pixels neighbouring squares overlap.
        norm: Whether the final norm is applied.
        view: One of `retq_hub.views.VIEWS`; tokens are brought back to the plain image's places.
    """

    size_px: int
    tiles: int
    norm: bool
    overlap_px: int = 0
    view: str = "plain"

    @property
    def side_px(self) -> int:
        """Side of the square that the whole image is resized to before it is cut."""
        return self.tiles * self.size_px - (self.tiles - 1) * self.overlap_px

    def grid(self, patch_px: int) -> int:
        """Give the side of the stitched grid in cells.

        Raises:
            UsageError: Size or overlap do not fall on the patches, or the overlap is too large.
        """
        if not 0 <= 2 * self.overlap_px <= self.size_px or (self.overlap_px and self.tiles == 1):
            raise UsageError(
                f"{self.tiles} x {self.tiles} tiles of {self.size_px} pixels cannot overlap by "
                f"{self.overlap_px}",
                hint="by half of the tile at most",
            )
        for what, pixels in (("input size", self.size_px), ("overlap", self.overlap_px)):
            if pixels % patch_px:
                raise UsageError(
                    f"an {what} of {pixels} pixels is no multiple of the backbone's patch, "
                    f"{patch_px}",
                    hint=f"such as {max(1, round(pixels / patch_px)) * patch_px}",
                )
        return self.side_px // patch_px


def cut(pixels: Pixels, key: PassKey) -> Pixels:
    """Cut a square image into tiles, row by row.

    Args:
        pixels: (side_px, side_px, 3).
        key: How.

    Returns:
        (T, size_px, size_px, 3), T = tiles * tiles.
    """
    step = key.size_px - key.overlap_px
    starts = [number * step for number in range(key.tiles)]
    size = key.size_px
    return np.stack([pixels[y : y + size, x : x + size] for y in starts for x in starts])


def stitch(tokens: Tensor, key: PassKey, patch_px: int) -> Tensor:
    """Put the tokens of tiles together; where tiles overlap, the nearer to its middle counts more.

    Args:
        tokens: (T, N, D), tiles as `cut` gives them.
        key: How the image was cut.
        patch_px: Side of a patch.

    Returns:
        (G, G, D) float32.
    """
    g, G = key.size_px // patch_px, key.grid(patch_px)
    rows = _blend(key.tiles, g, key.overlap_px // patch_px)
    field = tokens.view(key.tiles, key.tiles, g, g, -1)
    stitched = torch.zeros(G, G, tokens.shape[-1])
    step = g - key.overlap_px // patch_px
    for down in range(key.tiles):
        for right in range(key.tiles):
            weight = rows[down][:, None, None] * rows[right][None, :, None]
            y, x = down * step, right * step
            stitched[y : y + g, x : x + g] += weight * field[down, right]
    return stitched


def stitching(key: PassKey, patch_px: int) -> Tensor:
    """Give what `stitch` does along one axis as a matrix, (G, tiles * g)."""
    g, step = key.size_px // patch_px, (key.size_px - key.overlap_px) // patch_px
    matrix = torch.zeros(key.grid(patch_px), key.tiles * g)
    for number, weights in enumerate(_blend(key.tiles, g, key.overlap_px // patch_px)):
        rows = torch.arange(g) + number * step
        matrix[rows, torch.arange(g) + number * g] = weights
    return matrix


@lru_cache(maxsize=32)
def _blend(tiles: int, g: int, overlap: int) -> list[Tensor]:
    """Give each tile's weight by cell along one axis; over a cell they sum to 1."""
    ramp = (torch.arange(overlap) + 0.5) / max(1, overlap)
    weights = []
    for number in range(tiles):
        one = torch.ones(g)
        if overlap and number > 0:
            one[:overlap] = ramp
        if overlap and number < tiles - 1:
            one[g - overlap :] = ramp.flip(0)
        weights.append(one)
    return weights
