"""Colours over a photograph: high is seen, low lets the photograph through."""

import numpy as np
from PIL import Image

from retq_hub.heatmap import colour_bar, heatmap, photograph

EYE = Image.fromarray(np.full((40, 60, 3), 120, np.uint8))


def test_what_is_high_is_yellow_and_what_is_zero_is_the_dimmed_photograph():
    def levels(width: int, height: int) -> np.ndarray:
        found = np.zeros((height, width), np.float32)
        found[:, width // 2 :] = 1
        return found

    pixels = np.asarray(heatmap(EYE, levels, max_side_px=1000), dtype=int)
    assert pixels.shape == (40, 60, 3)
    assert (pixels[:, :30] == round(120 * 0.72)).all()
    red, green, blue = pixels[20, 45]
    assert red > 150
    assert green > 150 > 90 > blue


def test_levels_are_asked_for_at_the_size_that_is_drawn():
    asked = []

    def levels(width: int, height: int) -> np.ndarray:
        asked.append((width, height))
        return np.zeros((height, width), np.float32)

    assert heatmap(EYE, levels, max_side_px=30).size == (30, 20)
    assert asked == [(30, 20)]


def test_a_photograph_is_scaled_down_and_never_up():
    assert photograph(EYE, 30).size == (30, 20)
    copy = photograph(EYE, 1000)
    assert copy.size == EYE.size
    assert copy is not EYE


def test_the_bar_goes_from_dark_to_yellow():
    bar = np.asarray(colour_bar(64, 2), dtype=int)
    assert bar.shape == (2, 64, 3)
    assert (np.diff(bar[0].sum(axis=1)) > -12).mean() > 0.9
    assert bar[0, -1].sum() > bar[0, 0].sum()
