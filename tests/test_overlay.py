"""Pictures: the colour is where the mask is, the legend is below, nothing is drawn for nothing."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageColor
from support_core import manifest

from retq_hub.heatmap import colour_bar
from retq_hub.kinds import TEXT, Similarity
from retq_hub.manifest import Head, Target
from retq_hub.overlay import (
    PALETTE,
    area_text,
    marks,
    outlined,
    overlay,
    probability_map,
    targets,
)
from retq_hub.result import Segmentation, ZeroShot

SIZE = (300, 200)
GREY = Image.new("RGB", SIZE, (120, 120, 120))


def disc(centre: tuple[float, float] = (0.5, 0.5), *, height: float = 12) -> NDArray[np.float32]:
    """(1, 20, 20) logits of a blurred disc, ``height`` above the background's -6."""
    y, x = (np.mgrid[:20, :20] + 0.5) / 20
    far = (x - centre[0]) ** 2 + (y - centre[1]) ** 2
    return np.asarray(height * np.exp(-far / 0.02) - 6, dtype=np.float32)[None]


def seen(logits: NDArray[np.float32], *thresholds: float) -> Segmentation:
    head = Head(
        activation="sigmoid", thresholds=thresholds or (0.25,) * len(logits), threshold_choice="x"
    )
    made = manifest(targets=len(logits), head=head)
    return Segmentation(logits=logits, size=SIZE, manifest=made)


def changed(picture: Image.Image, before: Image.Image = GREY) -> NDArray[np.bool_]:
    difference = np.asarray(picture, dtype=int) - np.asarray(before.resize(picture.size), dtype=int)
    return np.asarray(np.abs(difference).max(axis=2) > 2)


