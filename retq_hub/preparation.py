"""What is made of a photograph before the backbone: all that queries need, and nothing else.

It knows no weights and runs in any thread. A photograph of 12 million pixels becomes less than a
megabyte here, so that many can wait for the backbone.

Axis letters: T tiles, S side in pixels, W/H those of the photograph.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retq_hub import geometry
from retq_hub.channels import SIZE_PX, pixel_channels
from retq_hub.images import green
from retq_hub.manifest import QueryManifest
from retq_hub.photograph import Photograph
from retq_hub.plans import Plan, home, plan
from retq_hub.spec import BackboneSpec, Preprocessing
from retq_hub.tiling import PassKey, cut
from retq_hub.views import Pixels, seen

__all__ = ["Needs", "Prepared", "Scene", "prepare", "scene"]


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What queries need of an image.

    Attributes:
        plan: Layers by pass.
        embed: Whether the image embedding is wanted.
        channels: Whether pixel channels are.
        guides: Sides in pixels of the green channel, of each head that is led by it.
    """

    plan: Plan
    embed: bool = False
    channels: bool = False
    guides: tuple[int, ...] = ()

    @classmethod
    def of(cls, manifests: Iterable[QueryManifest], *, embed: bool = False) -> "Needs":
        """Give what some queries need together.

        Args:
            manifests: Of the queries.
            embed: Whether the image embedding is wanted even if none of them needs it.
        """
        manifests = list(manifests)
        bases = [basis for one in manifests for basis in one.bases]
        heads = [one.head.guided for one in manifests]
        return cls(
            plan=plan(bases),
            embed=embed or any(one.needs_embedding for one in manifests),
            channels=any(basis.pixels for basis in bases),
            guides=tuple(sorted({one.size_px for one in heads if one is not None})),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """What queries read of an image beside its tokens.

    Attributes:
        size: Width and height of the photograph in pixels.
        channels: (196 * 196, 20) float32 pixel channels, where they are needed.
        guides: (S, S) float32, 0-1, the green channel by S.
    """

    size: tuple[int, int]
    channels: NDArray[np.float32] | None
    guides: Mapping[int, NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """An image that is ready for the backbone.

    Attributes:
        scene: What is read beside its tokens.
        squares: (T, S, S, 3) RGB, 0-255, by pass; uint8, or float32 where fractions are kept.
        centre: (S, S, 3), what the image embedding is of where that is not the whole image.
    """

    scene: Scene
    squares: Mapping[PassKey, Pixels]
    centre: Pixels | None = None


_MARGIN = 1.5
"""So many times as large a photograph is decoded at least as the square that is made of it."""


def prepare(image: Image.Image | Photograph, needs: Needs, spec: BackboneSpec) -> Prepared:
    """Make of an image what queries and their backbone need.

    What a pass sees does not depend on which other passes there are.

    Args:
        image: RGB, or a photograph that may be decoded smaller than it is.
        needs: What they need.
        spec: The backbone's.

    Raises:
        UsageError: The backbone cannot run at such a size.
        ImageError: The image has no middle that could be cut out.
    """
    photograph = _photograph(image)
    preprocessing, bicubic = spec.preprocessing, _bicubic(photograph)
    keys = list(needs.plan)
    cropped = needs.embed and geometry.is_cropped(photograph.size, preprocessing)
    if needs.embed and not cropped and not set(keys) & set(home(spec)):
        keys.insert(0, home(spec)[0])
    for key in keys:
        key.grid(spec.tokens.patch_px)
    return Prepared(
        scene=_scene(photograph.size, needs, bicubic),
        squares={key: _squares(photograph, key, preprocessing, bicubic) for key in keys},
        centre=_centre(photograph, preprocessing) if cropped else None,
    )


def scene(image: Image.Image | Photograph, needs: Needs) -> Scene:
    """Make of an image what queries read beside its tokens.

    Args:
        image: RGB, or a photograph that may be decoded smaller than it is.
        needs: What they need.
    """
    photograph = _photograph(image)
    return _scene(photograph.size, needs, _bicubic(photograph))


def _photograph(image: Image.Image | Photograph) -> Photograph:
    return image if isinstance(image, Photograph) else Photograph.of(image)


_Resize = Callable[[int, int], Image.Image]
"""Gives an image at a width and height, each made once."""


def _bicubic(photograph: Photograph) -> _Resize:
    def resized(width: int, height: int) -> Image.Image:
        large = _over(photograph, (width, height))
        return large.resize((width, height), Image.Resampling.BICUBIC)

    return cache(resized)


def _over(photograph: Photograph, size: tuple[int, int]) -> Image.Image:
    """Give what is resized to a size."""
    return photograph.at_least(_MARGIN * size[0], _MARGIN * size[1])


def _centre(photograph: Photograph, preprocessing: Preprocessing) -> Pixels:
    size = geometry.middle(photograph.size, preprocessing)
    return geometry.centre(_over(photograph, size), preprocessing, size=size)


def _scene(size: tuple[int, int], needs: Needs, bicubic: _Resize) -> Scene:
    channels = pixel_channels(bicubic(SIZE_PX, SIZE_PX)) if needs.channels else None
    guides = {side: green(bicubic(side, side), side) for side in needs.guides}
    return Scene(size=size, channels=channels, guides=guides)


def _squares(
    photograph: Photograph, key: PassKey, preprocessing: Preprocessing, bicubic: _Resize
) -> Pixels:
    """Give what the encoder sees of an image in a pass, (T, S, S, 3)."""
    frame = geometry.frame(photograph.size, preprocessing, key.side_px)
    size = (frame.width, frame.height)
    alike = preprocessing.resize == "bicubic" and not preprocessing.unrounded
    alike = alike and not preprocessing.grey
    source = bicubic(*size) if alike else _over(photograph, size)
    pixels = geometry.resized(source, preprocessing, size)
    return cut(frame.filled(seen(pixels, key.view)), key)
