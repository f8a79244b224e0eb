"""Plots: what is drawn lies where the figures say, and is said in words too."""

import re

import numpy as np
import pytest

from retq_hub.comparison import Difference
from retq_hub.lesions import ImageLesions, froc
from retq_hub.manifest import Interval
from retq_hub.pixels import CurvePoint, Pooled, ReliabilityBin
from retq_hub.plots import (
    difference_strip,
    dot_strip,
    froc_plot,
    precision_recall_plot,
    reliability_plot,
)

POOLED = Pooled(
    n_pixels=1000,
    n_positive=100,
    auroc=0.9,
    auprc=0.5,
    calibration_error=0.0123,
    precision_recall=tuple(
        CurvePoint(threshold=one, precision=one, recall=1 - one) for one in (0.9, 0.5, 0.1)
    ),
    reliability=(
        ReliabilityBin(n_pixels=10, probability=0.5, observed=0.25),
        ReliabilityBin(n_pixels=1000, probability=1.0, observed=1.0),
    ),
)
LEFT, RIGHT, TOP, BOTTOM = 48, 348, 12, 262


def circles(svg: str) -> list[tuple[float, float, float]]:
    found = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="([\d.]+)"', svg)
    return [(float(x), float(y), float(r)) for x, y, r in found]


def line(svg: str, kind: str) -> list[tuple[float, float]]:
    points = re.search(rf'<polyline class="{kind}" points="([^"]+)"', svg)
    assert points
    return [tuple(map(float, one.split(","))) for one in points[1].split()]


def test_precision_lies_over_recall_with_the_threshold_marked():
    svg = precision_recall_plot(POOLED, 0.5)
    assert circles(svg) == [((LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2, 5)]
    assert line(svg, "curve")[-1] == (pytest.approx(318), pytest.approx(237))
    assert [y for _, y in line(svg, "guide")] == [237, 237]
    assert "threshold 0.5<" in svg
    assert "average precision 0.5000; at the threshold recall 0.50" in svg


def test_reliability_has_larger_dots_for_more_pixels():
    svg = reliability_plot(POOLED)
    (half, full) = circles(svg)
    assert half[:2] == (198, 199.5)
    assert full[:2] == (RIGHT, TOP)
    assert full[2] > half[2]
    assert "calibration error 0.0123" in svg


def test_froc_rises_in_steps_over_the_seven_rates():
    image = ImageLesions(
        found=np.array([3, 1, -np.inf], np.float32),
        false=np.array([2, 0], np.float32),
        n_touched=2,
        n_false_regions=1,
    )
    svg = froc_plot(froc([image, image]))
    dots = circles(svg)
    assert len(dots) == 7
    assert (dots[0][0], dots[-1][0]) == (LEFT, RIGHT)
    heights = [y for _, y in line(svg, "curve")]
    assert heights == sorted(heights, reverse=True)
    assert BOTTOM - heights[-1] == pytest.approx((BOTTOM - TOP) * 2 / 3, abs=0.1)
    assert [text for text in ("1/8", "1/4", "1/2", "8") if f">{text}</text>" in svg] == [
        "1/8", "1/4", "1/2", "8",
    ]  # fmt: skip


def test_dots_of_equal_values_stand_above_each_other():
    values = [("a", 0.5), ("b", 0.5), ("<b>c</b>", 0.9)]
    svg = dot_strip(values, Interval(mean=0.6, min=0.5, max=0.9, ci95=(0.5, 0.7)), said='"x"')
    heights = re.findall(r'cx="([\d.]+)%" cy="(\d+)"', svg)
    assert [x for x, _ in heights] == ["50.00", "50.00", "90.00"]
    assert heights[0][1] != heights[1][1]
    assert heights[0][1] == heights[2][1]
    assert "&lt;b&gt;c&lt;/b&gt;: 0.9000" in svg
    assert 'aria-label="&quot;x&quot;"' in svg


@pytest.mark.parametrize(
    ("mean", "ci95"), [(0.0, (0.0, 0.0)), (-0.1, (-0.2, -0.01)), (0.5, (0.4, 0.9))]
)
def test_a_difference_lies_on_its_side_of_zero(mean: float, ci95: tuple[float, float]):
    svg = difference_strip(Difference(n_images=3, mean=mean, ci95=ci95, wins=1, ties=1, losses=1))
    place = float(re.search(r'cx="([\d.]+)%"', svg)[1])
    assert 0 <= place <= 100
    assert np.sign(place - 50) == np.sign(mean)
