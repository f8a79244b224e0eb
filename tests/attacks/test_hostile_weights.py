"""Checkpoints and backbone specs from people who mean harm, or whose disks do."""

import pickle
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import SPEC, Tiny, write_spec

from retq_hub import registry, weights
from retq_hub.backbone import Backbone
from retq_hub.errors import CheckpointError, RetqError
from retq_hub.progress import Silent

FEW = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FEW
@given(
    blob=st.one_of(
        st.binary(max_size=200),
        st.binary(max_size=40).map(lambda tail: b"\x80\x02" + tail + b"."),
        st.binary(max_size=40).map(lambda tail: b"PK\x03\x04" + tail),
    ),
    suffix=st.sampled_from([".pth", ".safetensors"]),
)
def test_any_bytes_are_refused_as_no_checkpoint(tiny: Tiny, tmp_path: Path, blob, suffix):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(blob)
    with pytest.raises(CheckpointError) as caught:
        weights.convert(path, tiny.spec)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_with_a_changed_byte_is_read_or_refused(tiny, tmp_path):
    path = tmp_path / "w.pth"
    torch.save(dict(tiny.state), path)
    whole = path.read_bytes()
    for place in [*range(0, 1500, 20), *range(len(whole) - 1000, len(whole), 20)]:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        with suppress(CheckpointError):
            weights.convert(path, tiny.spec)


PICKLES = {
    "protocol 4": pickle.dumps({"norm.bias": 1}, protocol=4),
    "nothing on the stack": b"\x80\x02.",
    "a tuple of nothing": b"\x80\x02t.",
    "an unknown memo": b"\x80\x02h\x05.",
    "a string longer than the file": b"\x80\x02X\xff\xff\xff\x7fabc.",
}


@pytest.mark.parametrize("name", PICKLES)
def test_a_malformed_pickle_is_refused(tiny, tmp_path, name):
    path = tmp_path / "w.pth"
    path.write_bytes(PICKLES[name])
    with pytest.raises(CheckpointError):
        weights.convert(path, tiny.spec)


def test_a_web_page_saved_as_a_checkpoint_is_not_called_dangerous(tiny, tmp_path):
    path = tmp_path / "w.pth"
    path.write_text("<!DOCTYPE html><html><title>Sign in</title></html>")
    with pytest.raises(CheckpointError) as caught:
        weights.convert(path, tiny.spec)
    assert "could run code" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.to_sparse(),
        lambda one: one.double(),
        lambda one: one.to(torch.complex64),
        lambda one: one.bool(),
        lambda one: one.to(torch.float8_e4m3fn),
        lambda one: one[:0].expand(0),
        lambda one: torch.empty(one.shape, device="meta"),
    ],
    ids=["sparse", "double", "complex", "bool", "float8", "empty", "meta"],
)
def test_a_tensor_of_an_unusual_kind_is_refused(tiny, tmp_path, cache, change):
    path = tmp_path / "w.pth"
    torch.save({**tiny.state, "norm.bias": change(tiny.state["norm.bias"])}, path)
    with pytest.raises(CheckpointError, match=r"norm\.bias"):
        weights.ensure(tiny.spec, progress=Silent(), file=path)


ARCHITECTURE = SPEC["architecture"]
ARGS = ARCHITECTURE["args"]
LIES = {
    "an unknown model": {"architecture": {**ARCHITECTURE, "name": "no_such_model"}},
    "a folder as a model": {"architecture": {**ARCHITECTURE, "name": "local-dir:."}},
    "an unknown argument": {"architecture": {**ARCHITECTURE, "args": {**ARGS, "nonsense": 1}}},
    "a checkpoint to load": {
        "architecture": {**ARCHITECTURE, "args": {**ARGS, "checkpoint_path": "other.pth"}}
    },
    "a depth that is text": {"architecture": {**ARCHITECTURE, "args": {**ARGS, "depth": "3"}}},
    "another depth": {"tokens": {**SPEC["tokens"], "layers": 9}},
    "another width": {"tokens": {**SPEC["tokens"], "width": 99}},
    "another prefix": {"tokens": {**SPEC["tokens"], "prefix": 0}},
    "another patch": {"tokens": {**SPEC["tokens"], "patch_px": 8}},
    "another grid": {"tokens": {**SPEC["tokens"], "grid": 9}},
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.filterwarnings("ignore:.*meta parameter:UserWarning")
def test_a_spec_that_its_architecture_contradicts_is_refused(
    tiny, tmp_path, cache, monkeypatch, lie
):
    monkeypatch.chdir(tmp_path)
    torch.save(dict(tiny.state), tmp_path / "other.pth")
    path = write_spec(tmp_path, source=tiny.path.with_name("tiny.safetensors"), **LIES[lie])
    with pytest.raises(RetqError):
        Backbone.from_pretrained(str(path))


def test_weights_are_never_cached_outside_the_cache(tiny, tmp_path, cache):
    for name in ("../outside", "/outside", "a/../../b", "tiny\n"):
        write_spec(tmp_path, source=tiny.path, id="x")
        text = (tmp_path / "x.json").read_text().replace('"x"', f'"{name}"')
        (tmp_path / "x.json").write_text(text.replace("\n", "\\n") if "\n" in name else text)
        with pytest.raises(RetqError):
            registry.backbone_spec(str(tmp_path / "x.json"))
