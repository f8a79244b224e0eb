"""From an image to the square that a backbone sees, and from the square back to the image.

Tokens leave a backbone on a grid that covers the image and nothing else, whatever the square
showed beside it. So masks, pixel channels and pictures know one geometry, the image stretched to
a unit square, and no aspect. Pixels and tensors only, no names.

What a spec's ``aspect`` means:

- ``stretch``: the image fills the square.
- ``pad``: it keeps its aspect and lies in the upper left corner; beside it the square is black.
- ``crop``: the image embedding is of the square cut out of its middle; tokens are those of the
  whole image, stretched, for a map must cover it.

Axis letters: G grid side in cells, D width, H/W pixels of the resized image, S of the square.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from retq_hub.errors import ImageError
from retq_hub.grids import sampling_matrix
from retq_hub.spec import Preprocessing
from retq_hub.views import Pixels

__all__ = [
    "Frame",
    "centre",
    "frame",
    "is_cropped",
    "middle",
    "onto_image",
    "onto_square",
    "resized",
    "square",
]

_RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


_LONGEST = 32


@dataclass(frozen=True)
class Frame:
    """The part of a square that an image fills, from the upper left corner on.

    Attributes:
        width: W, at most S.
        height: H, at most S.
        side_px: S.
    """

    width: int
    height: int
    side_px: int

    @property
    def is_full(self) -> bool:
        """Whether the image fills the square."""
        return self.width == self.height == self.side_px

    def filled(self, pixels: Pixels) -> Pixels:
        """Put the (H, W, 3) pixels of the resized image on the square, (S, S, 3); the rest is 0."""
        if self.is_full:
            return pixels
        canvas = np.zeros((self.side_px, self.side_px, 3), dtype=pixels.dtype)
        canvas[: self.height, : self.width] = pixels
        return canvas


def frame(size: tuple[int, int], preprocessing: Preprocessing, side_px: int) -> Frame:
    """Place the whole image on a square, as tokens are made of it.

    Where the aspect is kept the longer side fills the square and the shorter is rounded down.

    Args:
        size: Width and height of the image.
        preprocessing: Says what becomes of the aspect.
        side_px: S.
    """
    if preprocessing.aspect != "pad":
        return Frame(side_px, side_px, side_px)
    longer = max(size)
    width, height = (max(1, side * side_px // longer) for side in size)
    return Frame(width, height, side_px)


def is_cropped(size: tuple[int, int], preprocessing: Preprocessing) -> bool:
    """Whether the image embedding is of other pixels than the tokens.

    Args:
        size: Width and height of the image.
        preprocessing: Says what becomes of the aspect.
    """
    whole = size[0] == size[1] and preprocessing.share is None
    return preprocessing.aspect == "crop" and not whole


def resized(image: Image.Image, preprocessing: Preprocessing, size: tuple[int, int]) -> Pixels:
    """Resize an RGB image, antialiased.

    Args:
        image: The image.
        preprocessing: Resampling; whether values keep their fractions; whether colours are wanted.
        size: Width and height wanted.

    Returns:
        (H, W, 3) uint8, RGB, 0-255, or float32 where values keep their fractions.
    """
    if preprocessing.grey:
        image = image.convert("L").convert("RGB")
    if preprocessing.unrounded:
        return _interpolated(image, preprocessing.resize, size)
    small = image.resize(size, _RESAMPLING[preprocessing.resize])
    return np.asarray(small, dtype=np.uint8)


def square(image: Image.Image, preprocessing: Preprocessing, side_px: int) -> Pixels:
    """Give the square that a backbone sees of the whole image.

    Returns:
        (S, S, 3) uint8, RGB, 0-255, or float32 where values keep their fractions.
    """
    place = frame(image.size, preprocessing, side_px)
    return place.filled(resized(image, preprocessing, (place.width, place.height)))


def middle(size: tuple[int, int], preprocessing: Preprocessing) -> tuple[int, int]:
    """Say to which width and height an image is resized before its middle is cut out.

    The shorter side is brought to the square's side over the share of it that is kept, both
    rounded down, as is the longer side.

    Args:
        size: Width and height of the image.
        preprocessing: Says what is kept.

    Raises:
        ImageError: It is so narrow that the resized image would be huge.
    """
    short = int(preprocessing.size_px / (preprocessing.share or 1))
    shorter, longer = sorted(size)
    if longer > _LONGEST * shorter:
        raise ImageError(
            f"the image is {size[0]} x {size[1]} pixels: the backbone sees the square in "
            f"its middle, and one side is more than {_LONGEST} times the other",
            hint="cut out the part that matters first",
        )
    return short * size[0] // shorter, short * size[1] // shorter


def centre(
    image: Image.Image, preprocessing: Preprocessing, *, size: tuple[int, int] | None = None
) -> Pixels:
    """Give the square that is cut out of the middle of the image for its embedding.

    Half pixels of the rim round to even.

    Args:
        image: RGB.
        preprocessing: Says how it is resized.
        size: Where it is resized to, see `middle`; worked out if not given.

    Returns:
        (S, S, 3) as `square` does, S the spec's own.

    Raises:
        ImageError: It is so narrow that the resized image would be huge.
    """
    side_px = preprocessing.size_px
    width, height = size or middle(image.size, preprocessing)
    left, top = (round((side - side_px) / 2) for side in (width, height))
    pixels = resized(image, preprocessing, (width, height))
    return pixels[top : top + side_px, left : left + side_px]


def onto_image(field: Tensor, place: Frame) -> Tensor:
    """Bring what a backbone says of a square to a grid over the image in it, bilinearly.

    Cells that show nothing of the image are left out.

    Args:
        field: (G, G, D) float32, over the square.
        place: Where the image lies on it.

    Returns:
        (G, G, D) float32, over the image.
    """
    if place.is_full:
        return field
    rows, columns = (
        _shares(len(field), side, place.side_px) for side in (place.height, place.width)
    )
    return torch.einsum("yi,xj,ijd->yxd", rows, columns, field)


def onto_square(mask: NDArray[np.bool_], place: Frame) -> NDArray[np.bool_]:
    """Bring a mask over an image to the square on which the image lies.

    Args:
        mask: (S, S) bool, over the image.
        place: Where the image lies on the square.

    Returns:
        (S, S) bool, over the square; nothing is marked beside the image.
    """
    if place.is_full:
        return mask
    canvas = np.zeros((place.side_px, place.side_px), dtype=np.bool_)
    rows, columns = (
        (np.arange(side) + 0.5) * len(mask) // side for side in (place.height, place.width)
    )
    canvas[: place.height, : place.width] = mask[np.ix_(rows.astype(int), columns.astype(int))]
    return canvas


def _shares(grid: int, filled_px: int, side_px: int) -> Tensor:
    """Give the (G, G) weights of the square's cells in each of the image's, along one axis."""
    shown = -(-filled_px * grid // side_px)
    position = (torch.arange(grid, dtype=torch.float64) + 0.5) * filled_px / side_px - 0.5
    weights = torch.zeros(grid, grid)
    weights[:, :shown] = sampling_matrix(position, shown)
    return weights


def _interpolated(image: Image.Image, resize: str, size: tuple[int, int]) -> NDArray[np.float32]:
    """Resize floats."""
    values = torch.from_numpy(np.asarray(image, dtype=np.float32)).permute(2, 0, 1)[None]
    small = interpolate(values, size=size[::-1], mode=resize, antialias=True)
    return np.asarray(small[0].permute(1, 2, 0).contiguous().numpy(), dtype=np.float32)
