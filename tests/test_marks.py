"""What is said of marks equals the plain way: whole masks, labelled pixel by pixel."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from scipy import ndimage
from support_core import manifest

from retq_hub.manifest import Calibration, Guided, Head
from retq_hub.marks import COMPONENT_PX, largest, marks
from retq_hub.result import AREA_PX, Segmentation

PLATT = Calibration(
    method="platt", ece=(0.0, 0.0), ece_before=(0.0, 0.0), scale=(2.0, 0.5), offset=(-1.0, 0.5)
)
KNOTS = Calibration(
    method="isotonic",
    ece=(0.0, 0.0),
    ece_before=(0.0, 0.0),
    knots=(((-2.0, -3.0), (0.0, -1.0), (1.0, 4.0)), ((0.0, 0.0), (1.0, 0.5))),
)

LED = Guided(size_px=48, radius_px=2, epsilon=0.01)


def plain_largest(mask: NDArray[np.bool_]) -> tuple[float, float] | None:
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    if count == 0:
        return None
    number = int(np.bincount(labels.ravel())[1:].argmax()) + 1
    y, x = ndimage.center_of_mass(labels == number)
    return float(x), float(y)


def plain_centroid(found: Segmentation, number: int) -> tuple[float, float] | None:
    width, height = found.size
    scale = min(1.0, COMPONENT_PX / max(width, height))
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    place = plain_largest(found.mask_at(*small)[number])
    if place is None:
        return None
    return (
        round((place[0] + 0.5) * width / small[0] - 0.5, 1),
        round((place[1] + 0.5) * height / small[1] - 0.5, 1),
    )


@settings(max_examples=100, deadline=None)
@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_the_largest_component_is_that_of_a_labelling(mask: NDArray[np.bool_]) -> None:
    assert largest(mask) == pytest.approx(plain_largest(mask)) or not mask.any()


def test_of_equal_components_the_first_counts() -> None:
    mask = np.zeros((5, 9), dtype=np.bool_)
    mask[3:, 1:3] = mask[0:2, 6:8] = True
    assert largest(mask) == (6.5, 0.5)
    assert largest(mask, 100, 10) == (106.5, 10.5)
    assert largest(np.zeros((0, 4), dtype=np.bool_)) is None


def segmentation(seed: int, grid: int, size: tuple[int, int], head: Head) -> Segmentation:
    rng = np.random.default_rng(seed)
    logits = (3 * rng.standard_normal((2, grid, grid)) - 1).astype(np.float32)
    guide = rng.random((48, 48), dtype=np.float32) if head.guided else None
    whole = replace(manifest(targets=2), head=head)
    return Segmentation(logits=logits, size=size, manifest=whole, guide=guide)


@pytest.mark.parametrize(
    ("size", "guided", "activation", "calibration"),
    [
        ((4288, 2848), None, "sigmoid", PLATT),
        ((2000, 300), LED, "softmax", None),
        ((90, 70), None, "sigmoid", None),
        ((90, 70), LED, "sigmoid", KNOTS),
        ((70, 90), LED, "softmax", PLATT),
        ((1, 3), None, "sigmoid", KNOTS),
    ],
)
def test_marks_are_those_of_the_masks(
    size: tuple[int, int],
    guided: Guided | None,
    activation: str,
    calibration: Calibration | None,
) -> None:
    head = Head(
        activation=activation,
        thresholds=(0.3, 0.6),
        threshold_choice="given",
        guided=guided,
        calibration=calibration,
    )
    found = segmentation(1, 7, size, head)
    masks = found.mask_at(AREA_PX, AREA_PX)
    tops = found.probability_at(AREA_PX, AREA_PX).max(axis=(1, 2))
    for number, mark in enumerate(marks(found)):
        assert mark.area == pytest.approx(float(masks[number].mean()), abs=1e-7)
        assert mark.highest == pytest.approx(float(tops[number]), abs=1e-6)
        assert mark.centroid == plain_centroid(found, number)


def test_nothing_marked_has_no_centroid() -> None:
    head = Head(activation="sigmoid", thresholds=(0.5, 0.5), threshold_choice="given")
    found = segmentation(0, 7, (90, 70), head)
    none = replace(found, logits=np.full_like(found.logits, -9))
    assert [(one.area, one.centroid) for one in marks(none)] == [(0.0, None)] * 2
    every = replace(found, logits=np.full_like(found.logits, 9))
    assert [(one.area, one.centroid) for one in marks(every)] == [(1.0, (44.5, 34.5))] * 2