def dilated(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """The reference: shift and join."""
    joined = np.zeros_like(mask)
    padded = np.pad(mask, radius)
    for down in range(2 * radius + 1):
        for right in range(2 * radius + 1):
            joined |= padded[down : down + mask.shape[0], right : right + mask.shape[1]]
    return joined


def test_the_palette_has_colours_that_differ():
    assert len(set(PALETTE)) == len(PALETTE) == 8


def test_the_mask_is_tinted_and_outlined_and_nothing_else_is_touched():
    found = seen(disc())
    picture = marks(GREY, {"disc": found}, colours=["#0000FF"])
    mask = found.mask_at(*SIZE)[0]
    assert picture.size == SIZE
    assert changed(picture)[mask].all()
    assert not changed(picture)[~dilated(mask, 3)].any()
    inside = picture.getpixel((150, 100))
    assert inside == (101, 101, 142), "a faint tint of blue over grey"


def test_the_contour_has_the_querys_colour_at_the_edge_of_the_mask():
    found = seen(disc())
    pixels = np.asarray(marks(GREY, {"disc": found}, colours=["#0000FF"]))
    line = (pixels == (0, 0, 255)).all(axis=2)
    mask = found.mask_at(*SIZE)[0]
    edge = dilated(mask, 1) & dilated(~mask, 1)
    assert line.sum() > 100
    assert not line[~dilated(edge, 1)].any()


def test_colours_go_by_position_and_start_again():
    places = [(0.2, 0.5), (0.5, 0.5), (0.8, 0.5)]
    found = {f"q{number}": seen(disc(place)) for number, place in enumerate(places)}
    pixels = np.asarray(marks(GREY, found, colours=["#FF0000", "#00FF00"]), dtype=int)
    for (x, _), strongest in zip(places, (0, 1, 0), strict=True):
        assert pixels[100, round(x * SIZE[0])].argmax() == strongest


def test_a_small_mask_is_drawn_over_a_large_one_whatever_the_order():
    small, large = seen(disc(height=7)), seen(disc(height=40))
    one = marks(GREY, {"small": small, "large": large}, colours=["#FF0000", "#00FF00"])
    other = marks(GREY, {"large": large, "small": small}, colours=["#00FF00", "#FF0000"])
    assert one.tobytes() == other.tobytes()


def test_all_targets_of_a_query_are_marked_each_by_its_own_threshold():
    found = seen(np.concatenate([disc((0.2, 0.5)), disc((0.8, 0.5), height=7)]), 0.5, 0.9)
    touched = changed(marks(GREY, {"two": found}))
    assert touched[100, 60]
    assert not touched[:, 150:].any(), "the second target stays below its threshold"


def test_a_mask_up_to_the_border_and_a_picture_of_one_line_are_drawn():
    everywhere = seen(np.full((1, 4, 4), 5, dtype=np.float32))
    assert changed(marks(GREY, {"all": everywhere})).all()
    line = Image.new("RGB", (50, 1), (120, 120, 120))
    assert marks(line, {"disc": seen(disc())}).size == (50, 1)


@pytest.mark.parametrize("height", [0, 4.8])
def test_nothing_is_drawn_where_nothing_is_marked(height: float):
    found = seen(disc(height=height))
    assert not found.mask.any()
    assert marks(GREY, {"disc": found}).tobytes() == GREY.tobytes()


def test_the_photograph_given_is_left_as_it_was():
    before = GREY.tobytes()
    overlay(GREY, {"disc": seen(disc())})
    probability_map(GREY, seen(disc()))
    assert GREY.tobytes() == before


@pytest.mark.parametrize(("limit", "size"), [(1600, (300, 200)), (150, (150, 100))])
def test_pictures_are_scaled_down_and_never_up(limit: int, size: tuple[int, int]):
    assert marks(GREY, {}, max_side_px=limit).size == size
    assert probability_map(GREY, seen(disc()), max_side_px=limit).size == size


def test_the_legend_is_a_light_panel_below_the_photograph():
    found = {"disc": seen(disc()), "none": seen(disc(height=0))}
    whole = overlay(GREY, found, colours=["#0000FF", "#FF0000"])
    photograph = marks(GREY, found, colours=["#0000FF", "#FF0000"])
    assert whole.width == 300
    assert whole.crop((0, 0, *SIZE)).tobytes() == photograph.tobytes()
    panel = np.asarray(whole.crop((0, 200, 300, whole.height)))
    assert (panel == 255).all(axis=2).mean() > 0.7
    for colour in ((0, 0, 255), (255, 0, 0)):
        assert (panel == colour).all(axis=2).sum() > 50
    assert (panel.max(axis=2) < 90).sum() > 100, "dark text"


def test_the_legend_grows_by_a_row_a_query():
    heights = [
        overlay(GREY, {f"q{n}": seen(disc()) for n in range(count)}).height for count in (1, 2, 3)
    ]
    assert heights[2] - heights[1] == heights[1] - heights[0] > 20


def test_the_legend_takes_any_text():
    target = Target(name="x", label="\u00d6d\u00e8me\n\u6f22 " + "long " * 50)
    found = Segmentation(logits=disc(), size=SIZE, manifest=replace(manifest(), targets=(target,)))
    assert overlay(GREY, {"n\u00e9e" * 40: found}).width == 300
    assert overlay(Image.new("RGB", (20, 400)), {"disc": found}).width == 20


def test_probability_shows_in_the_colours_of_the_bar_on_a_grey_photograph():
    red = Image.new("RGB", SIZE, (200, 40, 40))
    pixels = np.asarray(probability_map(red, seen(disc(height=20))), dtype=int)
    corner, centre = pixels[2, 2], pixels[100, 150]
    assert np.ptp(corner) <= 6, "improbable: grey"
    assert centre[0] > 150, "certain: yellow"
    assert centre[1] > 150
    assert centre[2] < 80
    assert corner.max() < 0.299 * 200 + 0.701 * 40, "dimmed"


def test_the_mask_has_a_white_contour_on_the_probability():
    found = seen(disc())
    black = Image.new("RGB", SIZE)
    white = (np.asarray(probability_map(black, found)) == 255).all(axis=2)
    mask = found.mask_at(*SIZE)[0]
    assert white.sum() > 100
    assert not white[~dilated(dilated(mask, 1) & dilated(~mask, 1), 1)].any()
    empty = probability_map(black, seen(disc(height=4)))
    assert np.asarray(empty).max() < 255


def test_the_bar_gets_lighter_from_left_to_right():
    bar = colour_bar(64, 3)
    assert bar.size == (64, 3)
    luminance = np.asarray(bar, dtype=float)[0] @ (0.2126, 0.7152, 0.0722)
    assert luminance[-1] > 2 * luminance[0]
    assert (np.diff(luminance[8:]) > -0.5).all()


def test_areas_are_said_in_words_where_figures_mislead():
    assert area_text(seen(disc())) == f"{seen(disc()).area * 100:.2f} %"
    assert area_text(seen(disc(height=0))) == "nothing marked"
    peak = np.full((1, 28, 28), -100, dtype=np.float32)
    peak[0, 14, 14] = 0
    assert area_text(seen(peak, 0.499)) == "under 0.01 %"


def test_one_margin_is_outlined_as_a_querys_mask_is():
    logits = disc()
    margin = logits[0] - np.float32(np.log(0.25 / 0.75))
    drawn = outlined(GREY, margin, colour=PALETTE[0])
    assert drawn.tobytes() == marks(GREY, {"disc": seen(logits)}).tobytes()
    assert outlined(GREY, margin - 100, colour=PALETTE[0]).tobytes() == GREY.tobytes()
    assert outlined(GREY, margin, colour=PALETTE[0], max_side_px=150).size == (150, 100)


def test_one_target_is_drawn_as_its_query_is():
    found = seen(disc())
    assert targets(GREY, found).tobytes() == marks(GREY, {"disc": found}).tobytes()


def test_each_target_has_a_colour_of_its_own_and_a_row_in_the_legend():
    found = seen(np.concatenate([disc((0.3, 0.3)), disc((0.7, 0.7)), disc(height=0)]))
    picture = targets(GREY, found)
    assert picture.width == GREY.width
    assert picture.height > GREY.height
    pixels = np.asarray(picture)
    for colour, (row, column) in zip(PALETTE, ((0.3, 0.3), (0.7, 0.7)), strict=False):
        whole = (pixels == ImageColor.getrgb(colour)).all(axis=2)
        drawn = np.argwhere(whole[: GREY.height]).mean(axis=0)
        assert drawn == pytest.approx((row * GREY.height, column * GREY.width), abs=3)
        assert whole[GREY.height :].sum() > 20
    third = (pixels == ImageColor.getrgb(PALETTE[2])).all(axis=2)
    assert third.any()
    assert not third[: GREY.height].any()


def test_targets_are_scaled_as_overlays_are():
    assert max(targets(GREY, seen(disc()), max_side_px=120).size) == 120


def test_each_text_has_a_colour_of_its_own():
    """All of them together are the whole photograph: one colour for all would show nothing."""
    head = Head(
        activation="softmax",
        thresholds=(0.5, 0.5, 0.5),
        threshold_choice="x",
        background=False,
        similarity=Similarity(scale=10, per="token"),
    )
    maps = np.concatenate([disc((0.2, 0.5)), disc((0.5, 0.5)), np.zeros((1, 20, 20), np.float32)])
    made = manifest(targets=3, kind=TEXT, head=head)
    words = ZeroShot(logits=maps, size=SIZE, manifest=made, scores=np.zeros(3, np.float32))
    picture = np.asarray(overlay(GREY, {"words": words, "mine": seen(disc((0.8, 0.5)))}))
    drawn, legend = picture[: SIZE[1]], picture[SIZE[1] :]
    for number, x in ((0, 0.2), (1, 0.5), (3, 0.8)):
        inked = (drawn == ImageColor.getrgb(PALETTE[number])).all(axis=2)
        assert inked.sum() > 50
        assert abs(inked.nonzero()[1].mean() / SIZE[0] - x) < 0.02
    for colour in PALETTE[:4]:
        assert (legend == ImageColor.getrgb(colour)).all(axis=2).any()
