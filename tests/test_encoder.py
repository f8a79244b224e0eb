"""The encoder gives what timm gives, at any size, and stops where nobody reads on."""

from dataclasses import replace

import pytest
import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from tiny import Tiny, random_state
from torch import Tensor

from retq_hub.encoder import Encoder, expected_shapes
from retq_hub.errors import CheckpointError, UsageError
from retq_hub.spec import PositionEmbedding

DEPTH = 3


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def encoder(tiny: Tiny) -> Encoder:
    return Encoder(spec=tiny.spec, state=tiny.state)


def pooled(tiny: Tiny, pooling: str, pixels: Tensor) -> Tensor:
    """Pool what timm's own forward gives, the naive way."""
    everything = tiny.vit().forward_features(pixels)
    parts = {
        "class-token": everything[:, 0],
        "patch-mean": everything[:, 1:].mean(dim=1),
        "token-mean": everything.mean(dim=1),
    }
    return parts[pooling]


@pytest.mark.parametrize("norm", [False, True])
def test_all_layers_equal_timms(tiny, encoder, pixels, norm):
    reference = tiny.vit().forward_intermediates(
        pixels, indices=DEPTH, norm=norm, output_fmt="NLC", intermediates_only=True
    )
    found, embedding = encoder(pixels, range(DEPTH), norm=norm, embed=False)
    assert embedding is None
    for one, other in zip(found, reference, strict=True):
        assert one.shape == (2, 16, 32)
        torch.testing.assert_close(one, other, atol=0, rtol=0)


def test_layers_come_in_the_order_that_was_asked_for(encoder, pixels):
    forward, _ = encoder(pixels, (0, 2), norm=True, embed=False)
    backward, _ = encoder(pixels, (2, 0), norm=True, embed=False)
    assert [torch.equal(a, b) for a, b in zip(forward, backward[::-1], strict=True)] == [True, True]


def test_images_do_not_disturb_each_other(encoder, pixels):
    both, _ = encoder(pixels, (2,), norm=True, embed=False)
    second, _ = encoder(pixels[1:], (2,), norm=True, embed=False)
    torch.testing.assert_close(both[0][1:], second[0], atol=1e-5, rtol=1e-5)


def test_without_an_embedding_the_blocks_after_the_last_layer_are_not_run(encoder, pixels):
    run: list[int] = []
    for number, block in enumerate(encoder.trunk.blocks):
        block.register_forward_hook(lambda *_, number=number: run.append(number))
    short, _ = encoder(pixels, (0, 1), norm=True, embed=False)
    assert run == [0, 1]
    full, embedding = encoder(pixels, (0, 1), norm=True, embed=True)
    assert run == [0, 1, 0, 1, 2]
    assert embedding is not None
    assert all(torch.equal(one, other) for one, other in zip(short, full, strict=True))


@pytest.mark.parametrize("pooling", ["class-token", "patch-mean", "token-mean"])
@pytest.mark.parametrize("layers", [(), (1,), (2,)])
def test_the_embedding_is_pooled_as_the_spec_says(tiny, pixels, pooling, layers):
    encoder = Encoder(spec=replace(tiny.spec, pooling=pooling), state=tiny.state)
    _, embedding = encoder(pixels, layers, norm=False, embed=True)
    expected = pooled(tiny, pooling, pixels)
    torch.testing.assert_close(embedding, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("size_px", [32, 96])
def test_another_size_resamples_the_position_embedding(tiny, antialias, size_px):
    position = PositionEmbedding(resize="bicubic", antialias=antialias)
    encoder = Encoder(spec=replace(tiny.spec, position_embedding=position), state=tiny.state)
    pixels = torch.randn(1, 3, size_px, size_px, generator=torch.Generator().manual_seed(2))
    grid = size_px // 16

    reference = tiny.vit()
    reference.patch_embed.set_input_size(img_size=size_px)
    reference.pos_embed = torch.nn.Parameter(
        resample_abs_pos_embed(
            tiny.state["pos_embed"], [grid, grid], num_prefix_tokens=1, antialias=antialias
        ),
        requires_grad=False,
    )
    found, _ = encoder(pixels, (2,), norm=True, embed=False)
    assert found[0].shape == (1, grid * grid, 32)
    torch.testing.assert_close(found[0], reference.forward_features(pixels)[:, 1:])


def test_going_back_to_a_size_gives_the_same_tokens(encoder, pixels):
    first, _ = encoder(pixels, (2,), norm=True, embed=False)
    encoder(torch.zeros(1, 3, 96, 96), (2,), norm=True, embed=False)
    encoder(torch.zeros(1, 3, 32, 32), (2,), norm=True, embed=False)
    again, _ = encoder(pixels, (2,), norm=True, embed=False)
    assert torch.equal(first[0], again[0])


@pytest.mark.parametrize("layers", [(3,), (-1,), (0, 99)])
def test_a_layer_that_is_not_there_is_a_usage_error(encoder, pixels, layers):
    with pytest.raises(UsageError, match=r"tiny-vit has layers 0-2, not"):
        encoder(pixels, layers, norm=True, embed=False)


def test_a_size_that_is_no_multiple_of_the_patch_is_a_usage_error(encoder, pixels):
    before, _ = encoder(pixels, (2,), norm=True, embed=False)
    with pytest.raises(UsageError, match="70 pixels is no multiple of tiny-vit's patch, 16"):
        encoder(torch.zeros(1, 3, 70, 70), (2,), norm=True, embed=False)
    after, _ = encoder(pixels, (2,), norm=True, embed=False)
    assert torch.equal(before[0], after[0])


def test_it_is_frozen_and_in_evaluation_mode(encoder, pixels):
    tokens, _ = encoder(pixels, (2,), norm=True, embed=False)
    assert not any(one.requires_grad for one in (*encoder.parameters(), *tokens))
    assert not encoder.training
    assert not any(module.training for module in encoder.modules())


def test_expected_shapes_are_those_of_timms_model(tiny):
    shapes = {name: tuple(tensor.shape) for name, tensor in tiny.vit().state_dict().items()}
    assert expected_shapes(tiny.spec) == shapes


def test_a_state_dict_of_another_architecture_is_refused(tiny):
    spec = tiny.spec
    deeper = replace(
        spec,
        architecture=replace(spec.architecture, args={**spec.architecture.args, "depth": 4}),
        tokens=replace(spec.tokens, layers=4),
    )
    with pytest.raises(CheckpointError, match=r"does not fit tiny-vit .*12 extra \(blocks\.3"):
        Encoder(spec=tiny.spec, state=random_state(deeper))
