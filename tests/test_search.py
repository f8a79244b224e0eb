"""The search on tokens made by hand: what carries the signal is found, the rest is left."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from problems import Held
from torch import Tensor

from retq_hub.basis import Basis
from retq_hub.channels import METHOD
from retq_hub.crossval import HeldOut, cross_validate, folds
from retq_hub.losses import SoftmaxEntropy
from retq_hub.manifest import Guided
from retq_hub.notation import parse, written
from retq_hub.progress import Silent
from retq_hub.recipe import L2_WEIGHTS, Recipe
from retq_hub.search import Found, Search

n, g, S = 6, 4, 32
PARTS = folds([str(number) for number in range(n)], seed=0, count=3)


def noise(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


COARSE = noise(n, 2, g, g, seed=0)
FINE = noise(n, 2, 2 * g, 2 * g, seed=1)
"""Signals on the grid of the whole image and on that of 2 x 2 tiles."""


def up(maps: Tensor) -> Tensor:
    return F.interpolate(maps, (S, S), mode="bilinear")


def rows(maps: Tensor) -> Tensor:
    """Tokens of maps (n, D, g, g): (n, N, D)."""
    return maps.flatten(2).transpose(1, 2)


def layer(number: int, tiles: int, signal: Tensor | None = None) -> Tensor:
    """Two channels a layer, noise except for the signal that it carries."""
    side = g * tiles
    tokens = noise(n, 2, side, side, seed=100 * tiles + number)
    if signal is not None:
        tokens[:, :1] = signal
    return rows(tokens)


class Tokens:
    """Gives the tokens of any basis, of layers that carry what they are told to; notes what for."""

    def __init__(self, carried: dict[tuple[int, int], Tensor], **extra: Tensor) -> None:
        self._carried, self._extra = carried, extra
        self.asked: list[str] = []

    def __call__(self, basis: Basis) -> Held:
        self.asked.append(written(basis, size_px=16))
        blocks = []
        for one in basis.passes:
            parts = [
                layer(number, one.tiles, self._carried.get((one.tiles, number)))
                for number in one.layers
            ]
            if basis.views and "flips" in self._extra:
                parts[0] = parts[0] + rows(self._extra["flips"])
            blocks.append(torch.cat(parts, dim=2))
        if basis.pixels:
            blocks.append(rows(self._extra.get("pixels", noise(n, 1, S, S, seed=9))))
        return Held(*blocks)


def search(
    tokens: Callable[[Basis], Held],
    masks: Tensor,
    *bases: str,
    guides: list[Callable[[int], Tensor]] | None = None,
    said: list[str] | None = None,
    **recipe: object,
) -> tuple[Found, Search]:
    class Told(Silent):
        def note(self, line: str) -> None:
            (said if said is not None else []).append(line)

    given = Recipe(**recipe)

    def held_out(basis: Basis, l2: float) -> HeldOut:
        return cross_validate(tokens(basis), masks, loss=given.loss, l2=l2, parts=PARTS)

    one = Search(
        held_out=held_out,
        masks=masks,
        goals=masks,
        parts=PARTS,
        guides=guides or [lambda size_px: torch.zeros(size_px, size_px)] * n,
        recipe=given,
        size_px=16,
        progress=Told(),
    )
    return one.run([parse(text, size_px=16) for text in bases]), one


UNITS = ("1x1:0", "1x1:1", "1x1:2", "2x2:0", "2x2:1")


def test_the_layer_that_carries_the_signal_is_found():
    masks = up(COARSE[:, :1]) > 0.5
    tokens = Tokens({(1, 2): COARSE[:, :1]})
    found, _ = search(tokens, masks, *UNITS, l2=1e-3)
    assert written(found.basis, size_px=16) == "1x1:2"
    assert found.trial.measure > 0.85
    assert [trial.basis for trial in found.trials] == list(UNITS)
    assert found.trial.measure == max(trial.measure for trial in found.trials)


def test_the_tiling_that_carries_the_signal_is_found():
    masks = up(FINE[:, :1]) > 0.5
    found, _ = search(Tokens({(2, 1): FINE[:, :1]}), masks, *UNITS, l2=1e-3)
    assert written(found.basis, size_px=16) == "2x2:1"


def test_layers_of_several_tilings_are_combined_as_far_as_they_help():
    masks = up(COARSE[:, :1]) + up(FINE[:, :1]) > 0.5
    tokens = Tokens({(1, 2): COARSE[:, :1], (2, 0): FINE[:, :1]})
    found, _ = search(tokens, masks, *UNITS, l2=1e-3, max_layers=3)
    assert {(one.tiles, one.layers) for one in found.basis.passes} >= {(1, (2,)), (2, (0,))}
    single = max(trial.measure for trial in found.trials if "+" not in trial.basis)
    assert found.trial.measure > single + 0.1
    assert len(set(tokens.asked)) == len(tokens.asked)


@pytest.mark.parametrize(("max_layers", "rounds"), [(1, 1), (2, 2), (9, 3)])
def test_no_more_layers_are_combined_than_wanted(max_layers: int, rounds: int):
    masks = up(COARSE[:, :1]) > 0.5
    tokens = Tokens({(1, 1): COARSE[:, :1]})
    found, _ = search(tokens, masks, "1x1:0", "1x1:1", "1x1:2", l2=1e-3, max_layers=max_layers)
    widths = {len(text.partition(":")[2].split(",")) for text in tokens.asked}
    assert widths == set(range(1, rounds + 1))
    assert len(found.trials) == [0, 3, 5, 6][rounds]


def test_layers_are_named_in_their_order():
    masks = up(COARSE[:, :1] + COARSE[:, 1:]) > 0.5
    tokens = Tokens({(1, 2): COARSE[:, :1], (1, 0): COARSE[:, 1:]})
    found, _ = search(tokens, masks, *UNITS[:3], l2=1e-3, max_layers=2)
    assert written(found.basis, size_px=16) == "1x1:0,2"


def test_the_weight_of_l2_is_chosen_where_it_is_open():
    masks = up(COARSE[:, :1]) > 0.5
    found, _ = search(Tokens({(1, 0): COARSE[:, :1]}), masks, "1x1:0")
    assert sorted(trial.l2 for trial in found.trials) == list(L2_WEIGHTS)
    best = max(trial.measure for trial in found.trials)
    assert found.trial.measure == best
    given, _ = search(Tokens({(1, 0): COARSE[:, :1]}), masks, "1x1:0", l2=0.02)
    assert [trial.l2 for trial in given.trials] == [0.02]


DETAIL = noise(n, 1, S, S, seed=5)


@pytest.mark.parametrize("helps", [True, False])
def test_pixel_channels_are_kept_only_where_they_help(helps: bool):
    masks = up(COARSE[:, :1]) + (2 * DETAIL if helps else 0) > 0.5
    tokens = Tokens({(1, 0): COARSE[:, :1]}, **({"pixels": DETAIL} if helps else {}))
    found, _ = search(tokens, masks, "1x1:0", l2=1e-3, pixels=True)
    assert found.basis.pixels == (METHOD if helps else None)
    assert tokens.asked == ["1x1:0", "1x1:0 + pixels"]
    assert len(found.trials) == 2


@pytest.mark.parametrize("helps", [True, False])
def test_flips_are_kept_only_where_they_help(helps: bool):
    """The signal is there in the mean over the views alone."""
    masks = up(COARSE[:, :1]) > 0.5
    flips = torch.cat([2 * COARSE[:, :1], 0 * COARSE[:, :1]], dim=1)
    tokens = Tokens({} if helps else {(1, 0): COARSE[:, :1]}, **({"flips": flips} if helps else {}))
    found, _ = search(tokens, masks, "1x1:0", l2=1e-3, flips=True)
    assert found.basis.views == (("plain", "mirrored") if helps else None)
    assert tokens.asked[1:] == [
        "1x1:0 (plain, mirrored)",
        "1x1:0 (plain, mirrored, upended, turned)",
    ]


@pytest.mark.parametrize("helps", [True, False])
def test_upsampling_led_by_the_image_is_kept_only_where_it_helps(helps: bool):
    """Bars narrower than a cell of 14 pixels: the image shows where they are, or nothing."""
    y = torch.arange(392)
    bars = torch.stack([(y + 5 * number) % 47 < 9 for number in range(n)])
    masks = bars[:, None, None, :].expand(n, 1, 392, 392)
    cells = rows(F.avg_pool2d(masks.float(), 14))

    def guide(image: int) -> Callable[[int], Tensor]:
        shown = bars[image].float().expand(392, 392) if helps else torch.full((392, 392), 0.5)
        return lambda size_px: shown[:size_px, :size_px]

    found, one = search(
        lambda _: Held(cells),
        masks,
        "1x1@392:0",
        l2=1e-3,
        sharpen=True,
        guides=[guide(image) for image in range(n)],
    )
    assert isinstance(found.guided, Guided) is helps
    assert one.head(found).guided == found.guided
    assert len({trial.guided for trial in found.trials}) == len(found.trials) > 2
    assert found.trial.measure == max(trial.measure for trial in found.trials) or not helps


def test_each_trial_is_told_in_one_line():
    said: list[str] = []
    masks = up(COARSE[:, :1]) > 0.5
    search(Tokens({}), masks, "1x1:0", "2x2:1", l2=1e-3, measure="iou", said=said)
    assert len(said) == 2
    assert said[1].startswith("2x2:1, L2 0.001: held-out IoU 0.")


def test_several_targets_have_thresholds_of_their_own_and_the_mean_counts():
    masks = torch.cat([up(COARSE[:, :1]) > 1.5, up(COARSE[:, 1:]) > -0.5], dim=1)
    tokens = Tokens({(1, 0): COARSE[:, :1], (1, 1): COARSE[:, 1:]})
    found, one = search(tokens, masks, "1x1:0,1", l2=1e-3, calibration="platt")
    assert len(found.trial.thresholds) == 2
    head = one.head(found)
    assert head.activation == "sigmoid"
    assert head.calibration is not None
    assert len(head.thresholds) == len(head.calibration.scale or ()) == 2
    assert "highest mean Dice" in head.threshold_choice
    assert "3-fold" in head.threshold_choice


def test_exclusive_targets_get_a_softmax_and_no_calibration():
    inner, outer = up(COARSE[:, :1]) > 0.8, up(COARSE[:, :1]) > 0
    masks = torch.cat([inner, outer & ~inner], dim=1)
    found, one = search(
        Tokens({(1, 0): COARSE[:, :1]}), masks, "1x1:0", l2=1e-3, loss=SoftmaxEntropy()
    )
    head = one.head(found)
    assert (head.activation, head.calibration) == ("softmax", None)
    assert head.thresholds == found.trial.thresholds


@pytest.mark.parametrize("calibration", ["none", "prior", "platt", "isotonic"])
def test_the_head_is_calibrated_as_the_recipe_says(calibration: str):
    masks = up(COARSE[:, :1]) + 0.5 * DETAIL > 0.5
    tokens = Tokens({(1, 0): COARSE[:, :1]})
    found, one = search(tokens, masks, "1x1:0", l2=1e-3, calibration=calibration)
    head = one.head(found)
    if calibration == "none":
        assert head.calibration is None
        assert head.thresholds == found.trial.thresholds
    else:
        assert head.calibration is not None
        assert head.calibration.method == calibration
        assert (head.thresholds == (0.5,)) is (calibration == "prior")
