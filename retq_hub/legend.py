"""Panels below a picture: what its colours mean, and the bars of a grading. Text is one line each.

Pillow's own font has ASCII letters only; what a manifest says is brought to them.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

__all__ = ["INK", "MARK", "Bar", "Row", "with_bars", "with_legend"]

INK, MARK = "#1B1F24", "#0072B2"
_Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

_SOFT_INK, _RULE, _CASING, _QUIET = "#57606A", "#D0D7DE", "#101418", "#AEB6BF"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a legend.

    Attributes:
        name: In large letters.
        label: Below it, in small ones.
        value: At the right.
        colour: ``#RRGGBB`` of what stands for it in the picture; None: nothing does.
        bars: Probabilities, drawn in the place of the colour.
    """

    name: str
    label: str
    value: str
    colour: str | None = None
    bars: "tuple[Bar, ...]" = ()


@dataclass(frozen=True, kw_only=True)
class Bar:
    """The bar of one target.

    Attributes:
        label: The target's.
        value: Its length, 0-1.
        text: The number beside it.
        said: Whether it is what is said; such a bar is coloured, the others are grey.
        threshold: Where a line crosses it; None: there is none.
    """

    label: str
    value: float
    text: str
    said: bool
    threshold: float | None = None


def with_legend(picture: Image.Image, rows: Sequence[Row]) -> Image.Image:
    """Put a legend below a picture.

    Args:
        picture: Mode RGB.
        rows: From top to bottom.

    Returns:
        A PIL image of mode RGB, as wide as the picture and higher.
    """
    em = _em(picture.width)
    height = round(em * 2.9)
    panel = Image.new("RGB", (picture.width, len(rows) * height + round(em * 1.2)), "#FFFFFF")
    draw = ImageDraw.Draw(panel)
    top = round(em * 0.9)
    for row in rows:
        _legend_row(draw, top, em, row)
        top += height
        if top < panel.height - em:
            rule = top - round(em * 0.45)
            draw.line((em, rule, picture.width - em, rule), fill=_RULE, width=max(1, em // 14))
    return _below(picture, panel)


def with_bars(picture: Image.Image, title: str, bars: Sequence[Bar]) -> Image.Image:
    """Put a chart of probabilities below a picture.

    Args:
        picture: Mode RGB.
        title: The line above the bars.
        bars: From top to bottom.

    Returns:
        A PIL image of mode RGB, as wide as the picture and higher.
    """
    em = _em(picture.width)
    line = round(em * 1.7)
    panel = Image.new("RGB", (picture.width, round(em * 3.3) + len(bars) * line), "#FFFFFF")
    draw = ImageDraw.Draw(panel)
    large, small = _fonts(em)
    draw.text(
        (em, round(em * 0.8)),
        _fitted(_plain(title), large, panel.width - 2 * em),
        fill=INK,
        font=large,
    )
    numbers = max((small.getlength(_plain(one.text)) for one in bars), default=0.0)
    names = min(
        max((small.getlength(_plain(one.label)) for one in bars), default=0.0), 0.4 * panel.width
    )
    left = round(2 * em + names)
    right = max(left + em, round(panel.width - 2 * em - numbers))
    for number, one in enumerate(bars):
        _bar_row(draw, round(em * 2.6) + number * line, em, (left, right), one)
    return _below(picture, panel)


def _below(picture: Image.Image, panel: Image.Image) -> Image.Image:
    whole = Image.new("RGB", (picture.width, picture.height + panel.height))
    whole.paste(picture, (0, 0))
    whole.paste(panel, (0, picture.height))
    return whole


def _bar_row(draw: ImageDraw.ImageDraw, top: int, em: int, ends: tuple[int, int], bar: Bar) -> None:
    _, small = _fonts(em)
    left, right = ends
    ink = INK if bar.said else _SOFT_INK
    draw.text((em, top), _fitted(_plain(bar.label), small, left - 2 * em), fill=ink, font=small)
    draw.text((right + em, top), _plain(bar.text), fill=ink, font=small)
    ground = (left, top + em // 8, right, top + round(em * 0.95))
    draw.rectangle(ground, fill="#EEF1F4")
    end = left + round((right - left) * bar.value)
    draw.rectangle((left, ground[1], end, ground[3]), fill=MARK if bar.said else _QUIET)
    if bar.threshold is not None:
        place = left + round((right - left) * bar.threshold)
        over = max(2, em // 6)
        wide = max(2, em // 9)
        draw.line((place, ground[1] - over, place, ground[3] + over), fill=INK, width=wide)


def _legend_row(draw: ImageDraw.ImageDraw, top: int, em: int, row: Row) -> None:
    large, small = _fonts(em)
    name, label, value = map(_plain, (row.name, row.label, row.value))
    width = draw.im.size[0]
    side, left = round(em * 1.5), round(em * 3.2)
    box = (em, top + em // 4, em + side, top + em // 4 + side)
    if row.colour is not None:
        rim = max(1, em // 14)
        draw.rounded_rectangle(box, em // 4, fill=row.colour, outline=_CASING, width=rim)
    _columns(draw, box, row.bars)
    room = width - left - em
    value = _fitted(value, large, 0.7 * room)
    value_px = round(large.getlength(value))
    draw.text((width - em - value_px, top), value, fill=INK, font=large)
    draw.text((left, top), _fitted(name, large, room - value_px - em), fill=INK, font=large)
    below = (left, top + round(em * 1.2))
    draw.text(below, _fitted(label, small, room), fill=_SOFT_INK, font=small)


def _columns(
    draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], bars: Sequence[Bar]
) -> None:
    """Draw bars as small columns in a box."""
    left, top, right, bottom = box
    for number, one in enumerate(bars):
        step = (right - left) / len(bars)
        x0, x1 = left + number * step, left + (number + 0.8) * step
        height = max(1.0, (bottom - top) * one.value)
        fill = MARK if one.said else _QUIET
        draw.rectangle((round(x0), round(bottom - height), round(x1), bottom), fill=fill)


def _em(width: int) -> int:
    return min(32, max(11, round(width / 46)))


def _fonts(em: int) -> tuple[_Font, _Font]:
    """Give the large and the small letters."""
    return ImageFont.load_default(size=em), ImageFont.load_default(size=em * 0.82)


def _plain(text: str) -> str:
    """Bring text to the characters that Pillow's own font has: one line of ASCII."""
    apart = unicodedata.normalize("NFKD", " ".join(text.split()))
    bare = "".join(letter for letter in apart if not unicodedata.combining(letter))
    return "".join(letter if " " <= letter <= "~" else "?" for letter in bare)


def _fitted(text: str, font: _Font, room: float) -> str:
    """Shorten text to the room there is, with three dots at its end."""
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(text + "...") > room:
        text = text[:-1]
    return text.rstrip() + "..." if text else ""
