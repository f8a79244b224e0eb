"""Pictures for people: a photograph with what queries marked, one's probability or attention.

Masks and probabilities are computed from the logits at the picture's own size. No files, no names
beyond those in the legend.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from retq_hub import contour
from retq_hub.errors import UsageError
from retq_hub.grading import Grading, grading, probability_text
from retq_hub.grids import upsample
from retq_hub.heatmap import heatmap, photograph
from retq_hub.legend import Bar, Row, with_bars, with_legend
from retq_hub.manifest import Target
from retq_hub.result import Classification, Reading, Segmentation, ZeroShot

__all__ = [
    "MAX_SIDE_PX",
    "PALETTE",
    "area_text",
    "attention_at",
    "attention_map",
    "bars",
    "graded",
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

MAX_SIDE_PX = 1600
"""Longer side of the photograph in a picture, at most."""

_TINT = 0.16


def marks(
    image: Image.Image,
    found: Mapping[str, Segmentation],
    *,
    colours: Sequence[str] = PALETTE,
    max_side_px: int = MAX_SIDE_PX,
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
    picture = photograph(image, max_side_px)
    coloured = list(zip(found.values(), cycle(colours), strict=False))
    for segmentation, colour in sorted(coloured, key=lambda one: -one[0].area):
        _draw_mask(picture, segmentation, colour, tint=_TINT)
    return picture


def outlined(
    image: Image.Image, margin: NDArray[np.float32], *, colour: str, max_side_px: int = MAX_SIDE_PX
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
    picture = photograph(image, max_side_px)
    whole = upsample(torch.from_numpy(margin), picture.height, picture.width).numpy()
    contour.draw(picture, whole, colour, tint=_TINT)
    return picture


def overlay(
    image: Image.Image,
    found: Mapping[str, Reading],
    *,
    colours: Sequence[str] = PALETTE,
    max_side_px: int = MAX_SIDE_PX,
) -> Image.Image:
    """Draw what queries marked, as `marks` does, with a legend in a panel below the photograph.

    Texts share the whole photograph among their targets, so each target has a colour of its own.
    What queries say of the whole image is written there, beside small columns for each target.

    Args:
        image: The photograph.
        found: What queries say of it, by their names.
        colours: ``#RRGGBB`` in the order of what is marked, from the start again when used up.
        max_side_px: A photograph that is larger, without the panel, is scaled down to this.

    Returns:
        A PIL image of mode RGB, as wide as the photograph and higher.
    """
    picture, palette = photograph(image, max_side_px), cycle(colours)
    rows, drawn = [], []
    for name, one in found.items():
        told = grading(one)
        if isinstance(one, ZeroShot):
            maps = one.margin_at(*picture.size)
            rows += _shared_out(name, one, maps, palette)
            drawn += list(zip(maps, rows[-len(maps) :], strict=True))
        elif isinstance(one, Segmentation):
            rows.append(_marked(name, one, next(palette)))
            drawn.append((_margin(one, *picture.size), rows[-1]))
        if told is not None:
            rows.append(_told(name, told))
    for margin, row in sorted(drawn, key=lambda one: -(one[0] > 0).mean()):
        contour.draw(picture, margin, str(row.colour), tint=_TINT)
    return with_legend(picture, rows)


def targets(
    image: Image.Image,
    segmentation: Segmentation,
    *,
    colours: Sequence[str] = PALETTE,
    max_side_px: int = MAX_SIDE_PX,
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
    picture = photograph(image, max_side_px)
    maps = segmentation.margin_at(*picture.size)
    coloured = list(zip(maps, cycle(colours), strict=False))
    for margin, colour in sorted(coloured, key=lambda one: -(one[0] > 0).mean()):
        contour.draw(picture, margin, colour, tint=_TINT)
    if len(maps) == 1:
        return picture
    named = zip(segmentation.manifest.targets, maps, cycle(colours), strict=False)
    rows = [_one_target(target.name, target, margin, colour) for target, margin, colour in named]
    return with_legend(picture, rows)


def graded(
    image: Image.Image, found: Classification, *, max_side_px: int = MAX_SIDE_PX
) -> Image.Image:
    """Draw what a query says of the whole image as bars below the photograph.

    Where it pools by attention, the photograph shows where it looked.

    Args:
        image: The photograph.
        found: What the query says of it.
        max_side_px: A photograph that is larger, without the bars, is scaled down to this.

    Returns:
        A PIL image of mode RGB, as wide as the photograph and higher.
    """
    if found.weights is None:
        picture = photograph(image, max_side_px)
    else:
        picture = attention_map(image, found, max_side_px=max_side_px)
    told = grading(found)
    return with_bars(picture, f"{found.manifest.name}: {told.text}", bars(told))


def attention_map(
    image: Image.Image, found: Classification, *, max_side_px: int = MAX_SIDE_PX
) -> Image.Image:
    """Lay how much each place counted over the photograph; what counted most has the last colour.

    Args:
        image: The photograph.
        found: By a query that pools by attention.
        max_side_px: A larger photograph is scaled down to this.

    Returns:
        A PIL image of mode RGB.

    Raises:
        UsageError: The query has no attention.
    """

    def relative(width: int, height: int) -> NDArray[np.float32]:
        return attention_at(found, width, height)

    return heatmap(image, relative, max_side_px=max_side_px)


def attention_at(found: Classification, width: int, height: int) -> NDArray[np.float32]:
    """Give how much each place counted, (height, width) float32; 1 is where it counted most.

    Raises:
        UsageError: The query has no attention.
    """
    if found.weights is None:
        raise UsageError(
            f"{found.manifest.name} classifies the image embedding: no place counted more",
            hint="only queries that pool by attention say where they looked",
        )
    mean = torch.from_numpy(found.weights).mean(0)
    maps = upsample(mean / mean.max(), height, width)
    return np.asarray(maps.clamp(0, 1).numpy())


def bars(told: Grading) -> tuple[Bar, ...]:
    """Give the bars of a grading."""
    return tuple(
        Bar(
            label=one.target.label,
            value=one.probability,
            text=probability_text(one.probability),
            said=one.said,
            threshold=one.threshold,
        )
        for one in told.shares
    )


def probability_map(
    image: Image.Image, segmentation: Segmentation, *, max_side_px: int = MAX_SIDE_PX
) -> Image.Image:
    """Lay a query's probability over the photograph, with the contour of its mask in white.

    Of several targets the most probable counts at each pixel.

    Args:
        image: The photograph.
        segmentation: What the query says of it.
        max_side_px: A larger photograph is scaled down to this.

    Returns:
        A PIL image of mode RGB.
    """

    def highest(width: int, height: int) -> NDArray[np.float32]:
        return np.asarray(segmentation.probability_at(width, height).max(axis=0))

    picture = heatmap(image, highest, max_side_px=max_side_px)
    _draw_mask(picture, segmentation, "#FFFFFF", tint=0)
    return picture


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


def _draw_mask(
    picture: Image.Image, segmentation: Segmentation, colour: str, *, tint: float
) -> None:
    """Draw one query's mask."""
    contour.draw(picture, _margin(segmentation, *picture.size), colour, tint=tint)


