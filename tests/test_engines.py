"""Engines compute what the encoder does, wherever they take it from."""

import os
import pickle
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import tiny as tiny_vit
import torch
from PIL import Image
from tiny import SPEC, Tiny
from torch import Tensor

from retq_hub.backbone import Backbone
from retq_hub.encoder import Encoder
from retq_hub.engines.choice import Choice, build
from retq_hub.engines.eager import TorchEngine
from retq_hub.engines.engine import Engine
from retq_hub.engines.graph import Graphs
from retq_hub.engines.openvino import OpenVinoEngine
from retq_hub.errors import UsageError
from retq_hub.manifest import from_json
from retq_hub.spec import BackboneSpec
from retq_hub.tiling import PassKey

ALL = [
    Choice(engine=engine, precision=precision)
    for engine, precision in (
        ("torch", "bfloat16"),
        ("openvino", "float32"),
        ("openvino", "bfloat16"),
        ("onnx", "float32"),
    )
]
NEAR = {"float32": 2e-6, "bfloat16": 2e-2}

DENSE = SPEC | {
    "id": "tiny-dense",
    "architecture": SPEC["architecture"] | {"projection": 24, "dense": True},
    "tokens": SPEC["tokens"] | {"width": 24, "layers": 1, "candidates": [0]},
}
ROTARY = SPEC | {
    "id": "tiny-rotary",
    "architecture": {
        "library": "timm",
        "name": "vit_small_patch16_dinov3",
        "args": {"img_size": 64, "embed_dim": 48, "depth": 3, "num_heads": 2, "num_classes": 0},
    },
    "tokens": SPEC["tokens"] | {"width": 48, "prefix": 5},
}
CONVOLUTIONAL = SPEC | {
    "id": "tiny-resnet",
    "architecture": {
        "library": "timm",
        "name": "resnet10t",
        "args": {"num_classes": 0, "stem_width": 4, "channels": [4, 4, 8, 16], "global_pool": ""},
    },
    "tokens": SPEC["tokens"]
    | {"width": 16, "layers": 1, "prefix": 0, "patch_px": 32, "grid": 2, "candidates": [0]},
    "pooling": "patch-mean",
    "preprocessing": SPEC["preprocessing"] | {"unrounded": True},
}


def squares(number: int, size_px: int, dtype: torch.dtype = torch.uint8) -> Tensor:
    generator = torch.Generator().manual_seed(size_px)
    drawn = torch.randint(0, 256, (number, size_px, size_px, 3), generator=generator)
    return drawn.to(dtype)


def distance(one: Tensor | None, other: Tensor | None) -> float:
    assert one is not None and other is not None
    assert one.shape == other.shape
    assert one.dtype == torch.float32
    return float((one - other).norm() / other.norm())


def same(one: Engine, other: Engine, batch: Tensor, **asked: bool) -> float:
    layers = (2, 0)
    tokens, embedding = one(batch, layers, **asked)
    expected, pooled = other(batch, layers, **asked)
    assert (embedding is None) is (pooled is None)
    found = [*tokens, embedding] if asked["embed"] else tokens
    wanted = [*expected, pooled] if asked["embed"] else expected
    return max(distance(a, b) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("choice", ALL, ids=str)
def test_an_engine_gives_what_float32_torch_gives(tiny: Tiny, cache: Path, choice: Choice):
    engine = build(choice, tiny.backbone.graphs)
    assert (engine.name, engine.precision, engine.device) == (
        choice.engine,
        choice.precision,
        "cpu",
    )
    for batch, norm, embed in (
        (squares(1, 64), True, False),
        (squares(5, 64), True, True),
        (squares(2, 96), False, False),
    ):
        apart = same(engine, tiny.backbone.reference, batch, norm=norm, embed=embed)
        assert apart <= NEAR[choice.precision]


@pytest.mark.parametrize("document", [DENSE, ROTARY, CONVOLUTIONAL], ids=lambda one: one["id"])
def test_other_architectures_become_graphs_too(cache: Path, document: dict[str, object]):
    spec = from_json(document, BackboneSpec)
    state = tiny_vit.random_state(spec)
    state |= {name: one.abs() for name, one in state.items() if name.endswith("running_var")}
    backbone = Backbone(spec=spec, state=state, weights_digest="1" * 64)
    layer = spec.tokens.layers - 1
    batch = squares(3, 64, torch.float32 if spec.preprocessing.unrounded else torch.uint8)
    for engine in ("openvino", "onnx"):
        run = build(Choice(engine=engine, precision="float32"), backbone.graphs)
        tokens, embedding = run(batch, (layer,), norm=True, embed=True)
        expected, pooled = backbone.reference(batch, (layer,), norm=True, embed=True)
        assert distance(tokens[0], expected[0]) < 1e-5
        assert distance(embedding, pooled) < 1e-5


@pytest.mark.parametrize("choice", ALL, ids=str)
def test_a_layer_that_is_not_there_is_refused(tiny: Tiny, cache: Path, choice: Choice):
    engine = build(choice, tiny.backbone.graphs)
    with pytest.raises(UsageError, match=r"tiny-vit has layers 0-2, not \[3\]"):
        engine(squares(1, 64), (1, 3), norm=True, embed=False)


def test_half_precision_leaves_the_encoder_as_it_was(tiny: Tiny):
    before = tiny.backbone.reference(squares(1, 64), (2,), norm=True, embed=False)[0][0]
    TorchEngine(tiny.backbone.graphs.encoder(), precision="bfloat16")(
        squares(1, 96), (2,), norm=True, embed=False
    )
    after = tiny.backbone.reference(squares(1, 64), (2,), norm=True, embed=False)[0][0]
    assert torch.equal(before, after)


def refusing() -> Encoder:
    raise AssertionError("the weights are not needed")


def graphs(tiny: Tiny, encoder: Callable[[], Encoder]) -> Graphs:
    return Graphs(spec=tiny.spec, weights_digest=tiny.backbone.weights_digest, encoder=encoder)


def test_a_graph_is_made_once_and_then_needs_no_weights(tiny: Tiny, cache: Path):
    path = tiny.backbone.graphs.path(64, norm=True)
    assert graphs(tiny, refusing).path(64, norm=True) == path
    found = OpenVinoEngine(graphs(tiny, refusing))(squares(1, 64), (1,), norm=True, embed=False)
    expected = tiny.backbone.reference(squares(1, 64), (1,), norm=True, embed=False)
    assert distance(found[0][0], expected[0][0]) < 2e-6
    others = (
        graphs(tiny, refusing).path(size, norm=norm) for size, norm in ((96, True), (64, False))
    )
    with pytest.raises(AssertionError, match="not needed"):
        next(others)


def test_a_damaged_graph_is_made_anew(tiny: Tiny, cache: Path):
    path = tiny.backbone.graphs.path(64, norm=True)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"\0")
    assert tiny.backbone.graphs.path(64, norm=True).read_bytes() == whole
    path.with_name("graph.json").write_text("{}")
    assert tiny.backbone.graphs.path(64, norm=True).read_bytes() == whole


