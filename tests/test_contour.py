"""Outlines are drawn around the mask and leave the rest of the picture alone."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from retq_hub import contour

GREY = (90, 90, 90)


def disc(size: tuple[int, int], middle: tuple[float, float], radius: float) -> NDArray[np.float32]:
    y, x = np.mgrid[: size[1], : size[0]].astype(np.float32)
    return radius - np.hypot(x - middle[0], y - middle[1])


def drawn(margin: NDArray[np.float32]) -> NDArray[np.int16]:
    picture = Image.new("RGB", (margin.shape[1], margin.shape[0]), GREY)
    contour.draw(picture, margin, "#FFFFFF", tint=0.2)
    return np.asarray(picture).astype(np.int16) - GREY[0]


def test_the_line_lies_on_the_edge_and_only_the_inside_is_tinted() -> None:
    margin = disc((200, 150), (80, 60), 25)
    change = drawn(margin)
    assert (change[np.abs(margin) < 0.5] > 100).all()
    assert (change[margin > 5] == round(0.2 * (255 - 90))).all()
    assert (change[margin < -5] == 0).all()
    assert (change[(margin < -1.4) & (margin > -1.7)] < 0).any(), "the dark casing"


@pytest.mark.parametrize("middle", [(0, 0), (199, 149), (100, -3), (60, 75)])
def test_a_mask_at_the_border_is_drawn_like_one_in_the_middle(middle: tuple[int, int]) -> None:
    """Drawn on a larger picture and cut out it looks the same, but for slopes at the border."""
    margin = disc((200, 150), middle, 25)
    whole = disc((320, 270), (middle[0] + 60, middle[1] + 60), 25)
    # The line's width goes by the longer side, so that both are wide enough for the thinnest.
    inside = drawn(whole)[60:210, 60:260]
    difference = np.abs(drawn(margin) - inside)[1:-1, 1:-1]
    assert difference.max() <= 2


def test_nothing_marked_changes_nothing() -> None:
    assert not drawn(np.full((40, 60), -1, dtype=np.float32)).any()


def test_everything_marked_is_tinted_without_a_line() -> None:
    assert (drawn(np.full((40, 60), 1000, dtype=np.float32)) == round(0.2 * (255 - 90))).all()
