"""Checkpoints in their upstream form become canonical weights, strictly, safely and once."""

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny import write_spec
from torch import Tensor

from retq_hub import probe, registry, weights
from retq_hub.backbone import Backbone, PassKey
from retq_hub.errors import CheckpointError, DigestMismatch, RetqError
from retq_hub.progress import Silent
from retq_hub.spec import BackboneSpec

Change = Callable[[dict[str, Tensor]], object]


def ensure(spec: Path | BackboneSpec, **options: Path | str) -> weights.CachedWeights:
    spec = registry.backbone_spec(str(spec)) if isinstance(spec, Path) else spec
    return weights.ensure(spec, progress=Silent(), **options)


def save(state: Mapping[str, object], path: Path) -> Path:
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(dict(state), path)
    return path


@pytest.fixture(scope="module")
def green() -> torch.nn.Module:
    """RETFound-Green's architecture, built by timm, with random weights."""
    torch.manual_seed(0)
    model = timm.create_model("vit_small_patch14_reg4_dinov2", img_size=392, num_classes=0)
    for name, tensor in model.named_parameters():
        if name.endswith("gamma"):
            torch.nn.init.normal_(tensor, std=0.3)
    return model.eval().requires_grad_(False)


def test_an_official_retfound_green_checkpoint_gives_what_timm_gives(green, tmp_path, cache):
    path = save(green.state_dict(), tmp_path / "retfoundgreen_statedict.pth")
    backbone = Backbone.from_pretrained("retfound-green", file=path)
    image = Image.fromarray(probe.probe_image(392))
    key = PassKey(392, 1, norm=True)
    found, embedding = backbone.tokens(image, {key: (5, 11)}, embed=True)
    assert found[key, 11].shape == (784, 384)

    array = torch.from_numpy(probe.probe_image(392)).permute(2, 0, 1)[None] / 255
    reference = green.forward_features((array - 0.5) / 0.5)
    assert reference.shape == (1, 5 + 784, 384)
    torch.testing.assert_close(found[key, 11], reference[0, 5:], atol=1e-5, rtol=0)
    green.global_pool = "avg"
    pooled = green((array - 0.5) / 0.5)
    torch.testing.assert_close(embedding, pooled[0], atol=1e-5, rtol=0)


def drop(state: dict[str, Tensor]) -> None:
    del state["blocks.1.norm1.bias"]


def add(state: dict[str, Tensor]) -> None:
    state["head.weight"] = torch.zeros(2, 32)


def reshape(state: dict[str, Tensor]) -> None:
    state["blocks.2.mlp.fc1.weight"] = state["blocks.2.mlp.fc1.weight"].T.contiguous()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop, r"1 missing \(blocks\.1\.norm1\.bias\)"),
        (add, r"1 extra \(head\.weight\)"),
        (reshape, r"blocks\.2\.mlp\.fc1\.weight \(32, 128\) instead of \(128, 32\)"),
    ],
)
def test_a_checkpoint_that_does_not_fit_exactly_is_refused(
    tiny, tmp_path, cache, suffix, change, message
):
    state = dict(tiny.state)
    change(state)
    path = save(state, tmp_path / f"w{suffix}")
    with pytest.raises(CheckpointError, match=message):
        ensure(tiny.path, file=path)
    assert weights.cached(tiny.spec) is None


def test_all_that_does_not_fit_is_said_at_once(tiny, tmp_path, cache):
    state = dict(tiny.state)
    for change in (drop, add, reshape):
        change(state)
    with pytest.raises(CheckpointError, match=r"1 missing .*1 extra .*1 misshapen"):
        ensure(tiny.path, file=save(state, tmp_path / "w.pth"))


def test_members_that_are_no_tensors_are_named(tiny, tmp_path, cache):
    path = save({**tiny.state, "epoch": 7}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"\['epoch'\] are no tensors"):
        ensure(tiny.path, file=path)


def test_a_list_of_tensors_is_no_state_dict(tiny, tmp_path, cache):
    torch.save(list(tiny.state.values()), tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="holds a list, not a state dict"):
        ensure(tiny.path, file=tmp_path / "w.pth")


def test_a_state_dict_under_a_key_is_found(tiny, tmp_path, cache):
    path = save({"model": dict(tiny.state), "epoch": 7}, tmp_path / "w.pth")
    checkpoint = {"format": "timm", "key": "model"}
    found = ensure(write_spec(tmp_path, source=path, checkpoint=checkpoint))
    assert found.digest == tiny.backbone.weights_digest


def test_a_missing_key_is_named_with_what_is_there(tiny, tmp_path, cache):
    path = save({"teacher": dict(tiny.state)}, tmp_path / "w.pth")
    checkpoint = {"format": "timm", "key": "model"}
    with pytest.raises(CheckpointError, match=r"no member 'model', it has \['teacher'\]"):
        ensure(write_spec(tmp_path, source=path, checkpoint=checkpoint))


