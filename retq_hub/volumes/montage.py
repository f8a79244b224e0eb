"""A contact sheet of a volume: slices with what queries marked, the view from the front, a legend.

It is drawn while the slices go by; only the tiles that are shown are kept.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle
from math import ceil

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from retq_hub.legend import Row, with_legend
from retq_hub.overlay import PALETTE, marks, outlined
from retq_hub.result import Result
from retq_hub.volumes.extent import Extent
from retq_hub.volumes.tally import Tally
from retq_hub.volumes.volume import Volume

__all__ = ["Montage"]

_WIDTH_PX = 1600
_MOST = 11
"""Slices that are shown; with the view from the front they fill three rows of four."""

_FEWEST = 8
"""With fewer slices there is no view from the front."""

_COLUMNS = 4
_GAP_PX = 6
_GROUND, _INK, _PLATE = "#101418", "#FFFFFF", (16, 20, 24)


class Montage:
    """The contact sheet of a volume.

    Args:
        volume: The volume.
    """

    def __init__(self, volume: Volume) -> None:
        shown = min(len(volume), _MOST)
        self._shown = set(np.linspace(0, len(volume) - 1, shown).round().astype(int).tolist())
        self._columns = min(_COLUMNS, shown)
        self._tile_px = _tile_px(volume.size, self._columns)
        self._volume = volume
        self._tiles: list[Image.Image] = []
        self._rows: list[NDArray[np.float32]] = []

    def add(self, index: int, image: Image.Image, result: Result) -> None:
        """Take the next slice.

        Args:
            index: Its number, from 0.
            image: RGB.
            result: What the queries say of it.
        """
        self._rows.append(np.asarray(image.convert("L"), dtype=np.float32).mean(axis=0))
        if index in self._shown:
            picture = image.resize(self._tile_px, Image.Resampling.LANCZOS)
            tile = marks(picture, result.segmentations, max_side_px=max(self._tile_px))
            self._tiles.append(_named(tile, f"{index}"))

    def picture(self, tallies: Mapping[str, Tally]) -> Image.Image:
        """Give the sheet, once all slices were added.

        Args:
            tallies: What each query says of the slices, by name.

        Returns:
            A PIL image of mode RGB, about 1600 pixels wide.
        """
        tiles = [*self._tiles]
        extents = {name: one.union for name, one in tallies.items()}
        if len(self._rows) >= _FEWEST:
            marked = [one for one in extents.values() if one is not None]
            tiles.append(_named(self._en_face(marked), "en face"))
        width, height = self._tile_px
        n_rows = ceil(len(tiles) / self._columns)
        size = (
            self._columns * (width + _GAP_PX) + _GAP_PX,
            n_rows * (height + _GAP_PX) + _GAP_PX,
        )
        sheet = Image.new("RGB", size, _GROUND)
        for number, tile in enumerate(tiles):
            row, column = divmod(number, self._columns)
            place = (_GAP_PX + column * (width + _GAP_PX), _GAP_PX + row * (height + _GAP_PX))
            sheet.paste(tile, place)
        colours = cycle(PALETTE)
        rows = [
            _told(name, one, len(self._volume))
            if (extent := extents[name]) is None
            else _marked(name, one, extent, next(colours))
            for name, one in tallies.items()
        ]
        return with_legend(sheet, rows)

    def _en_face(self, extents: Sequence[Extent]) -> Image.Image:
        """Draw the mean over the depth, seen from the front, the first slice at the bottom."""
        mean = np.stack(self._rows)[::-1]
        low, high = np.percentile(mean, (0.5, 99.5))
        level = np.clip((mean - low) / max(float(high - low), 1.0), 0, 1) * 255
        grey = Image.fromarray(np.rint(level).astype(np.uint8)).convert("RGB")
        picture = grey.resize(self._tile_px, Image.Resampling.BICUBIC)
        for extent, colour in zip(extents, cycle(PALETTE), strict=False):
            margin = extent.en_face[::-1].astype(np.float32) - np.float32(0.5)
            picture = outlined(picture, margin, colour=colour, max_side_px=max(self._tile_px))
        return picture


def _tile_px(size: tuple[int, int], columns: int) -> tuple[int, int]:
    """Give the size of a tile: four in a row fill the sheet."""
    width = (_WIDTH_PX - (columns + 1) * _GAP_PX) // max(columns, 3)
    return width, max(1, round(width * size[1] / size[0]))


def _marked(name: str, tally: Tally, extent: Extent, colour: str) -> Row:
    """Say how much of the volume a query marks."""
    n = len(extent.profiles)
    share = f"{100 * extent.share:.2f} %" if extent.share >= 0.0001 else "under 0.01 %"
    found = [f"{share} of the volume"]
    found += [f"{extent.volume_mm3:.3g} mm3"] if extent.volume_mm3 is not None else []
    found.append(f"{extent.n_slices} of {n} slices")
    value = ", ".join(found) if extent.share else "nothing marked"
    return Row(name=name, label=_labels(tally), value=value, colour=colour)


def _told(name: str, tally: Tally, n: int) -> Row:
    """Say of how many slices a query says what."""
    said = zip(tally.manifest.targets, tally.n_said, strict=True)
    value = ", ".join(f"{target.label} {count}" for target, count in said if count)
    return Row(name=name, label=_labels(tally), value=f"{value or 'none'}, of {n} slices")


def _labels(tally: Tally) -> str:
    return ", ".join(target.label for target in tally.manifest.targets)


def _named(tile: Image.Image, name: str) -> Image.Image:
    """Write a name into the upper left corner, on a dark plate."""
    draw = ImageDraw.Draw(tile)
    em = max(11, round(tile.width / 22))
    font = ImageFont.load_default(size=em)
    right = round(font.getlength(name) + em)
    draw.rectangle((0, 0, right, round(em * 1.5)), fill=_PLATE)
    draw.text((em // 2, round(em * 0.15)), name, fill=_INK, font=font)
    return tile
