"""The shipped specs compute what upstream's own code computes; see golden/README.md."""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import upstream
from torch import Tensor

from retq_hub import probe, registry, weights
from retq_hub.backbone import Backbone
from retq_hub.encoder import Encoder, check_state
from retq_hub.errors import CheckpointError
from retq_hub.geometry import centre, square
from retq_hub.images import normalise
from retq_hub.keymap import canonical
from retq_hub.lookalike import lookalikes
from retq_hub.spec import BackboneSpec

GOLDEN = {
    path.stem: json.loads(path.read_text())
    for path in sorted((Path(__file__).parent / "golden").glob("*.json"))
}
SPECS = registry.backbone_specs()
OLDER = {"dinov2-small-saliency", "retfound-green"}
"""Compared with the ONNX graph, and with upstream's instructions, in tests of their own."""


def cut(spec: BackboneSpec, depth: int | None) -> BackboneSpec:
    """Give a spec of fewer blocks; everything else, its key map too, stays."""
    if depth is None:
        return spec
    architecture = replace(spec.architecture, args=spec.architecture.args | {"depth": depth})
    layers = spec.tokens.layers if spec.architecture.dense else depth
    return replace(spec, architecture=architecture, tokens=replace(spec.tokens, layers=layers))


def alike(golden: dict[str, Any]) -> list[list[str]]:
    """Group the specs of a golden file that differ in nothing that is computed."""
    groups: dict[str, list[str]] = {}
    for name in golden["specs"]:
        spec = SPECS[name]
        computed = (spec.architecture, spec.preprocessing, spec.pooling, spec.checkpoint)
        groups.setdefault(repr(computed), []).append(name)
    return list(groups.values())


def whole(golden: dict[str, Any], depth: int) -> dict[str, Tensor]:
    """Give names and shapes of upstream's whole checkpoint, the second block's for all others."""
    shapes = dict(golden["tensors"])
    if golden["blocks"]:
        block = golden["blocks"].replace("*", "1")
        shapes |= {
            name.replace(block, golden["blocks"].replace("*", str(number))): shape
            for name, shape in golden["tensors"].items()
            if name.startswith(block)
            for number in range(2, depth)
        }
    with torch.device("meta"):
        return {name: torch.empty(shape) for name, shape in shapes.items()}


def depth_of(spec: BackboneSpec) -> int:
    return 12 if spec.architecture.dense else spec.tokens.layers


def document(golden: dict[str, Any], state: dict[str, Tensor]) -> object:
    return state if golden["key"] is None else {golden["key"]: state, "epoch": 3}


def test_every_aspect_but_stretching_is_compared_on_a_photograph():
    for golden in GOLDEN.values():
        aspects = {SPECS[name].preprocessing.aspect for name in golden["specs"]}
        assert ("photograph" in golden) is (aspects != {"stretch"}), golden["specs"]


def test_every_spec_is_compared():
    named = [name for golden in GOLDEN.values() for name in golden["specs"]]
    assert sorted([*named, *OLDER]) == sorted(SPECS)


@pytest.mark.parametrize("family", GOLDEN)
def test_tokens_and_embedding_are_upstreams(family):
    golden = GOLDEN[family]
    state = upstream.state(golden["tensors"])
    for group in alike(golden):
        spec = cut(SPECS[group[0]], golden["depth"])
        encoder = Encoder(spec=spec, state=canonical(state, spec.checkpoint.map))
        image = normalise(probe.probe_image(spec.preprocessing.size_px), spec.preprocessing)
        tokens, embedding = encoder(
            torch.from_numpy(image)[None], range(spec.tokens.layers), norm=True, embed=True
        )
        assert tokens[0].shape == (1, spec.tokens.grid**2, spec.tokens.width)
        assert embedding is not None
        found = {
            "tokens": probe.fingerprint([layer[0].numpy() for layer in tokens]).values,
            "embedding": probe.fingerprint([embedding.numpy()]).values,
        }
        for name in group:
            for kind, values in golden["expected"][name].items():
                assert found[kind] == pytest.approx(values, abs=1e-4), (name, kind)
        if "photograph" in golden:
            check_photograph(golden["photograph"], spec, state)


