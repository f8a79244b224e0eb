import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from eyes import draw
from numpy.typing import NDArray
from problems import Problem, plain
from tiny import Tiny, make_tiny

from retq_hub.augment import NO_AUGMENTATION
from retq_hub.errors import UsageError
from retq_hub.images import normalise
from retq_hub.newton import minimise
from retq_hub.paper import FrozenEncoder, PaperFit, PaperRecipe, fit_paper
from retq_hub.progress import Silent
from retq_hub.schedule import Schedule

RECIPE = PaperRecipe(batch=4, stop_after=3)


class Heard(Silent):
    """Remembers what was said and measured."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.values: list[str] = []
        self.milestones: list[str] = []

    def note(self, line: str) -> None:
        self.lines.append(line)

    def measure(self, value: str, *, milestone: bool = False) -> None:
        self.values.append(value)
        if milestone:
            self.milestones.append(value)


def encoder(tiny: Tiny) -> FrozenEncoder:
    vit = tiny.backbone.graphs.encoder()
    return FrozenEncoder(
        embed=lambda pixels: vit(pixels, (2,), norm=True, embed=False)[0][0],
        width=tiny.spec.tokens.width,
        preprocessing=tiny.spec.preprocessing,
        digest=tiny.backbone.weights_digest,
    )


def eyes(count: int = 6, side: int = 64) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Images (n, R, R, 3) and masks (n, 1, R, R)."""
    pairs = [draw(number) for number in range(count)]
    images = [np.asarray(image.resize((side, side))) for image, _ in pairs]
    masks = [np.asarray(mask.resize((side, side))) for _, mask in pairs]
    return np.stack(images), np.stack(masks)[:, None]


def fit(tiny: Tiny, folder: Path | None = None, progress: Silent | None = None) -> PaperFit:
    return fit_paper(*eyes(), encoder(tiny), recipe=RECIPE, folder=folder, progress=progress)


def losses(done: PaperFit) -> list[float]:
    return [row.loss for row in done.curve.rows]


def test_without_augmentation_it_comes_near_the_convex_optimum(tiny: Tiny) -> None:
    images, masks = eyes()
    masks ^= np.random.default_rng(0).random(masks.shape) < 0.1  # else nothing is uncertain
    one = encoder(tiny)
    recipe = PaperRecipe(augmentation=NO_AUGMENTATION, schedule=Schedule(peak=0.1))
    done = fit_paper(images, masks, one, recipe=recipe)
    pixels = np.stack([normalise(image, one.preprocessing) for image in images])
    tokens = one.embed(torch.from_numpy(pixels)).clone()
    objective = Problem((tokens,), torch.from_numpy(masks)).objective(l2=1e-9, scale=plain(32))
    theta = torch.cat([done.vector, torch.zeros(1, 1)], dim=1).double()
    loss, _ = objective.slope(theta, range(6))
    best = minimise(objective, range(6)).loss
    assert done.curve.rows[0].loss == pytest.approx(0.6931472, abs=1e-6)
    assert best <= loss <= 1.03 * best
    assert done.curve.rows[-1].loss == pytest.approx(loss, rel=1e-3)


def test_the_curve_and_the_passes_are_those_of_the_schedule(tiny: Tiny) -> None:
    done = fit(tiny)
    assert done.vector.shape == (1, 32)
    assert done.vector.dtype == torch.float32
    assert done.passes == 3 * 6
    assert [row.step for row in done.curve.rows] == [1, 2, 3]
    assert [row.gauge for row in done.curve.rows] == pytest.approx([1e-3, 2e-3, 3e-3])
    assert all(row.seconds > 0 for row in done.curve.rows)
    assert losses(done) == sorted(losses(done), reverse=True)


def test_the_same_seed_gives_the_same_bits_and_another_one_others(tiny: Tiny) -> None:
    first, second = fit(tiny), fit(tiny)
    assert torch.equal(first.vector, second.vector)
    assert losses(first) == losses(second)
    other = fit_paper(*eyes(), encoder(tiny), recipe=replace(RECIPE, seed=1))
    assert not torch.equal(first.vector, other.vector)


def test_every_image_is_seen_once_an_epoch_each_time_in_another_order(tiny: Tiny) -> None:
    images, masks = eyes()
    seen = []

    def embed(pixels: torch.Tensor) -> torch.Tensor:
        seen.append([int((pixels[one] * 1e3).sum()) for one in range(len(pixels))])
        return encoder(tiny).embed(pixels)

    recipe = replace(RECIPE, augmentation=NO_AUGMENTATION)
    fit_paper(images, masks, replace(encoder(tiny), embed=embed), recipe=recipe)
    assert [len(batch) for batch in seen] == [4, 2] * 3
    epochs = [seen[at] + seen[at + 1] for at in (0, 2, 4)]
    assert len({tuple(sorted(epoch)) for epoch in epochs}) == 1
    assert len({tuple(epoch) for epoch in epochs}) > 1
    assert len(set(epochs[0])) == 6


