from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from retq_hub.grids import upsample
from retq_hub.guided import Lead
from retq_hub.heads import calibrate, cuts, margins, pixel_logits, probabilities
from retq_hub.manifest import Calibration, Guided, Head

LINES = Calibration(
    method="platt", ece=(0.0, 0.0), ece_before=(0.0, 0.0), scale=(2.0, 0.5), offset=(-1.0, 3.0)
)
KNOTS = Calibration(
    method="isotonic",
    ece=(0.0, 0.0),
    ece_before=(0.0, 0.0),
    knots=(((-2.0, -3.0), (0.0, -1.0), (1.0, 4.0)), ((0.0, 0.0), (1.0, 0.5))),
)


def grid(targets: int = 2, g: int = 6, *, seed: int = 0) -> Tensor:
    return 2 * torch.randn(targets, g, g, generator=torch.Generator().manual_seed(seed))


def head(activation: str = "sigmoid", *thresholds: float, **members: object) -> Head:
    return Head(
        activation=activation,
        thresholds=thresholds or (0.3, 0.6),
        threshold_choice="given",
        **members,
    )


def picture(width: int, height: int) -> Tensor:
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return ((x / width > 0.4) ^ (y / height > 0.7)).float()


def test_without_more_it_is_bilinear_upsampling():
    maps = grid()
    expected = F.interpolate(maps[None], (20, 30), mode="bilinear")[0]
    torch.testing.assert_close(pixel_logits(head(), maps, 30, 20, None), expected)


def test_a_guided_head_asks_for_the_image_at_the_size_at_which_it_works():
    asked: list[int] = []

    def guide(size_px: int) -> Tensor:
        asked.append(size_px)
        return picture(size_px, size_px)

    led = head(guided=Guided(size_px=24, radius_px=2, epsilon=1e-3))
    found = pixel_logits(led, grid(), 50, 40, guide)
    assert asked == [24]
    sharp = Lead(picture(24, 24).numpy(), radius_px=2, epsilon=1e-3)(grid().numpy())
    assert torch.equal(found, upsample(torch.from_numpy(sharp), 40, 50))


def test_a_line_scales_and_shifts_each_target():
    found = calibrate(LINES, grid())
    expected = np.stack([2 * grid()[0].numpy() - 1, 0.5 * grid()[1].numpy() + 3])
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_knots_are_interpolated_and_all_but_level_beyond():
    values = torch.linspace(-5, 5, 200).view(1, 10, 20).repeat(2, 1, 1)
    values[0, 0, 0], values[0, 0, 1] = 0.0, 1.0
    found = calibrate(KNOTS, values)
    assert KNOTS.knots is not None
    for one, curve, each in zip(values, KNOTS.knots, found, strict=True):
        x = np.array(curve)[:, 0]
        expected = np.interp(one.numpy(), *np.array(curve).T)
        expected += 1e-3 * (one.numpy() - one.numpy().clip(x[0], x[-1]))
        np.testing.assert_allclose(each.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("calibration", [LINES, KNOTS], ids=["line", "knots"])
def test_calibration_comes_after_upsampling(calibration: Calibration):
    found = pixel_logits(head(calibration=calibration), grid(), 24, 24, None)
    torch.testing.assert_close(found, calibrate(calibration, upsample(grid(), 24, 24)))


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
@pytest.mark.parametrize("targets", [1, 3])
def test_a_positive_margin_is_a_probability_above_the_threshold(activation: str, targets: int):
    thresholds = (0.2, 0.45, 0.7)[:targets]
    one = head(activation, *thresholds)
    logits = grid(targets, 30)
    p, margin = probabilities(one, logits), margins(one, logits)
    above = p > torch.tensor(thresholds)[:, None, None]
    unsure = margin.abs() < 1e-5
    if activation == "softmax" and targets > 1:
        highest = p == p.amax(0, keepdim=True)
        above &= highest
    assert ((margin > 0) == above)[~unsure].all()
    assert 0 < (margin > 0).float().mean() < 1


def test_probabilities_of_exclusive_targets_and_the_background_sum_to_one():
    logits = grid(3)
    p = probabilities(head("softmax"), logits)
    with_background = torch.cat([torch.zeros_like(logits[:1]), logits]).softmax(0)
    torch.testing.assert_close(p, with_background[1:])
    assert (p.sum(0) < 1).all()
    torch.testing.assert_close(probabilities(head(), logits), logits.sigmoid())


def test_exclusive_targets_never_mark_a_pixel_twice():
    logits = 5 * grid(3, 40)
    marked = margins(head("softmax", 0.05, 0.05, 0.05), logits) > 0
    assert int(marked.sum(0).max()) == 1
    together = margins(head("sigmoid", 0.05, 0.05, 0.05), logits) > 0
    assert int(together.sum(0).max()) > 1


def test_one_exclusive_target_is_a_sigmoid():
    logits = grid(1)
    soft, plain = head("softmax", 0.3), head("sigmoid", 0.3)
    torch.testing.assert_close(probabilities(soft, logits), probabilities(plain, logits))
    torch.testing.assert_close(margins(soft, logits), margins(plain, logits), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_extreme_logits_are_borne(activation: str):
    logits = torch.tensor([[[200.0, -200.0, 0.0]], [[-200.0, 200.0, 0.0]]])
    margin = margins(head(activation), logits)
    assert not margin.isnan().any()
    assert (margin > 0).tolist() == [
        [[True, False, activation == "sigmoid"]],
        [[False, True, False]],
    ]


def test_thresholds_near_the_ends_mark_nearly_all_or_nothing():
    logits = grid(1, 30)
    assert (margins(head("sigmoid", 1e-6), logits) > 0).all()
    assert not (margins(head("sigmoid", 1 - 1e-6), logits) > 0).any()
    assert replace(head(), thresholds=(0.5,)).thresholds == (0.5,)


@pytest.mark.parametrize("calibration", [None, LINES, KNOTS])
def test_a_cut_is_the_last_logit_that_is_not_marked(calibration: Calibration | None):
    one = head("sigmoid", 0.3, 0.8, calibration=calibration)
    found = torch.tensor(cuts(one))
    for logits, marked in ((found, False), (torch.nextafter(found, torch.tensor(9e9)), True)):
        maps = logits[:, None, None]
        values = maps if calibration is None else calibrate(calibration, maps)
        assert ((margins(one, values) > 0) == marked).all()


def test_targets_that_exclude_each_other_have_no_cuts():
    assert cuts(head("softmax")) is None
