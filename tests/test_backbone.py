"""Backbones: images in, tokens out; which queries may use which weights; the default one's pins."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import Tiny, random_state, write_spec
from torch import Tensor

from retq_hub import probe, registry, weights
from retq_hub.backbone import Backbone, PassKey
from retq_hub.basis import Basis, Pass
from retq_hub.errors import BackboneMismatch, NotFoundError, RetqError, UsageError
from retq_hub.manifest import BackboneRef, Fingerprint
from retq_hub.plans import assemble, plan
from retq_hub.preparation import Needs, prepare

HOME = PassKey(64, 1, norm=True)


@pytest.fixture
def image() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def basis(*layers: int, size_px: int = 64, norm: bool = True) -> Basis:
    return Basis(passes=(Pass(size_px=size_px, tiles=1, layers=layers),), norm=norm)


def test_bases_are_merged_into_the_fewest_passes():
    bases = [basis(2, 0), basis(1, 2), basis(1, norm=False), basis(1, size_px=96), basis(2)]
    assert plan(bases) == {
        PassKey(64, 1, norm=False): (1,),
        PassKey(64, 1, norm=True): (0, 1, 2),
        PassKey(96, 1, norm=True): (1,),
    }


def test_tokens_are_concatenated_in_the_order_of_the_basis(tiny, image):
    tokens, _ = tiny.backbone.tokens(image, {HOME: (0, 2)})
    (both,) = assemble(tokens, basis(2, 0))
    assert both.shape == (16, 64)
    assert torch.equal(both, torch.cat([tokens[HOME, 2], tokens[HOME, 0]], dim=1))


def test_tokens_are_those_of_timm_on_the_resized_normalised_image(tiny, image):
    square = np.asarray(image.resize((64, 64), Image.Resampling.BICUBIC), dtype=np.float32)
    pixels = torch.from_numpy((square / 255 - 0.5) / 0.25).permute(2, 0, 1)[None]
    reference = tiny.vit().forward_features(pixels)[0]
    tokens, embedding = tiny.backbone.tokens(image, {HOME: (2,)}, embed=True)
    torch.testing.assert_close(tokens[HOME, 2], reference[1:])
    torch.testing.assert_close(embedding, reference[0])


def test_an_embedding_alone_needs_no_layers(tiny, image):
    _, expected = tiny.backbone.tokens(image, {HOME: (2,)}, embed=True)
    tokens, embedding = tiny.backbone.tokens(image, {}, embed=True)
    assert tokens == {}
    assert torch.equal(embedding, expected)


def test_the_embedding_comes_from_the_specs_own_size_whatever_queries_read(tiny, image):
    _, expected = tiny.backbone.tokens(image, {HOME: (2,)}, embed=True)
    _, embedding = tiny.backbone.tokens(image, {PassKey(96, 1, norm=True): (1,)}, embed=True)
    assert embedding is not None
    assert torch.equal(embedding, expected)


def test_each_pass_is_a_block_and_views_are_averaged(tiny, image):
    tiled = Pass(size_px=64, tiles=2, layers=(1,), overlap_px=16)
    home = Pass(size_px=64, tiles=1, layers=(0, 2))
    both = Basis(passes=(tiled, home), norm=True, views=("plain", "mirrored"))
    assert plan([both]) == {
        PassKey(64, tiles, norm=True, overlap_px=overlap, view=view): layers
        for tiles, overlap, layers in ((2, 16, (1,)), (1, 0, (0, 2)))
        for view in ("plain", "mirrored")
    }
    tokens, _ = tiny.backbone.tokens(image, plan([both]))
    blocks = assemble(tokens, both)
    assert [tuple(block.shape) for block in blocks] == [(49, 32), (16, 64)]
    views = [tokens[PassKey(64, 2, True, overlap_px=16, view=view), 1] for view in both.views]
    torch.testing.assert_close(blocks[0], (views[0] + views[1]) / 2)
    assert not torch.equal(views[0], views[1])


def test_tiles_are_what_the_backbone_says_of_each_cutout(tiny, image):
    key = PassKey(64, 2, norm=True)
    tokens, _ = tiny.backbone.tokens(image, {key: (2,)})
    square = image.resize((128, 128), Image.Resampling.BICUBIC)
    whole = tokens[key, 2].view(8, 8, 32)
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        cutout = square.crop((64 * right, 64 * down, 64 * right + 64, 64 * down + 64))
        alone, _ = tiny.backbone.tokens(cutout, {HOME: (2,)})
        part = whole[4 * down : 4 * down + 4, 4 * right : 4 * right + 4].reshape(16, 32)
        torch.testing.assert_close(part, alone[HOME, 2], atol=1e-5, rtol=1e-5)


def test_the_embedding_is_that_of_the_uncut_image(tiny, image):
    _, expected = tiny.backbone.tokens(image, {HOME: (2,)}, embed=True)
    plans = ({PassKey(64, 2, norm=True): (1,)}, {PassKey(64, 1, True, view="mirrored"): (1,)})
    for one in plans:
        _, embedding = tiny.backbone.tokens(image, one, embed=True)
        assert torch.equal(embedding, expected)


@pytest.mark.parametrize("key", [PassKey(60, 1, True), PassKey(64, 2, True, overlap_px=8)], ids=str)
def test_passes_off_the_patches_are_refused(tiny, image, key):
    with pytest.raises(UsageError, match="no multiple of the backbone's patch, 16"):
        tiny.backbone.tokens(image, {key: (1,)})


def test_a_spec_on_disk_is_loaded_with_its_weights(tiny, cache):
    loaded = Backbone.from_pretrained(str(tiny.path))
    assert loaded.ref == tiny.backbone.ref
    assert loaded.spec.id == "tiny-vit"


def test_an_unknown_backbone_is_named_with_what_is_near(cache):
    with pytest.raises(NotFoundError, match="did you mean dinov2-small-saliency"):
        Backbone.from_pretrained("dinov2-small-saliancy")
    with pytest.raises(NotFoundError, match=r"there is no file .*absent\.json"):
        Backbone.from_pretrained("./absent.json")


def test_a_backbone_asleep_loads_its_weights_once_and_late(tiny, cache):
    asleep = Backbone.asleep(str(tiny.path))
    (file,) = (cache / "weights").rglob("*.safetensors")
    content = file.read_bytes()
    file.unlink()
    assert asleep.weights_digest == tiny.backbone.weights_digest
    assert asleep.spec.id == "tiny-vit"
    assert asleep.check(tiny.backbone.ref) == ""
    plain = asleep.with_engine(None)
    with pytest.raises(RetqError):
        _ = plain.reference
    file.write_bytes(content)
    assert plain.reference is asleep.reference


def test_a_query_for_the_same_weights_fits_without_a_word(tiny):
    assert tiny.backbone.check(tiny.backbone.ref) == ""


def rounded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: one.bfloat16().float() for name, one in state.items()}


def with_state(backbone: Backbone, state: Mapping[str, Tensor]) -> Backbone:
    digest = weights.digest_of(state)
    return Backbone(spec=backbone.spec, state=state, weights_digest=digest)


def test_equivalent_weights_fit_with_a_note_that_names_both(tiny):
    other = with_state(tiny.backbone, rounded(tiny.state))
    assert other.weights_digest != tiny.backbone.weights_digest
    note = tiny.backbone.check(other.ref)
    assert "they compute the same" in note
    assert other.weights_digest in note
    assert tiny.backbone.weights_digest in note


def other_weights(tiny: Tiny) -> BackboneRef:
    return with_state(tiny.backbone, random_state(tiny.spec, seed=1)).ref


def other_preprocessing(tiny: Tiny) -> BackboneRef:
    return replace(tiny.backbone.ref, preprocessing_digest="1" * 64)


def other_fingerprint_method(tiny: Tiny) -> BackboneRef:
    values = tiny.backbone.fingerprint.values
    fingerprint = Fingerprint(method="retq-fingerprint-0", values=values)
    return replace(tiny.backbone.ref, weights_digest="2" * 64, fingerprint=fingerprint)


@pytest.mark.parametrize("make", [other_weights, other_preprocessing, other_fingerprint_method])
def test_a_query_for_another_backbone_is_refused_unless_insisted(tiny, make):
    ref, ours = make(tiny), tiny.backbone.ref
    with pytest.raises(BackboneMismatch) as caught:
        tiny.backbone.check(ref)
    line = str(caught.value)
    pairs = [
        (getattr(ref, member), getattr(ours, member))
        for member in ("weights_digest", "preprocessing_digest")
    ]
    differing = [digest for pair in pairs if pair[0] != pair[1] for digest in pair]
    assert [digest for digest in differing if digest not in line] == []
    assert "--allow-mismatch" in line
    assert "as you asked" in tiny.backbone.check(ref, allow_mismatch=True)


def test_a_pinned_fingerprint_counts_only_for_the_pinned_weights(tiny, tmp_path, cache):
    pinned = {"method": probe.METHOD, "values": [1.0] * 64}
    ours = tiny.backbone.weights_digest
    path = write_spec(
        tmp_path,
        source=tiny.path.with_name("tiny.safetensors"),
        weights_digest=ours,
        fingerprint=pinned,
    )
    assert Backbone.from_pretrained(str(path)).fingerprint.values == (1.0,) * 64
    spec = replace(registry.backbone_spec(str(path)), weights_digest="3" * 64)
    other = Backbone(spec=spec, state=tiny.state, weights_digest=ours)
    assert other.fingerprint == tiny.backbone.fingerprint


def test_the_default_backbone_is_the_pinned_one(backbone):
    spec = registry.backbone_spec(registry.DEFAULT_BACKBONE)
    assert spec.id == "dinov2-small-saliency"
    assert backbone.weights_digest == spec.weights_digest
    assert probe.deviation(spec.fingerprint, backbone.measure_fingerprint()) < 1e-3


def swapped(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Swap two blocks: all tensors are there, of the right shapes, in the wrong places."""
    other = {"blocks.3.": "blocks.4.", "blocks.4.": "blocks.3."}
    return {other.get(name[:9], name[:9]) + name[9:]: one for name, one in state.items()}


