"""Each step of a key map does one thing, and what does not fit is said."""

import pytest
import torch
from torch import Tensor

from retq_hub.errors import CheckpointError
from retq_hub.keymap import canonical
from retq_hub.spec import Step


def numbered(*names: str) -> dict[str, Tensor]:
    return {name: torch.full((6, 2), float(number)) for number, name in enumerate(names)}


def names(state: dict[str, Tensor], *steps: Step) -> list[str]:
    return list(canonical(state, steps))


def test_drop_takes_names_and_patterns():
    state = numbered("mask_token", "decoder_blocks.0.w", "norm.w", "a.decoder_x")
    step = Step(op="drop", names=("mask_token", "decoder_*"))
    assert names(state, step) == ["norm.w", "a.decoder_x"]


def test_strip_takes_a_prefix_off_where_it_is():
    step = Step(op="strip", names=("backbone.",))
    assert names(numbered("backbone.norm.w", "cls"), step) == ["norm.w", "cls"]


def test_rename_carries_what_the_stars_match():
    state = numbered("layers.layer_11.ln_1.weight", "layers.layer_1.ln_1.bias", "layers.ln")
    step = Step(op="rename", names=("layers.layer_*.ln_1.*",), to=("blocks.*.norm1.*",))
    expected = ["blocks.11.norm1.weight", "blocks.1.norm1.bias", "layers.ln"]
    assert names(state, step) == expected


def test_a_dot_in_a_pattern_is_a_dot():
    step = Step(op="rename", names=("a.b",), to=("c",))
    assert names(numbered("axb"), step) == ["axb"]


def test_split_and_concat_undo_each_other():
    fused = {f"blocks.{n}.qkv.bias": torch.arange(6.0) + n for n in range(2)}
    parts = ("blocks.*.q", "blocks.*.k", "blocks.*.v")
    apart = canonical(fused, [Step(op="split", names=("blocks.*.qkv.bias",), to=parts)])
    assert torch.equal(apart["blocks.1.v"], torch.tensor([5.0, 6.0]))
    again = canonical(apart, [Step(op="concat", names=parts, to=("blocks.*.qkv.bias",))])
    assert {name: one.tolist() for name, one in again.items()} == {
        name: one.tolist() for name, one in fused.items()
    }


def test_concat_leaves_incomplete_parts_for_the_check_to_name():
    step = Step(op="concat", names=("*.q", "*.k"), to=("*.qk",))
    assert names(numbered("a.q", "a.k", "b.q"), step) == ["b.q", "a.qk"]


def test_transpose_and_reshape():
    state = {"proj": torch.arange(6.0).reshape(3, 2), "class": torch.arange(4.0)}
    steps = [
        Step(op="transpose", names=("proj",)),
        Step(op="reshape", names=("class",), shape=(1, 1, -1)),
    ]
    found = canonical(state, steps)
    assert found["proj"].tolist() == [[0, 2, 4], [1, 3, 5]]
    assert found["class"].shape == (1, 1, 4)


def test_the_class_tokens_position_is_added_to_it():
    state = {"cls": torch.ones(1, 1, 2), "pos": torch.arange(6.0).reshape(1, 3, 2)}
    step = Step(op="fold-position", names=("pos", "cls"))
    found = canonical(state, [step])
    assert found["cls"].tolist() == [[[1, 2]]]
    assert found["pos"].tolist() == [[[2, 3], [4, 5]]]
    assert canonical({"cls": state["cls"]}, [step]).keys() == {"cls"}


def test_the_checkpoint_itself_stays_as_it_is():
    state = numbered("a", "b")
    canonical(state, [Step(op="drop", names=("a",)), Step(op="rename", names=("b",), to=("c",))])
    assert list(state) == ["a", "b"]


def test_two_tensors_of_one_name_are_refused():
    step = Step(op="strip", names=("module.",))
    with pytest.raises(CheckpointError, match="two tensors that become norm"):
        canonical(numbered("module.norm", "norm"), [step])


@pytest.mark.parametrize(
    "step",
    [
        Step(op="reshape", names=("a",), shape=(5, -1)),
        Step(op="concat", names=("a", "odd"), to=("b",)),
        Step(op="rename", names=("*",), to=("*.*",)),
        Step(op="fold-position", names=("flat", "a")),
    ],
    ids=lambda step: step.op,
)
def test_a_step_that_does_not_fit_is_named(step):
    state = numbered("a") | {"odd": torch.zeros(2, 3, 4), "flat": torch.zeros(3)}
    with pytest.raises(CheckpointError, match=f"step '{step.op}' of the key map fails"):
        canonical(state, [step])


def test_names_and_shapes_alone_will_do():
    with torch.device("meta"):
        state = {"qkv": torch.empty(6), "proj": torch.empty(3, 2)}
    steps = [
        Step(op="split", names=("qkv",), to=("q", "k", "v")),
        Step(op="transpose", names=("proj",)),
    ]
    found = canonical(state, steps)
    assert {name: tuple(one.shape) for name, one in found.items()} == {
        "q": (2,),
        "k": (2,),
        "v": (2,),
        "proj": (2, 3),
    }