def _margin(segmentation: Segmentation, width: int, height: int) -> NDArray[np.float32]:
    """(H, W) logit above the threshold, of the target most above its own: positive is marked."""
    return np.asarray(segmentation.margin_at(width, height).max(axis=0))


def _marked(name: str, found: Segmentation, colour: str) -> Row:
    labels = ", ".join(target.label for target in found.manifest.targets)
    return Row(name=name, label=labels, value=area_text(found), colour=colour)


def _shared_out(
    name: str, found: ZeroShot, maps: NDArray[np.float32], palette: Iterator[str]
) -> list[Row]:
    named = zip(found.manifest.targets, maps, palette, strict=False)
    return [_one_target(name, target, margin, colour) for target, margin, colour in named]


def _one_target(name: str, target: Target, margin: NDArray[np.float32], colour: str) -> Row:
    share = _share_text(float((margin > 0).mean()))
    return Row(name=name, label=target.label, value=share, colour=colour)


def _told(name: str, told: Grading) -> Row:
    one_said = sum(one.said for one in told.shares) == 1
    number = f" {probability_text(told.shown.probability)}" if one_said else ""
    label = ", ".join(
        f"{one.target.label} {probability_text(one.probability)}" for one in told.shares
    )
    return Row(name=name, label=f"whole image: {label}", value=told.text + number, bars=bars(told))
