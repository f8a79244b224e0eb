"""What is said of a mask is what its pixels say, computed the plain way."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from retq_hub import heads
from retq_hub.grids import upsample
from retq_hub.manifest import Calibration, Head
from retq_hub.marking import AREA_PX, Marks
from retq_hub.runs import decode

PLAIN = Head(activation="sigmoid", thresholds=(0.4, 0.7), threshold_choice="fixed")
LINE = Calibration(
    method="prior", ece=(0.1, 0.1), ece_before=(0.1, 0.1), scale=(0.7, 2.0), offset=(0.3, -1.0)
)
CURVE = Calibration(
    method="isotonic",
    ece=(0.1, 0.1),
    ece_before=(0.1, 0.1),
    knots=(((-2.0, -3.0), (0.0, -0.5), (1.0, 2.0)), ((-1.0, -1.0), (0.5, -1.0), (3.0, 4.0))),
)
HEADS = {
    "plain": PLAIN,
    "line": replace(PLAIN, calibration=LINE),
    "curve": replace(PLAIN, calibration=CURVE),
    "softmax": replace(PLAIN, activation="softmax", thresholds=(0.3, 0.3)),
    "all": replace(PLAIN, thresholds=(0.0, 1.0)),
}


def surface(side: int) -> np.ndarray:
    noise = np.random.default_rng(side).normal(size=(2, side, side))
    smooth = ndimage.gaussian_filter(noise, (0, side / 14, side / 14))
    return (smooth / smooth.std() * 2).astype(np.float32)


def logits(head: Head, maps: np.ndarray, width: int, height: int) -> torch.Tensor:
    found = upsample(torch.from_numpy(maps), height, width)
    return found if head.calibration is None else heads.calibrate(head.calibration, found)


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("side", [28, AREA_PX])
def test_runs_are_where_margins_are_positive(head: Head, side: int) -> None:
    maps, size = surface(side), (515, 340)
    found = np.stack([decode(one, *size[::-1]) for one in Marks(head, maps).runs(*size)])
    margins = heads.margins(head, logits(head, maps, *size)).numpy()
    differ = found != (margins > 0)
    assert (np.abs(margins[differ]) < 1e-5).all()
    assert found[0].any()


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("side", [28, AREA_PX])
def test_shares_and_highest_are_those_of_the_square(head: Head, side: int) -> None:
    maps = surface(side)
    square = logits(head, maps, AREA_PX, AREA_PX)
    marks = Marks(head, maps)
    expected = (heads.margins(head, square) > 0).float().mean((1, 2))
    np.testing.assert_allclose(marks.shares, expected, atol=2 / AREA_PX**2)
    highest = heads.probabilities(head, square).amax((1, 2))
    np.testing.assert_allclose(marks.highest, highest, atol=1e-6)


@pytest.mark.parametrize("size", [(515, 340), (4000, 100), (30, 2500)])
def test_the_centroid_is_in_pixels_of_the_image(size: tuple[int, int]) -> None:
    """The component is looked for on a smaller picture, whose longer side is 1024."""
    maps = surface(28)
    scale = min(1, 1024 / max(size))
    small = (round(size[0] * scale), round(size[1] * scale))
    margins = heads.margins(PLAIN, logits(PLAIN, maps, *small)).numpy()
    for one, margin in zip(Marks(PLAIN, maps).described(size), margins, strict=True):
        labels, _ = ndimage.label(margin > 0, structure=np.ones((3, 3)))
        largest = int(np.bincount(labels.ravel())[1:].argmax()) + 1
        y, x = ndimage.center_of_mass(labels == largest)
        expected = ((x + 0.5) * size[0] / small[0] - 0.5, (y + 0.5) * size[1] / small[1] - 0.5)
        assert one.centroid == pytest.approx(expected, abs=0.05)


def test_nothing_marked_has_no_centroid() -> None:
    found = Marks(HEADS["plain"], np.full((2, 28, 28), -9, np.float32)).described((400, 300))
    assert [(one.area, one.centroid) for one in found] == [(0.0, None)] * 2
    assert found[0].highest == pytest.approx(1 / (1 + np.exp(9)), rel=1e-5)
