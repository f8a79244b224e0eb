"""Pictures for people: a photograph with what queries marked, or with one query's probability.

Masks and probabilities are computed from the logits at the picture's own size. No files, no names
beyond those in the legend.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont

from retq_hub.grids import upsample
from retq_hub.images import decode
from retq_hub.result import Segmentation

__all__ = [
    "PALETTE",
    "area_text",
    "colour_bar",
    "marks",
    "outlined",
    "overlay",
    "probability_map",
    "targets",
]

PALETTE = ("#56B4E9", "#F0E442", "#009E73", "#FFFFFF", "#0072B2", "#CC79A7", "#E69F00", "#D55E00")
"""Colours of queries by position, those first that stand out from a retina.

Source: Okabe and Ito, Color Universal Design, 2008; white in the place of black.
"""

_VIRIDIS = (
    *("#440154", "#482576", "#414487", "#35608D", "#2A788E", "#21908C"),
    *("#22A884", "#43BF71", "#7AD151", "#BBDF27", "#FDE725"),
)
_TINT = 0.16
_GROUND = 72
_INK, _SOFT_INK, _RULE = "#1B1F24", "#57606A", "#D0D7DE"
_CASING = "#101418"


def marks(
    image: Image.Image,
    found: Mapping[str, Segmentation],
    *,
    colours: Sequence[str] = PALETTE,
    max_side_px: int = 1600,
) -> Image.Image:
    """Draw what queries marked on the photograph: a contour each, and a faint tint inside.

    Args:
        image: The photograph.
        found: The segmentations by the queries' names.
        colours: ``#RRGGBB`` by the queries' position, from the start again when used up.
        max_side_px: A larger photograph is scaled down to this.

    Returns:
        A PIL image of mode RGB.
    """
    picture = _photograph(image, max_side_px)
    coloured = list(zip(found.values(), cycle(colours), strict=False))
    for segmentation, colour in sorted(coloured, key=lambda one: -one[0].area):
        _draw_mask(picture, segmentation, colour, tint=_TINT)
    return picture


def outlined(
    image: Image.Image, margin: NDArray[np.float32], *, colour: str, max_side_px: int = 1600
) -> Image.Image:
    """Draw the outline of one mask on the photograph.

    Args:
        image: The photograph.
        margin: (S, S), positive where it is marked: logits above a threshold, or a mask from which
            a half is taken away.
        colour: ``#RRGGBB``.
        max_side_px: A larger photograph is scaled down to this.

    Returns:
        A PIL image of mode RGB.
    """
    picture = _photograph(image, max_side_px)
    whole = upsample(torch.from_numpy(margin), picture.height, picture.width).numpy()
    _draw_margin(picture, whole, colour, tint=_TINT)
    return picture


def overlay(
    image: Image.Image,
    found: Mapping[str, Segmentation],
    *,
    colours: Sequence[str] = PALETTE,
    max_side_px: int = 1600,
) -> Image.Image:
    """Draw what queries marked, as `marks` does, with a legend in a panel below the photograph.

    Args:
        image: The photograph.
        found: The segmentations by the queries' names.
        colours: ``#RRGGBB`` by the queries' position, from the start again when used up.
        max_side_px: A photograph that is larger, without the panel, is scaled down to this.

    Returns:
        A PIL image of mode RGB, as wide as the photograph and higher.
    """
    picture = marks(image, found, colours=colours, max_side_px=max_side_px)
    rows = [
        (name, ", ".join(target.label for target in one.manifest.targets), area_text(one))
        for name, one in found.items()
    ]
    return _with_legend(picture, rows, colours)


def targets(
    image: Image.Image,
    segmentation: Segmentation,
    *,
    colours: Sequence[str] = PALETTE,
    max_side_px: int = 1600,
) -> Image.Image:
    """Draw what one query marked, each target in a colour of its own; with several, a legend.

    Args:
        image: The photograph.
        segmentation: What the query says of it.
        colours: ``#RRGGBB`` by the targets' position, from the start again when used up.
        max_side_px: A photograph that is larger, without the legend, is scaled down to this.

    Returns:
        A PIL image of mode RGB.
    """
    picture = _photograph(image, max_side_px)
    maps = segmentation.margin_at(*picture.size)
    coloured = list(zip(maps, cycle(colours), strict=False))
    for margin, colour in sorted(coloured, key=lambda one: -(one[0] > 0).mean()):
        _draw_margin(picture, margin, colour, tint=_TINT)
    if len(maps) == 1:
        return picture
    areas = [_share_text(float((margin > 0).mean())) for margin in maps]
    named = zip(segmentation.manifest.targets, areas, strict=True)
    rows = [(target.name, target.label, area) for target, area in named]
    return _with_legend(picture, rows, colours)


def probability_map(
    image: Image.Image, segmentation: Segmentation, *, max_side_px: int = 1600
) -> Image.Image:
    """Lay a query's probability over the photograph, with the contour of its mask in white.

    The photograph is dimmed and grey; `colour_bar` shows what the colours say. Of several targets
    the most probable counts at each pixel.

    Args:
        image: The photograph.
        segmentation: What the query says of it.
        max_side_px: A larger photograph is scaled down to this.

    Returns:
        A PIL image of mode RGB.
    """
    grey = (
        _photograph(image, max_side_px).convert("L").point([level * 0.72 for level in range(256)])
    )
    picture = grey.convert("RGB")
    maps = segmentation.probability_at(picture.width, picture.height)
    level = (maps.max(axis=0) * 255).round().astype(np.uint8)
    layer, alpha = _colour_table()
    picture.paste(Image.fromarray(layer[level]), (0, 0), Image.fromarray(alpha[level]))
    _draw_mask(picture, segmentation, "#FFFFFF", tint=0)
    return picture


def colour_bar(width: int, height: int) -> Image.Image:
    """Show the colours of `probability_map` over mid-grey, from 0 at the left to 1 at the right.

    Args:
        width: In pixels.
        height: In pixels.

    Returns:
        A PIL image of mode RGB.
    """
    level = np.broadcast_to(np.linspace(0, 255, width).round().astype(np.uint8), (height, width))
    layer, alpha = _colour_table()
    bar = Image.new("RGB", (width, height), (_GROUND, _GROUND, _GROUND))
    bar.paste(Image.fromarray(layer[level]), (0, 0), Image.fromarray(alpha[level]))
    return bar


def area_text(segmentation: Segmentation) -> str:
    """Say how much of the picture a query marked: ``1.52 %``, ``under 0.01 %``, or nothing."""
    height, width = segmentation.logits.shape[1:]
    # A peak between the points at which the area is measured still counts as marked.
    if not segmentation.area and segmentation.mask_at(width, height).any():
        return "under 0.01 %"
    return _share_text(segmentation.area)


def _share_text(share: float) -> str:
    if not share:
        return "nothing marked"
    return f"{share:.2%}".replace("%", " %") if share >= 0.0001 else "under 0.01 %"


def _photograph(image: Image.Image, max_side_px: int) -> Image.Image:
    upright = decode(image)
    scale = max_side_px / max(upright.size)
    if scale >= 1:
        return upright.copy()
    size = (max(1, round(upright.width * scale)), max(1, round(upright.height * scale)))
    return upright.resize(size, Image.Resampling.LANCZOS)


def _draw_mask(
    picture: Image.Image, segmentation: Segmentation, colour: str, *, tint: float
) -> None:
    """Draw one query's mask."""
    _draw_margin(picture, _margin(segmentation, *picture.size), colour, tint=tint)


