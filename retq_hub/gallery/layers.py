"""What queries said of a photograph, as layers: drawn by the server, and packed for a browser.

A layer is one target of one query. Imports torch: only `retq_hub.gallery.trial` may import it, once
a photograph has come.
"""

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retq_hub.grades import sentence
from retq_hub.grading import Grading, grading
from retq_hub.markup import data_uri
from retq_hub.overlay import PALETTE, attention_map, outlined
from retq_hub.result import AREA_PX, Classification, Reading, Segmentation, ZeroShot

__all__ = ["MAX_SIDE_PX", "Layer", "Picture", "Told"]

_ATTENTION_PX = 640

MAX_SIDE_PX = 1024
"""Longest side of what is drawn and sent."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One target of one query on a photograph.

    Attributes:
        repo: The query's repository.
        label: The target's.
        colour: ``#RRGGBB``.
        threshold: Above it a place is marked.
        area: Share of the photograph that is marked.
        peak: The highest probability.
        margin: (H, W) float32, positive where it is marked.
        level: (H, W) uint8, the probability; 255 is 1.
    """

    repo: str
    label: str
    colour: str
    threshold: float
    area: float
    peak: float
    margin: NDArray[np.float32]
    level: NDArray[np.uint8]

    @property
    def area_text(self) -> str:
        """The area in words: ``1.52 %``, ``under 0.01 %``, or nothing."""
        if self.area >= 0.0001:
            return f"{self.area:.2%}".replace("%", "\u00a0%")
        return "under 0.01\u00a0%" if (self.margin > 0).any() else "nothing marked"


@dataclass(frozen=True, kw_only=True)
class Told:
    """What one query says of the whole photograph.

    Attributes:
        repo: The query's repository.
        name: The query's.
        grading: What it says.
        attention: Where it looked, as the address of a picture; None where it has no attention.
    """

    repo: str
    name: str
    grading: Grading
    attention: str | None

    @property
    def sentence(self) -> str:
        """What was found, in a sentence."""
        return sentence(self.grading)


class Picture:
    """A photograph, scaled down, with the layers that lie on it.

    Args:
        image: The photograph, upright RGB.
        found: What queries said of it, by their repositories.

    Attributes:
        photograph: At most 1024 pixels a side.
        layers: In the order of the queries and their targets.
        told: What queries say of the whole photograph, in their order.
        outlines: The photograph with each layer's outline, as the address of a picture.
    """

    def __init__(self, image: Image.Image, found: Mapping[str, Reading]) -> None:
        self.photograph = image.copy()
        self.photograph.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX), Image.Resampling.LANCZOS)
        targets = [
            (repo, one, n)
            for repo, one in found.items()
            if isinstance(one, Segmentation)
            for n in range(len(one.logits))
        ]
        self.layers = tuple(
            _layer(repo, one, n, colour, self.photograph.size)
            for (repo, one, n), colour in zip(targets, cycle(PALETTE), strict=False)
        )

        self.told = tuple(
            self._told(repo, one)
            for repo, one in found.items()
            if isinstance(one, Classification | ZeroShot)
        )
        drawn = self.photograph
        for one in sorted(self.layers, key=lambda layer: -layer.area):
            drawn = outlined(drawn, one.margin, colour=one.colour)
        self.outlines = data_uri(drawn, "JPEG")

    @property
    def packed(self) -> dict[str, Any]:
        """What a browser needs to draw it anew: the photograph and each layer's probabilities."""
        return {
            "width": self.photograph.width,
            "height": self.photograph.height,
            "photograph": data_uri(self.photograph, "JPEG"),
            "layers": [
                {
                    "colour": one.colour,
                    "threshold": one.threshold,
                    "area": one.area_text,
                    "level": _packed(one.level),
                }
                for one in self.layers
            ],
        }

    def _told(self, repo: str, found: Classification | ZeroShot) -> Told:
        attention = None
        if isinstance(found, Classification) and found.weights is not None:
            drawn = attention_map(self.photograph, found, max_side_px=_ATTENTION_PX)
            attention = data_uri(drawn, "JPEG")
        return Told(
            repo=repo, name=found.manifest.name, grading=grading(found), attention=attention
        )


def _layer(
    repo: str, found: Segmentation, target: int, colour: str, size: tuple[int, int]
) -> Layer:
    coarse = found.probability_at(AREA_PX, AREA_PX)[target]
    level = found.probability_at(*size)[target] * 255
    return Layer(
        repo=repo,
        label=found.manifest.targets[target].label,
        colour=colour,
        threshold=found.manifest.head.thresholds[target],
        area=float(found.mask_at(AREA_PX, AREA_PX)[target].mean()),
        peak=float(coarse.max()),
        margin=found.margin_at(*size)[target],
        level=level.round().astype(np.uint8),
    )


def _packed(level: NDArray[np.uint8]) -> str:
    """Give (H, W) bytes, row by row, as zlib writes them, in base 64."""
    return base64.b64encode(zlib.compress(level.tobytes(), 6)).decode("ascii")