def check_photograph(expected: dict[str, list[float]], spec: BackboneSpec, state: Any) -> None:
    """Compare with upstream's whole path, its own transform before its network."""
    image, how = upstream.photograph(), spec.preprocessing
    pixels = centre(image, how) if how.aspect == "crop" else square(image, how, how.size_px)
    columns = normalise(pixels, how).transpose(1, 2, 0).reshape(-1, 3)
    assert probe.fingerprint([columns]).values == pytest.approx(expected["pixels"], abs=1e-5)
    canonical_state = canonical(state, spec.checkpoint.map)
    backbone = Backbone(spec=spec, state=canonical_state, weights_digest="0" * 64)
    _, embedding = backbone.tokens(image, {}, embed=True)
    assert embedding is not None
    found = probe.fingerprint([embedding[None].numpy()])
    assert found.values == pytest.approx(expected["embedding"], abs=1e-4)


@pytest.mark.parametrize("family", GOLDEN)
def test_a_whole_checkpoint_has_all_the_names_and_shapes(family):
    for name in GOLDEN[family]["specs"]:
        spec = SPECS[name]
        check_state(canonical(whole(GOLDEN[family], depth_of(spec)), spec.checkpoint.map), spec)


@pytest.mark.parametrize("family", GOLDEN)
def test_the_measured_deviation_is_small(family):
    for name in GOLDEN[family]["specs"]:
        assert max(GOLDEN[family]["deviation"][name].values()) <= 1e-4


@pytest.mark.parametrize(
    ("family", "taken_for", "hint"),
    [
        ("retfound-mae", "urfound", "it looks like deretfound, retfound-mae-meh, retfound-"),
        ("retfound-dinov2", "visionfm-oct", "it looks like retfound-dinov2-meh, retfound-dinov2-"),
        ("dinov2-small", "dinov2-small-reg", "it looks like dinov2-small"),
        ("flair", "resnet50-imagenet", "it looks like flair"),
        ("clip-vit-b16", "biomedclip", "it looks like clip-vit-b16"),
    ],
)
def test_a_checkpoint_of_another_model_is_recognised(family, taken_for, hint, tmp_path):
    golden = GOLDEN[family]
    bare = whole(golden, depth_of(SPECS[golden["specs"][0]]))
    state = {name: torch.zeros(()).expand(one.shape) for name, one in bare.items()}
    torch.save(document(golden, state), tmp_path / "w.pth")
    with pytest.raises(CheckpointError) as caught:
        weights.convert(tmp_path / "w.pth", SPECS[taken_for])
    assert caught.value.hint.startswith(hint)


def test_a_checkpoint_that_lacks_something_is_not_called_another_models():
    golden = GOLDEN["urfound"]
    state = whole(golden, 12)
    del state["blocks.7.norm1.bias"]
    assert lookalikes(document(golden, state), SPECS.values()) == ["urfound"]
    with pytest.raises(CheckpointError, match=r"1 missing \(blocks\.7\.norm1\.bias\)"):
        check_state(canonical(state, SPECS["urfound"].checkpoint.map), SPECS["urfound"])


def test_a_checkpoint_of_a_training_run_is_opened_safely(tmp_path):
    golden = GOLDEN["visionfm"]
    state = {name: torch.zeros(()).expand(one.shape) for name, one in whole(golden, 12).items()}
    args = argparse.Namespace(arch="vit_base", lr=5e-4, ratios=[0.0, 0.3])
    torch.save({"teacher": state, "epoch": 400, "args": args}, tmp_path / "checkpoint.pth")
    found = weights.convert(tmp_path / "checkpoint.pth", SPECS["visionfm-fundus"])
    assert found["blocks.11.attn.qkv.weight"].shape == (2304, 768)


@pytest.mark.parametrize("name", sorted(SPECS))
def test_a_spec_says_what_a_user_must_know(name):
    spec = SPECS[name]
    assert spec.citation
    assert spec.licence.name
    assert spec.preprocessing.size_px == spec.tokens.grid * spec.tokens.patch_px
    assert max(spec.tokens.candidates) < spec.tokens.layers
    if spec.modality == "oct" and name.startswith("retfiner"):
        assert spec.preprocessing.grey
