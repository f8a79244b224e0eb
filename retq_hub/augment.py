"""Augmentation: a random view of a square image and its masks, the same whenever it is drawn again.

Images and masks go through one affine map, so that they keep fitting each other; only the image
changes its brightness. Nothing here knows tensors or a backbone.

Axis letters: C targets, R pixels a side of the square that comes in, S of the one that goes out.

Source: RETQuerySeg, section 2.3, names the kinds: rotation, flipping, brightness and contrast,
scaling. It gives no ranges; those here are customary ones.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from retq_hub.geometry import square
from retq_hub.images import area_mask
from retq_hub.spec import Preprocessing

__all__ = ["NO_AUGMENTATION", "OVERSIZE", "Augmentation", "View"]

OVERSIZE = 2
"""Squares are best kept this many times larger than the backbone sees them.

Turning pixels by a few degrees blurs them. Done at twice the size and then reduced as any image
is, the view is about as sharp as the images that the query will be used on.
"""


@dataclass(frozen=True, kw_only=True)
class View:
    """One way to look at an image; the default changes nothing.

    Attributes:
        angle_deg: Rotation about the centre, counter-clockwise.
        mirrored: Left and right are exchanged, before the rotation.
        upended: Top and bottom are exchanged, before the rotation.
        zoom: Magnification about the centre; below 1 a black rim appears.
        brightness: Factor on all values.
        contrast: Factor on the distance of all values from the mean grey.
    """

    angle_deg: float = 0.0
    mirrored: bool = False
    upended: bool = False
    zoom: float = 1.0
    brightness: float = 1.0
    contrast: float = 1.0

    def image(self, pixels: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.uint8]:
        """Give the view of an image as the backbone sees it; what lies outside is black.

        Args:
            pixels: (R, R, 3) uint8, RGB, 0-255; R at least S.
            preprocessing: How to reduce it, and S.

        Returns:
            (S, S, 3) uint8, RGB, 0-255.
        """
        warped = self._warp(Image.fromarray(pixels), Image.Resampling.BICUBIC)
        small = Image.fromarray(square(warped, preprocessing, preprocessing.size_px))
        bright = ImageEnhance.Brightness(small).enhance(self.brightness)
        return np.asarray(ImageEnhance.Contrast(bright).enhance(self.contrast), dtype=np.uint8)

    def masks(self, masks: NDArray[np.bool_], size_px: int) -> NDArray[np.bool_]:
        """Give the view of an image's masks; what lies outside is background.

        Args:
            masks: (C, R, R) bool.
            size_px: S; a pixel is marked from half of its area on.

        Returns:
            (C, S, S) bool.
        """
        return np.stack([area_mask(self._mask(mask), size_px) for mask in masks])

    def _mask(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        grey = Image.fromarray(mask.astype(np.uint8) * 255)
        return np.asarray(self._warp(grey, Image.Resampling.BILINEAR)) >= 128

    def _warp(self, image: Image.Image, resampling: Image.Resampling) -> Image.Image:
        """Look up each pixel where flips, rotation and zoom, together, took it from."""
        if not (self.angle_deg or self.mirrored or self.upended or self.zoom != 1):
            return image
        cosine = np.cos(np.radians(self.angle_deg)) / self.zoom
        sine = np.sin(np.radians(self.angle_deg)) / self.zoom
        across, down = (-1 if self.mirrored else 1), (-1 if self.upended else 1)
        matrix = np.array([[across * cosine, -across * sine], [down * sine, down * cosine]])
        centre = np.array(image.size) / 2
        shift = centre - matrix @ centre
        rows = np.column_stack([matrix, shift]).ravel().tolist()
        return image.transform(image.size, Image.Transform.AFFINE, rows, resampling)


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far views may differ from the image.

    Rotation stops at 30 degrees although the eye has no upright: images are stretched to a square,
    a quarter turn would turn the stretch with them, and no image in use looks like that. Tilts of
    head and camera are smaller than 30 degrees. Flips make the other eye of one, and may turn it
    upside down.

    Attributes:
        rotation_deg: Rotations are drawn evenly from -this to this.
        flip: Probability of each of the two flips.
        zoom: Magnifications are drawn evenly from 1 - this to 1 + this.
        brightness: Factors are drawn evenly from 1 - this to 1 + this.
        contrast: Factors are drawn evenly from 1 - this to 1 + this.
    """

    rotation_deg: float = 30.0
    flip: float = 0.5
    zoom: float = 0.2
    brightness: float = 0.2
    contrast: float = 0.2

    def draw(self, *, seed: int, epoch: int, number: int) -> View:
        """Draw the view of one image in one epoch; the same numbers give the same view.

        Nothing is remembered between draws, so that a run that carries on sees what it would have
        seen.

        Args:
            seed: The run's, at least 0.
            epoch: The epoch's number, at least 0.
            number: The image's number, at least 0.
        """
        chance = np.random.default_rng([seed, epoch, number]).random(6)
        spread = 2 * chance - 1
        return View(
            angle_deg=float(self.rotation_deg * spread[0]),
            mirrored=bool(chance[1] < self.flip),
            upended=bool(chance[2] < self.flip),
            zoom=float(1 + self.zoom * spread[3]),
            brightness=float(1 + self.brightness * spread[4]),
            contrast=float(1 + self.contrast * spread[5]),
        )


NO_AUGMENTATION = Augmentation(rotation_deg=0, flip=0, zoom=0, brightness=0, contrast=0)
"""Every view is the image itself."""
