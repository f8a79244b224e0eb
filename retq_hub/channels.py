"""Pixel channels: a few numbers of each place that a patch is too coarse for. No torch, no files.

Local contrast, brighter and darker apart, and steepness of edges, in red and green at several
scales. They are appended to the tokens as a block of their own on a finer grid, and the query
learns a weight for each.
"""

from typing import TYPE_CHECKING

from retq_hub.smoothing import smoothed, steepness

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

__all__ = ["METHOD", "N_CHANNELS", "SIDE", "SIZE_PX", "pixel_channels"]

METHOD = "retq-pixels-1"

SIDE = 196
"""Side of the grid."""

SIZE_PX = 392
"""Side at which they are computed."""
_SCALES_PX = (0.7, 1.5, 3, 6)
_BACKGROUND_PX = 12
N_CHANNELS = 5 * len(_SCALES_PX)


def pixel_channels(image: "Image.Image") -> "NDArray[np.float32]":
    """Compute the channels of an image.

    At 392 x 392 pixels, Gaussian smoothing at 0.7 to 6 pixels against a background of 12: the
    contrast relative to the background, its positive and negative part, in red and in green; and
    the gradient of green. Then the mean over 2 x 2 pixels.

    Args:
        image: RGB.

    Returns:
        (196 * 196, 20) float32.
    """
    import numpy as np
    from PIL import Image

    resized = image.resize((SIZE_PX, SIZE_PX), Image.Resampling.BICUBIC)
    colours: NDArray[np.float32] = np.asarray(resized, dtype=np.float32) / np.float32(255)
    red, green = np.ascontiguousarray(colours[..., :2].transpose(2, 0, 1))
    found: list[NDArray[np.float32]] = []
    for channel in (red, green):
        background = smoothed(channel, _BACKGROUND_PX)
        for scale in _SCALES_PX:
            contrast = (smoothed(channel, scale) - background) / (background + np.float32(0.05))
            found += [np.maximum(contrast, 0), np.maximum(-contrast, 0)]
    for scale in _SCALES_PX:
        found.append(steepness(green, scale) / (background + np.float32(0.05)))
    stacked = np.stack([_halved(one) for one in found], axis=-1)
    return stacked.reshape(SIDE * SIDE, N_CHANNELS)


def _halved(values: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """Average over 2 x 2 pixels, added up row by row."""
    upper, lower = values[0::2], values[1::2]
    total = upper[:, 0::2] + upper[:, 1::2] + lower[:, 0::2] + lower[:, 1::2]
    total /= 4
    return total
