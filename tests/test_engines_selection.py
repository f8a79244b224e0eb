"""Trials, drift, and the choice that follows from both."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny import Tiny
from torch import Tensor

from retq_hub.backbone import Backbone
from retq_hub.engines import drift, hardware, trial
from retq_hub.engines.drift import DICE, Drift
from retq_hub.engines.engine import Engine
from retq_hub.engines.openvino import OpenVinoEngine
from retq_hub.engines.selection import select
from retq_hub.errors import EngineDrift
from retq_hub.pipeline import Pipeline
from retq_hub.progress import Silent
from retq_hub.tiling import PassKey

needs_bfloat16 = pytest.mark.skipif(
    not hardware.cpu_has_bfloat16(), reason="this CPU does not compute in bfloat16"
)


@dataclass
class Shaken:
    """An engine with noise in its tokens, as strong as asked for; it counts its runs."""

    inner: Engine
    share: float
    name: str = "torch"
    precision: str = "float32"
    device: str = "cpu"
    runs: int = 0

    def __call__(
        self, squares: Tensor, layers: Sequence[int], *, norm: bool, embed: bool
    ) -> tuple[list[Tensor], Tensor | None]:
        self.runs += 1
        tokens, embedding = self.inner(squares, layers, norm=norm, embed=embed)
        noise = torch.Generator().manual_seed(0)
        return [
            one
            + self.share * one.norm() / one.numel() ** 0.5 * torch.randn(one.shape, generator=noise)
            for one in tokens
        ], embedding


class Told(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        self.lines.append(line)


def test_the_reference_does_not_drift_from_itself(tiny: Tiny):
    found = drift.measure(tiny.backbone.reference, tiny.backbone.reference, tiny.spec)
    assert found == Drift(fingerprint=0.0, tokens=0.0)


@pytest.mark.parametrize(
    ("share", "tolerable"), [(0.003, True), (0.3, False), (float("nan"), False)]
)
def test_noise_is_measured_and_refused_beyond_tolerance(tiny: Tiny, share: float, tolerable: bool):
    engine = Shaken(tiny.backbone.reference, share)
    found = drift.measure(engine, tiny.backbone.reference, tiny.spec)
    assert found.tokens == pytest.approx(1e9 if np.isnan(share) else share, rel=0.2)
    assert found.is_tolerable is tolerable
    if not tolerable:
        with pytest.raises(EngineDrift, match=r"torch float32 is too far .* tokens .*allowed"):
            drift.check(found, "torch float32")


def masks(*shares: float) -> Callable[[Engine], list[NDArray[np.bool_]]]:
    """Masks of 10,000 pixels, the first ones marked: another share by another engine."""
    calls = iter(shares)
    return lambda _: [np.arange(10_000).reshape(1, 100, 100) < 10_000 * next(calls)]


@pytest.mark.parametrize(
    ("ours", "theirs", "dice", "tolerable"),
    [
        (0.4, 0.4, 1.0, True),
        (0.0, 0.0, 1.0, True),
        (0.4, 0.41, 0.8 / 0.81, True),
        (0.4, 0.5, 0.8 / 0.9, False),
        (0.0, 0.01, 0.0, False),
    ],
)
def test_masks_must_agree(tiny: Tiny, ours: float, theirs: float, dice: float, tolerable: bool):
    plain = tiny.backbone.reference
    found = drift.measure(plain, plain, tiny.spec, masks=masks(ours, theirs))
    assert found.dice == pytest.approx(dice)
    assert found.is_tolerable is tolerable
    assert (dice >= DICE) is tolerable


def test_a_few_pixels_of_a_small_mask_may_differ(tiny: Tiny):
    def made(extra: int) -> NDArray[np.bool_]:
        return np.arange(400 * 400).reshape(1, 400, 400) < 10 + extra

    for extra, tolerable in ((4, True), (20, False)):
        calls = iter([made(extra), made(0)])
        found = drift.measure(
            tiny.backbone.reference,
            tiny.backbone.reference,
            tiny.spec,
            masks=partial(lambda some, _: [next(some)], calls),
        )
        assert found.dice is not None and found.dice < DICE
        assert found.is_tolerable is tolerable


def test_a_trial_takes_turns_over_the_passes(tiny: Tiny):
    engines = {name: Shaken(tiny.backbone.reference, 0.0) for name in ("a", "b")}
    passes = {PassKey(64, 1, norm=True): (1,), PassKey(64, 3, norm=True): (0, 2)}
    found = trial.measure(engines, tiny.spec, passes)
    assert set(found) == {"a", "b"}
    assert all(one > 0 for one in found.values())
    assert engines["a"].runs == engines["b"].runs >= 6


@pytest.fixture
def pipeline(tiny: Tiny, mine: Callable[..., Path], cache: Path) -> Pipeline:
    return Pipeline.from_pretrained([mine()], backbone=tiny.backbone, embed=False)


def test_the_fastest_that_marks_the_same_is_taken_and_remembered(pipeline: Pipeline, cache: Path):
    told = Told()
    first = pipeline.with_engine("auto", "float32", progress=told)
    assert told.lines[0].startswith("trying torch float32, openvino float32, onnx float32")
    assert first.notes[-1].startswith(f"{first.backbone.engine.name} float32, ")
    (path,) = (cache / "engines").iterdir()
    rows = json.loads(path.read_text())["engines"]
    fastest = min(rows, key=lambda row: row["ms"])
    assert fastest["engine"] == first.backbone.engine.name
    again = Told()
    second = pipeline.with_engine("auto", "float32", progress=again)
    assert again.lines == []
    assert second.notes == first.notes


def test_another_query_or_photograph_is_checked_for_itself(
    pipeline: Pipeline, mine: Callable[..., Path], cache: Path
):
    told = Told()
    chosen = pipeline.with_engine("openvino", progress=told)
    assert len(list((cache / "engines").iterdir())) == 1
    more = chosen.add(Path(mine(name="other", seed=1)))
    assert more.backbone.engine.name == "openvino"
    assert set(more.queries) == {"mine", "other"}
    assert len(list((cache / "engines").iterdir())) == 2
    shown = np.zeros((64, 64, 3), dtype=np.uint8)
    pipeline.with_engine("openvino", images=[shown])
    assert len(list((cache / "engines").iterdir())) == 3


def test_an_engine_that_drifts_is_refused_with_the_figures(
    tiny: Tiny, pipeline: Pipeline, cache: Path
):
    pipeline.with_engine("onnx", "auto")
    (path,) = (cache / "engines").iterdir()
    document = json.loads(path.read_text())
    document["engines"][0]["drift"]["fingerprint"] = 0.2
    path.write_text(json.dumps(document))
    with pytest.raises(EngineDrift, match=r"onnx float32 is too far .* fingerprint 0.2 off"):
        pipeline.with_engine("onnx", "auto")
    assert EngineDrift.exit_code == 4


@needs_bfloat16
def test_results_in_bfloat16_are_near_and_say_so(pipeline: Pipeline):
    image = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    half = pipeline.with_engine("openvino", "bfloat16")
    assert half.backbone.engine.precision == "bfloat16"
    ours, theirs = half(image)["mine"].logits, pipeline(image)["mine"].logits
    assert 0 < np.abs(ours - theirs).max() < 0.05
    assert np.array_equal(pipeline(image)["mine"].logits, theirs)


@pytest.mark.parametrize(
    "record",
    [
        "{",
        "[]",
        '{"engines": [7]}',
        '{"engines": [{"engine": "openvino", "precision": "float32", "device": "cpu", "ms": "1"}]}',
        '{"engines": [{"engine": "openvino", "precision": "float32", "drift": {"tokens": "0"}}]}',
    ],
)
def test_a_damaged_record_is_made_anew(record: str, tiny: Tiny, cache: Path):
    told = Told()
    what = tiny.backbone.candidacy()
    select(what, "openvino", "float32", progress=told)
    (path,) = (cache / "engines").iterdir()
    path.write_text(record)
    found = select(what, "openvino", "float32", progress=told)
    assert isinstance(found.engine, OpenVinoEngine)
    assert len(told.lines) == 2


def test_a_process_that_finds_a_graph_builds_no_network(tiny: Tiny, cache: Path):
    Backbone.from_pretrained(str(tiny.path), engine="openvino")
    script = (
        "import sys; from PIL import Image; from retq_hub.backbone import Backbone, PassKey; "
        "backbone = Backbone.from_pretrained(sys.argv[1], engine='openvino'); "
        "tokens, _ = backbone.tokens(Image.new('RGB', (80, 80)), {PassKey(64, 1, True): (1,)}); "
        "print([tuple(one.shape) for one in tokens.values()], 'timm' in sys.modules)"
    )
    command = [sys.executable, "-c", script, str(tiny.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[(16, 32)] False"
