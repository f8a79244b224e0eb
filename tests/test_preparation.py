"""What images become before the backbone: the same numbers as made one by one, each size once."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tiny import Tiny

from retq_hub import geometry, probe
from retq_hub.basis import Basis, Pass
from retq_hub.channels import pixel_channels
from retq_hub.images import green
from retq_hub.plans import home, plan
from retq_hub.preparation import Needs, prepare, scene
from retq_hub.spec import BackboneSpec
from retq_hub.tiling import PassKey, cut


@pytest.fixture
def spec(tiny: Tiny) -> BackboneSpec:
    return tiny.backbone.spec


@pytest.fixture(scope="module")
def photograph() -> Image.Image:
    return Image.fromarray(probe.probe_image(500)).crop((0, 30, 500, 410))


def needs(spec: BackboneSpec, *, embed: bool = False) -> Needs:
    size = spec.preprocessing.size_px
    passes = (
        Pass(size_px=size, tiles=2, layers=(1, 2)),
        Pass(size_px=size, tiles=1, layers=(2,)),
    )
    basis = Basis(passes=passes, norm=True, views=("plain", "mirrored"))
    return Needs(plan=plan([basis]), embed=embed, channels=True, guides=(128, 392))


@pytest.mark.parametrize("how", [{}, {"grey": True}, {"unrounded": True}, {"resize": "bilinear"}])
@pytest.mark.parametrize("aspect", ["stretch", "pad", "crop"])
def test_what_is_resized_once_is_what_each_would_resize(
    spec: BackboneSpec, photograph: Image.Image, aspect: str, how: dict
) -> None:
    preprocessing = replace(spec.preprocessing, aspect=aspect, **how)
    spec = replace(spec, preprocessing=preprocessing)
    found = prepare(photograph, needs(spec), spec)
    assert found.scene.size == (500, 380)
    assert np.array_equal(found.scene.channels, pixel_channels(photograph))
    for side in (128, 392):
        assert np.array_equal(found.scene.guides[side], green(photograph, side))
    for key, squares in found.squares.items():
        whole = geometry.square(photograph, preprocessing, key.side_px)
        if key.view == "plain":
            assert np.array_equal(squares, cut(whole, key))
        assert squares.dtype == (np.float32 if how.get("unrounded") else np.uint8)
        assert squares.shape == (key.tiles**2, key.size_px, key.size_px, 3)


def test_the_pass_of_the_embedding_is_there_once(
    spec: BackboneSpec, photograph: Image.Image
) -> None:
    at_home, _ = home(spec)
    assert list(prepare(photograph, Needs(plan={}, embed=True), spec).squares) == [at_home]
    given = needs(spec, embed=True)
    assert set(prepare(photograph, given, spec).squares) == set(given.plan)
    elsewhere = {PassKey(at_home.size_px, 2, norm=True): (1,)}
    found = prepare(photograph, Needs(plan=elsewhere, embed=True), spec)
    assert set(found.squares) == {at_home, *elsewhere}
    cropped = replace(spec, preprocessing=replace(spec.preprocessing, aspect="crop"))
    found = prepare(photograph, Needs(plan={}, embed=True), cropped)
    assert (dict(found.squares), found.centre.shape) == ({}, (at_home.size_px,) * 2 + (3,))


def test_a_scene_is_had_without_squares(spec: BackboneSpec, photograph: Image.Image) -> None:
    given = needs(spec)
    found, whole = scene(photograph, given), prepare(photograph, given, spec).scene
    assert (found.size, set(found.guides)) == (whole.size, {128, 392})
    assert np.array_equal(found.channels, whole.channels)
    assert scene(photograph, Needs(plan={})).channels is None