def drawn(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Draw weights of the same architecture."""
    generator = torch.Generator().manual_seed(0)
    return {name: 0.02 * torch.randn(one.shape, generator=generator) for name, one in state.items()}


@pytest.mark.parametrize(("change", "same"), [(rounded, True), (swapped, False), (drawn, False)])
def test_the_fingerprint_tells_equivalent_weights_from_others(
    backbone, default_state, change, same
):
    other = with_state(backbone, change(default_state))
    assert other.weights_digest != backbone.weights_digest
    distance = probe.deviation(backbone.fingerprint, other.measure_fingerprint())
    assert (distance <= probe.TOLERANCE) is same


@pytest.mark.parametrize("aspect", ["stretch", "crop", "pad"])
def test_images_in_one_go_are_what_they_are_alone(tiny, image, aspect):
    spec = replace(tiny.spec, preprocessing=replace(tiny.spec.preprocessing, aspect=aspect))
    backbone = Backbone(spec=spec, state=tiny.state, weights_digest="0" * 64)
    images = [image, image.crop((0, 0, 300, 200)), image.resize((200, 200))]
    needs = Needs(plan={PassKey(64, 2, norm=True): (0, 2), HOME: (1,)}, embed=True)
    together = backbone.run([prepare(one, needs, backbone.spec) for one in images], needs)
    for one, (tokens, embedding) in zip(images, together, strict=True):
        alone, expected = backbone.tokens(one, needs.plan, embed=True)
        assert tokens.keys() == alone.keys()
        for key in alone:
            torch.testing.assert_close(tokens[key], alone[key], atol=1e-5, rtol=0)
        torch.testing.assert_close(embedding, expected, atol=1e-5, rtol=0)


def test_another_engine_runs_it_and_the_reference_stays(tiny, image):
    class Doubled:
        name, precision, device = "doubled", "float32", "cpu"

        def __call__(self, squares, layers, *, norm, embed):
            tokens, embedding = tiny.backbone.reference(squares, layers, norm=norm, embed=embed)
            return [2 * one for one in tokens], embedding

    other = tiny.backbone.with_engine(Doubled())
    (here, _), (there, _) = (one.tokens(image, {HOME: (1,)}) for one in (other, tiny.backbone))
    assert torch.equal(here[HOME, 1], 2 * there[HOME, 1])
    assert tiny.backbone.engine.name == other.reference.name == "torch"