def _draw_margin(
    picture: Image.Image, margin: NDArray[np.float32], colour: str, *, tint: float
) -> None:
    """Draw where a margin is positive: the line is centred on the edge, in a thin dark casing."""
    line_px = max(1.6, max(picture.size) / 300)
    casing_px = line_px * 1.6
    near = _dilated(margin > 0, radius=round(casing_px / 2 + 1))
    if not near.any():
        return
    distance = _distance(margin)
    inside = np.clip(distance + 0.5, 0, 1) * near
    _paint(picture, colour, inside * tint)
    for ink, width, strength in ((_CASING, casing_px, 0.5), (colour, line_px, 1.0)):
        _paint(picture, ink, np.clip((width + 1) / 2 - np.abs(distance), 0, 1) * near * strength)


def _margin(segmentation: Segmentation, width: int, height: int) -> NDArray[np.float32]:
    """(H, W) logit above the threshold, of the target most above its own: positive is marked."""
    return np.asarray(segmentation.margin_at(width, height).max(axis=0))


def _distance(margin: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W) pixels from the contour, to first order: the margin by its slope; inside positive."""
    padded = np.pad(margin, 1, mode="edge")
    across = (padded[1:-1, 2:] - padded[1:-1, :-2]) / 2
    down = (padded[2:, 1:-1] - padded[:-2, 1:-1]) / 2
    return np.asarray(margin / np.maximum(np.hypot(across, down), 1e-6))


def _dilated(mask: NDArray[np.bool_], *, radius: int) -> NDArray[np.bool_]:
    """(H, W) where a marked pixel is within a square; keeps the first order near the mask."""
    padded = np.pad(mask, radius)
    rows = sliding_window_view(padded, 2 * radius + 1, axis=0).any(axis=-1)
    return np.asarray(sliding_window_view(rows, 2 * radius + 1, axis=1).any(axis=-1))


def _paint(picture: Image.Image, colour: str, alpha: NDArray[np.floating[Any]]) -> None:
    layer = Image.fromarray((alpha * 255).round().astype(np.uint8))
    picture.paste(ImageColor.getrgb(colour), (0, 0, *picture.size), layer)


def _colour_table() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(256, 3) colour and (256,) opacity by probability; the unlikely lets the picture through.

    Source: viridis by van der Walt and Smith (CC0), read at eleven points.
    """
    probability = np.linspace(0, 1, 256)
    stops = np.array([ImageColor.getrgb(stop) for stop in _VIRIDIS], dtype=np.float64)
    places = np.linspace(0, 1, len(stops))
    channels = [np.interp(probability, places, stops[:, channel]) for channel in range(3)]
    opacity = 0.8 * probability**0.6
    return np.stack(channels, axis=1).round().astype(np.uint8), (opacity * 255).astype(np.uint8)