def test_squares_may_be_larger_than_the_backbone_sees_them(tiny: Tiny) -> None:
    done = fit_paper(*eyes(side=128), encoder(tiny), recipe=RECIPE)
    assert losses(done)[-1] < losses(done)[0]


def test_several_targets_are_fitted_each_on_its_own(tiny: Tiny) -> None:
    images, masks = eyes()
    both = np.concatenate([masks, ~masks], axis=1)
    together = fit_paper(images, both, encoder(tiny), recipe=RECIPE)
    assert together.vector.shape == (2, 32)
    alone = fit_paper(images, masks, encoder(tiny), recipe=RECIPE)
    torch.testing.assert_close(together.vector[:1], alone.vector, atol=1e-5, rtol=1e-4)


def test_a_finished_run_is_not_run_again(tiny: Tiny, tmp_path: Path) -> None:
    first = fit(tiny, tmp_path)
    heard = Heard()
    again = fit(tiny, tmp_path, heard)
    assert torch.equal(again.vector, first.vector)
    assert again.curve == first.curve
    assert again.passes == first.passes
    assert heard.lines == ["the paper's recipe: all 3 epochs were run before"]
    assert heard.values == []


def test_what_changes_the_outcome_makes_it_another_run(tiny: Tiny, tmp_path: Path) -> None:
    images, masks = eyes(2)
    one, short = encoder(tiny), replace(RECIPE, stop_after=1)
    variants = [
        (images, masks, one, short),
        (images[::-1], masks, one, short),
        (images, masks[::-1], one, short),
        (images, masks, replace(one, digest="other"), short),
        (images, masks, one, replace(short, seed=1)),
        (images, masks, one, replace(short, stop_after=2)),
        (images, masks, one, replace(short, augmentation=NO_AUGMENTATION)),
        (images, masks, one, replace(short, schedule=Schedule(peak=0.02))),
    ]
    for *given, recipe in variants:
        fit_paper(*given, recipe=recipe, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == len(variants)


def test_a_damaged_savepoint_is_said_and_made_anew(tiny: Tiny, tmp_path: Path) -> None:
    first = fit(tiny, tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-9])
    heard = Heard()
    again = fit(tiny, tmp_path, heard)
    assert heard.lines[0] == f"{path} is damaged: beginning anew"
    assert torch.equal(again.vector, first.vector)


def test_every_step_is_measured_and_some_epochs_are_milestones(tiny: Tiny) -> None:
    heard = Heard()
    fit_paper(*eyes(2), encoder(tiny), recipe=PaperRecipe(stop_after=23, batch=1), progress=heard)
    assert len(heard.values) == 2 * 23
    assert [line.partition(",")[0] for line in heard.milestones] == [
        "epoch 1/23",
        "epoch 10/23",
        "epoch 20/23",
        "epoch 23/23",
    ]
    assert heard.lines == ["the paper's recipe: epochs 1-23 of 150, 46 images through the backbone"]


@pytest.mark.parametrize("stop_after", [0, 151])
def test_a_run_cannot_stop_where_the_schedule_has_no_epoch(stop_after: int) -> None:
    with pytest.raises(UsageError, match=f"of 150 epochs cannot stop after {stop_after}"):
        PaperRecipe(stop_after=stop_after)


def test_a_killed_run_carries_on_to_the_same_bits(tiny: Tiny, tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, __file__, str(folder), str(tmp_path)]
    with subprocess.Popen(command, env=environment) as process:
        deadline = time.monotonic() + 60
        while not list(folder.glob("*.safetensors")) and process.poll() is None:
            assert time.monotonic() < deadline, "no epoch was saved"
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL
    heard = Heard()
    resumed = fit(tiny, folder, heard)
    through = fit(tiny)
    assert heard.lines[0].startswith(
        ("the paper's recipe: epochs 2-3", "the paper's recipe: epoch")
    )
    assert 0 < len(heard.values) < 6
    assert torch.equal(resumed.vector, through.vector)
    assert losses(resumed) == losses(through)
    assert resumed.passes == through.passes


def slow_run(folder: Path, scratch: Path) -> None:
    """Run until killed: every pass after the first epoch takes long."""
    tiny = make_tiny(scratch)
    one = encoder(tiny)
    passes = 0

    def embed(pixels: torch.Tensor) -> torch.Tensor:
        nonlocal passes
        passes += 1
        time.sleep(60 if passes > 2 else 0)
        return one.embed(pixels)

    fit_paper(*eyes(), replace(one, embed=embed), recipe=RECIPE, folder=folder)


if __name__ == "__main__":
    slow_run(Path(sys.argv[1]), Path(sys.argv[2]))
