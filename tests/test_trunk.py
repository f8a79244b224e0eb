"""What timm builds is held against the spec, whatever kind of network it is."""

from dataclasses import replace

import pytest
import timm
import torch
from tiny import random_state

from retq_hub import registry
from retq_hub.encoder import Encoder
from retq_hub.errors import ManifestError, UsageError
from retq_hub.trunk import build, expected_shapes


@pytest.fixture
def dense(tiny):
    """The tiny spec with tokens in a space of 24 shared with text."""
    architecture = replace(tiny.spec.architecture, projection=24, dense=True)
    tokens = replace(tiny.spec.tokens, width=24, layers=1, candidates=(0,))
    return replace(tiny.spec, architecture=architecture, tokens=tokens)


@pytest.mark.parametrize(
    ("name", "args", "what"),
    [
        ("no_such_model", {}, "timm has no model"),
        ("vit_tiny_patch16_224", {"pretrained": True}, "timm has no model"),
        ("vit_tiny_patch16_224", {"embed_dim": "wide"}, "timm cannot build it"),
        ("convnext_atto", {}, "is no vision transformer or ResNet"),
        ("vit_tiny_patch16_224", {}, "width is 192, layers is 12"),
        ("resnet18", {}, "width is 512, layers is 1, prefix is 0, patch_px is 32, grid is 2"),
    ],
)
def test_a_spec_that_contradicts_its_network_is_refused(tiny, name, args, what):
    architecture = replace(tiny.spec.architecture, name=name, args=args)
    with pytest.raises(ManifestError, match=what):
        build(replace(tiny.spec, architecture=architecture, pooling="patch-mean"))


def test_a_network_without_class_token_cannot_pool_it():
    spec = registry.backbone_spec("resnet50-imagenet")
    with pytest.raises(ManifestError, match="resnet50 has no class token to be pooled"):
        build(replace(spec, pooling="class-token"))


def test_a_projection_is_part_of_the_weights(dense):
    assert expected_shapes(dense)["projection.weight"] == (24, 32)


def test_nothing_of_it_takes_memory(tiny):
    assert all(one.is_meta for one in build(tiny.spec).state_dict().values())


def test_a_dense_token_attends_to_itself_alone(dense):
    encoder = Encoder(spec=dense, state=random_state(dense))
    pixels = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    tokens, embedding = encoder(pixels, (0,), norm=True, embed=True)
    assert tokens[0].shape == (1, 16, 24)
    assert embedding.shape == (1, 24)
    last = encoder.trunk.blocks[-1].attn
    with torch.no_grad():
        last.qkv.weight[:64] = 0
    again, changed = encoder(pixels, (0,), norm=True, embed=True)
    assert torch.equal(tokens[0], again[0])
    assert not torch.allclose(embedding, changed)


def test_a_resnets_last_map_is_one_layer_of_tokens():
    spec = registry.backbone_spec("resnet50-imagenet")
    architecture = replace(spec.architecture, name="resnet18")
    spec = replace(spec, architecture=architecture, tokens=replace(spec.tokens, width=512))
    model = timm.create_model("resnet18", num_classes=0).eval()
    encoder = Encoder(spec=spec, state=model.state_dict())
    pixels = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    for norm in (True, False):
        (tokens,), embedding = encoder(pixels, (0,), norm=norm, embed=True)
        with torch.no_grad():
            expected = model.forward_features(pixels)
            torch.testing.assert_close(tokens, expected.flatten(2).transpose(1, 2))
            torch.testing.assert_close(embedding, model(pixels))
    with pytest.raises(UsageError, match="100 pixels is no multiple of resnet50-imagenet's patch"):
        encoder(torch.zeros(1, 3, 100, 100), (0,), norm=True, embed=False)