def _with_legend(
    picture: Image.Image, rows: Sequence[tuple[str, str, str]], colours: Sequence[str]
) -> Image.Image:
    """Put a legend below a picture."""
    panel = _legend(picture.width, rows, colours)
    whole = Image.new("RGB", (picture.width, picture.height + panel.height))
    whole.paste(picture, (0, 0))
    whole.paste(panel, (0, picture.height))
    return whole


def _legend(
    width: int, rows: Sequence[tuple[str, str, str]], colours: Sequence[str]
) -> Image.Image:
    """Give the panel with a row for each name, label and area, the label below the name."""
    em = min(32, max(11, round(width / 46)))
    row = round(em * 2.9)
    panel = Image.new("RGB", (width, len(rows) * row + round(em * 1.2)), "#FFFFFF")
    draw = ImageDraw.Draw(panel)
    top = round(em * 0.9)
    for texts, colour in zip(rows, cycle(colours), strict=False):
        _legend_row(draw, top, em, colour, texts)
        top += row
        if top < panel.height - em:
            rule = top - round(em * 0.45)
            draw.line((em, rule, width - em, rule), fill=_RULE, width=max(1, em // 14))
    return panel


def _legend_row(
    draw: ImageDraw.ImageDraw, top: int, em: int, colour: str, texts: tuple[str, str, str]
) -> None:
    large, small = ImageFont.load_default(size=em), ImageFont.load_default(size=em * 0.82)
    name, labels, area = map(_plain, texts)
    width = draw.im.size[0]
    side, left = round(em * 1.5), round(em * 3.2)
    box = (em, top + em // 4, em + side, top + em // 4 + side)
    draw.rounded_rectangle(box, em // 4, fill=colour, outline=_CASING, width=max(1, em // 14))
    room = width - left - em
    area_px = round(large.getlength(area))
    draw.text((width - em - area_px, top), area, fill=_INK, font=large)
    draw.text((left, top), _fitted(name, large, room - area_px - em), fill=_INK, font=large)
    below = (left, top + round(em * 1.2))
    draw.text(below, _fitted(labels, small, room), fill=_SOFT_INK, font=small)


def _plain(text: str) -> str:
    """Bring text to the characters that Pillow's own font has: one line of ASCII."""
    apart = unicodedata.normalize("NFKD", " ".join(text.split()))
    bare = "".join(letter for letter in apart if not unicodedata.combining(letter))
    return "".join(letter if " " <= letter <= "~" else "?" for letter in bare)


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: float) -> str:
    """Shorten text to the room there is, with three dots at its end."""
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(text + "...") > room:
        text = text[:-1]
    return text.rstrip() + "..." if text else ""
