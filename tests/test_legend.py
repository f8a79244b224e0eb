"""Panels below pictures: bars are as long as they say, and any text fits."""

import numpy as np
import pytest
from PIL import Image, ImageColor

from retq_hub.legend import MARK, Bar, Row, with_bars, with_legend

PICTURE = Image.new("RGB", (400, 300), (120, 60, 40))


def bar(value: float, *, said: bool = True, label: str = "mild") -> Bar:
    return Bar(label=label, value=value, text=f"{value:.3f}", said=said)


def panel(whole: Image.Image) -> np.ndarray:
    assert whole.crop((0, 0, *PICTURE.size)).tobytes() == PICTURE.tobytes()
    return np.asarray(whole)[PICTURE.height :]


def coloured(whole: Image.Image) -> np.ndarray:
    return (panel(whole) == ImageColor.getrgb(MARK)).all(axis=2)


def test_a_bar_is_as_long_as_its_probability():
    full = coloured(with_bars(PICTURE, "a", [bar(1.0)])).any(axis=0).sum()
    half = coloured(with_bars(PICTURE, "a", [bar(0.5)])).any(axis=0).sum()
    assert full > 200
    assert half == pytest.approx(full / 2, abs=2)


def test_only_what_is_said_is_coloured_and_each_target_has_a_line():
    one = with_bars(PICTURE, "a", [bar(0.9, said=False)])
    assert not coloured(one).any()
    three = with_bars(PICTURE, "a", [bar(0.9), bar(0.8), bar(0.1, said=False)])
    lines = np.flatnonzero(np.diff(coloured(three).any(axis=1).astype(int)) == 1)
    assert len(lines) == 2
    assert three.height > one.height


def test_a_threshold_crosses_its_bar_at_its_place():
    plain = with_bars(PICTURE, "a", [bar(1.0)])
    crossed = with_bars(PICTURE, "a", [Bar(**{**vars(bar(1.0)), "threshold": 0.25})])
    touched = (panel(plain) != panel(crossed)).any(axis=2).any(axis=0)
    ends = np.flatnonzero(coloured(plain).any(axis=0))
    place = (np.flatnonzero(touched).mean() - ends[0]) / (ends[-1] - ends[0])
    assert place == pytest.approx(0.25, abs=0.02)


def test_a_legend_draws_columns_in_the_place_of_a_colour():
    row = Row(name="grade", label="whole image", value="mild 0.750", bars=(bar(0.75), bar(0.25)))
    marked = coloured(with_legend(PICTURE, [row]))
    assert marked.any()
    assert np.flatnonzero(marked.any(axis=0)).max() < 60


@pytest.mark.parametrize("text", ["", "\N{SNOWMAN}\nü" * 50, "x" * 400])
def test_any_text_fits(text: str):
    whole = with_bars(PICTURE, text, [bar(0.5, label=text)])
    assert whole.width == PICTURE.width
    row = Row(name=text, label=text, value=text, colour="#FF0000")
    assert with_legend(PICTURE, [row]).width == PICTURE.width