def test_what_is_asked_later_of_a_pass_is_given_too(tiny: Tiny, cache: Path):
    engine = OpenVinoEngine(tiny.backbone.graphs)
    batch = squares(1, 64)
    for layers, embed in (
        ((2,), False),
        ((0, 2), False),
        ((), True),
        ((2, 1, 2), True),
    ):
        tokens, embedding = engine(batch, layers, norm=True, embed=embed)
        expected, pooled = tiny.backbone.reference(batch, layers, norm=True, embed=embed)
        assert [tuple(one.shape) for one in tokens] == [tuple(one.shape) for one in expected]
        assert all(distance(a, b) < 2e-6 for a, b in zip(tokens, expected, strict=True))
        assert (embedding is None) is (pooled is None)
        if embed:
            assert distance(embedding, pooled) < 2e-6


def test_results_stay_what_they_are_when_the_engine_runs_again(tiny: Tiny, cache: Path):
    engine = OpenVinoEngine(tiny.backbone.graphs)
    (first,), _ = engine(squares(1, 64), (1,), norm=True, embed=False)
    kept = first.clone()
    engine(255 - squares(1, 64), (1,), norm=True, embed=False)
    assert torch.equal(first, kept)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="affinities are read from /proc")
def test_no_thread_is_pinned_to_the_cores_that_other_processes_take(tiny: Tiny, cache: Path):
    engine = OpenVinoEngine(tiny.backbone.graphs)
    squares = torch.zeros(64, 64, 64, 3, dtype=torch.uint8)
    ours, seen = os.sched_getaffinity(0), []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.001):
            for task in Path("/proc/self/task").iterdir():
                with suppress(ProcessLookupError):
                    seen.append(os.sched_getaffinity(int(task.name)))

    watching = threading.Thread(target=watch)
    watching.start()
    for _ in range(10):
        engine(squares, [1], norm=True, embed=False)
    over.set()
    watching.join()
    assert seen
    assert all(one == ours for one in seen)


@pytest.mark.parametrize("choice", ALL, ids=str)
def test_a_worker_runs_the_same_engine(tiny: Tiny, cache: Path, choice: Choice):
    engine = build(choice, tiny.backbone.graphs)
    backbone = tiny.backbone.with_engine(engine).with_decoding("scaled")
    sent = pickle.loads(pickle.dumps(backbone))
    assert (sent.engine.name, sent.engine.precision) == (choice.engine, choice.precision)
    assert sent.spec == backbone.spec
    image, passes = Image.new("RGB", (70, 90), (120, 60, 30)), {PassKey(64, 1, norm=True): (1,)}
    ours, theirs = backbone.tokens(image, passes), sent.tokens(image, passes)
    assert all(torch.equal(ours[0][key], theirs[0][key]) for key in ours[0])
