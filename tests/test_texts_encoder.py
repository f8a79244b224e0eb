"""A text encoder loads strictly, and says what its temperature is."""

import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
import texts
import torch
from texts import SmallText
from torch import Tensor

from retq_hub import registry, weights
from retq_hub.errors import CheckpointError, ManifestError, UsageError
from retq_hub.spec import BackboneSpec, TextSpec
from retq_hub.texts import vocabulary
from retq_hub.texts.encoder import TextEncoder
from retq_hub.texts.tokenizer import EncodedPrompts, Tokenizer

PROMPTS = EncodedPrompts(ids=((512, 3, 573, 0), (512, 5, 7, 573)), mask=((1, 1, 1, 0), (1,) * 4))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallText:
    return texts.make_small("clip-vit-b16", tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def spec(small: SmallText) -> BackboneSpec:
    return registry.backbone_spec(str(small.spec))


@pytest.fixture(scope="module")
def text(spec: BackboneSpec) -> TextSpec:
    assert spec.text is not None
    return spec.text


@pytest.fixture
def state(small: SmallText, spec: BackboneSpec) -> dict[str, Tensor]:
    return weights.convert_text(small.checkpoint, spec)


def test_points_have_unit_norm_and_padding_after_the_end_does_nothing(text, state):
    encoder = TextEncoder(text, state)
    found = encoder(PROMPTS)
    assert found.shape == (2, 512)
    assert found.norm(dim=1) == pytest.approx(torch.ones(2))
    shorter = EncodedPrompts(ids=(PROMPTS.ids[0][:3],), mask=(PROMPTS.mask[0][:3],))
    assert encoder(shorter)[0] == pytest.approx(found[0], abs=1e-6)


def test_half_precision_is_read_as_single(text, state):
    halves = {name: tensor.half() for name, tensor in state.items()}
    assert TextEncoder(text, halves)(PROMPTS).dtype == torch.float32


def test_the_scale_is_held_to_its_bounds(text, state):
    assert TextEncoder(text, state).scale == pytest.approx(54.598148, rel=1e-6)
    held = replace(text, log_scale=(0.0, 3.0))
    assert TextEncoder(held, state).scale == pytest.approx(20.085537, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: state.pop("encoder.final_layer_norm.bias"),
            r"1 missing \(encoder\.final_layer_norm\.bias\)",
        ),
        (lambda state: state.update(surplus=torch.zeros(1)), r"1 extra \(surplus\)"),
        (
            lambda state: state.update({"projection.0.weight": torch.zeros(256, 64)}),
            r"projection\.0\.weight \(256, 64\) instead of \(512, 64\)",
        ),
    ],
)
def test_weights_load_strictly(
    change: Callable[[dict[str, Tensor]], object], message: str, text, state
):
    change(state)
    with pytest.raises(CheckpointError, match=f"does not fit CLIP's text transformer: .*{message}"):
        TextEncoder(text, state)


def test_a_spec_that_contradicts_itself_is_told_throughout(text, state):
    config = text.config | {"num_attention_heads": 3}
    odd = replace(text, config=config, max_tokens=78, pooling="layer-mean", layers=(1, 3))
    with pytest.raises(ManifestError) as caught:
        TextEncoder(odd, state)
    assert [one.what for one in caught.value.findings] == [
        "a width of 64 is no multiple of 3 heads",
        "prompts of 78 tokens have only 77 positions",
        "layer 3 is averaged, there are 2",
    ]


def test_texts_and_images_that_end_in_two_spaces_are_refused(spec, text):
    odd = replace(spec, text=replace(text, projection=(256,)))
    with pytest.raises(ManifestError, match="ends 256 wide, images 512 wide"):
        vocabulary.text_of(odd, ())


def test_a_checkpoint_of_the_image_encoder_alone_has_no_text(small, spec, tmp_path):
    whole = torch.load(small.checkpoint)
    bare = {name: one for name, one in whole.items() if name.startswith("visual.")}
    torch.save(bare, tmp_path / "bare.pth")
    assert weights.convert_text(tmp_path / "bare.pth", spec) == {}
    assert weights.convert_text(small.checkpoint, replace(spec, text=None)) == {}


@pytest.mark.parametrize("missing", ["tokenizers", "transformers"])
def test_the_extra_is_named_where_it_is_not_installed(missing, small, text, state, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UsageError) as caught:
        Tokenizer(text, small.tokenizer / "merges.txt")
        TextEncoder(text, state)
    assert str(caught.value) == (
        'text needs the extra `text`, which is not installed; pip install "retq-hub[text]"'
    )