class Marker:
    """What would run on unpickling if anybody unpickled it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def as_zip(state: object, path: Path) -> None:
    torch.save(state, path)


def as_legacy(state: object, path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


def as_bare_pickle(state: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(state, protocol=2))


@pytest.mark.parametrize("write", [as_zip, as_legacy, as_bare_pickle])
def test_a_hostile_pickle_is_refused_and_never_run(tiny, tmp_path, cache, write):
    marker, path = tmp_path / "marker", tmp_path / "w.pth"
    write({**tiny.state, "extra": Marker(marker)}, path)
    with pytest.raises(CheckpointError, match="could run code"):
        ensure(tiny.path, file=path)
    assert not marker.exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("share", [0, 0.0005, 0.5, 0.999])
def test_a_truncated_checkpoint_is_refused(tiny, tmp_path, cache, suffix, share):
    path = save(tiny.state, tmp_path / f"w{suffix}")
    blob = path.read_bytes()
    path.write_bytes(blob[: int(share * len(blob))])
    with pytest.raises(CheckpointError, match=r"cannot be read as a checkpoint.*cut short"):
        ensure(tiny.path, file=path)


def test_weights_have_one_digest_whatever_file_they_come_in(tiny, tmp_path, cache):
    backwards = dict(reversed(tiny.state.items()))
    files = [
        save(tiny.state, tmp_path / "a.pth"),
        save(tiny.state, tmp_path / "a.safetensors"),
        save(backwards, tmp_path / "b.pth"),
    ]
    found = {ensure(tiny.path, file=file).digest for file in files}
    assert found == {tiny.backbone.weights_digest}


def rename(state: dict[str, Tensor]) -> None:
    state["norm.weights"] = state.pop("norm.weight")


def flip(state: dict[str, Tensor]) -> None:
    state["norm.bias"] = state["norm.bias"].clone()
    state["norm.bias"][0] *= -1


def halve(state: dict[str, Tensor]) -> None:
    state["norm.bias"] = state["norm.bias"].half()


@pytest.mark.parametrize("change", [drop, add, reshape, rename, flip, halve])
def test_the_digest_depends_on_names_types_shapes_and_bytes(tiny, change):
    state = dict(tiny.state)
    change(state)
    assert weights.digest_of(state) != tiny.backbone.weights_digest


def test_cached_weights_are_used_without_any_source(tiny, tmp_path, cache):
    path = save(tiny.state, tmp_path / "w.pth")
    spec = write_spec(tmp_path, source=path)
    first = ensure(spec)
    path.unlink()
    assert ensure(spec) == first
    assert sorted(file.name for file in first.path.parent.iterdir()) == [
        "weights.json",
        "weights.safetensors",
    ]


def test_a_file_that_is_named_replaces_what_is_cached(tiny, tmp_path, cache):
    ensure(tiny.path)
    changed = dict(tiny.state)
    flip(changed)
    path = save(changed, tmp_path / "w.pth")
    assert ensure(tiny.path, file=path).digest == weights.digest_of(changed)


def test_weights_other_than_the_pinned_ones_are_refused_and_not_kept(tiny, tmp_path, cache):
    path = save(tiny.state, tmp_path / "w.pth")
    spec = write_spec(tmp_path, source=path, weights_digest="0" * 64)
    with pytest.raises(DigestMismatch) as caught:
        ensure(spec)
    assert caught.value.expected == "0" * 64
    assert caught.value.actual == tiny.backbone.weights_digest
    assert not (cache / "weights").exists()


def test_cached_weights_other_than_the_pinned_ones_are_fetched_again(tiny, tmp_path, cache):
    changed = dict(tiny.state)
    flip(changed)
    ensure(tiny.path, file=save(changed, tmp_path / "changed.pth"))
    path = save(tiny.state, tmp_path / "w.pth")
    pinned = write_spec(tmp_path, source=path, weights_digest=tiny.backbone.weights_digest)
    assert ensure(pinned).digest == tiny.backbone.weights_digest


def cut_off(blob: bytes) -> bytes:
    return blob[: len(blob) // 2]


def flip_a_byte(blob: bytes) -> bytes:
    return blob[:-5] + bytes([blob[-5] ^ 1]) + blob[-4:]


@pytest.mark.parametrize("damage", [cut_off, flip_a_byte])
def test_damaged_cached_weights_are_refused_with_the_next_step(tiny, tmp_path, cache, damage):
    found = ensure(tiny.path)
    found.path.write_bytes(damage(found.path.read_bytes()))
    with pytest.raises(RetqError, match=r"`retq backbones fetch .*--again`") as caught:
        Backbone.from_pretrained(str(tiny.path))
    assert caught.value.exit_code == 4


def test_a_checkpoint_in_half_precision_is_refused_or_works(tiny, tmp_path, cache):
    path = save({name: one.half() for name, one in tiny.state.items()}, tmp_path / "w.pth")
    try:
        backbone = Backbone.from_pretrained(str(tiny.path), file=path)
    except CheckpointError:
        return
    key = PassKey(64, 1, norm=True)
    tokens, _ = backbone.tokens(Image.fromarray(probe.probe_image(64)), {key: (2,)})
    assert tokens[key, 2].isfinite().all()


def test_tensors_that_share_memory_are_converted(tiny, tmp_path, cache):
    state = dict(tiny.state)
    state["blocks.0.norm1.bias"] = state["blocks.0.norm2.bias"]
    path = tmp_path / "w.pth"
    torch.save(state, path)
    found = ensure(tiny.path, file=path)
    assert load_file(found.path).keys() == state.keys()
