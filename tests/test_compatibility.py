"""Who may use which backbone: by digests, by fingerprints, or by the user's will."""

from dataclasses import replace

import pytest

from retq_hub import compatibility
from retq_hub.errors import BackboneMismatch


@pytest.fixture
def ref(tiny):
    return tiny.backbone.ref


def never():
    raise AssertionError("the fingerprint is not needed")


def test_equal_digests_are_enough(tiny, ref):
    assert compatibility.check(ref, tiny.spec, ref.weights_digest, never) == ""


def test_other_weights_are_let_in_by_their_fingerprint(tiny, ref):
    note = compatibility.check(ref, tiny.spec, "0" * 64, lambda: ref.fingerprint)
    assert "compute the same" in note
    assert "0" * 64 in note


def test_other_weights_are_refused_unless_the_user_insists(tiny, ref):
    other = replace(ref.fingerprint, values=tuple(-one for one in ref.fingerprint.values))
    with pytest.raises(BackboneMismatch) as caught:
        compatibility.check(ref, tiny.spec, "0" * 64, lambda: other)
    assert "0" * 64 in str(caught.value)
    assert ref.weights_digest in str(caught.value)
    note = compatibility.check(ref, tiny.spec, "0" * 64, lambda: other, allow_mismatch=True)
    assert "as you asked" in note


def test_fingerprints_of_different_methods_do_not_agree(tiny, ref):
    other = replace(ref.fingerprint, method="another")
    with pytest.raises(BackboneMismatch, match="inf apart"):
        compatibility.check(ref, tiny.spec, "0" * 64, lambda: other)


def test_another_preprocessing_is_refused_whatever_the_weights(tiny, ref):
    other = replace(ref, preprocessing_digest="0" * 64)
    with pytest.raises(BackboneMismatch, match=tiny.spec.preprocessing_digest):
        compatibility.check(other, tiny.spec, ref.weights_digest, never)


@pytest.mark.parametrize("weights", [None, "0" * 64])
def test_another_decoding_alone_is_let_in_with_a_note_both_ways(tiny, ref, weights):
    way = replace(tiny.spec.preprocessing, decoding="scaled")
    scaled = replace(tiny.spec, preprocessing=way)
    theirs = replace(ref, preprocessing_digest=scaled.preprocessing_digest)
    assert scaled.preprocessing_digest != tiny.spec.preprocessing_digest
    for made_for, spec, word in ((ref, scaled, "full"), (theirs, tiny.spec, "scaled")):
        digest = weights or ref.weights_digest
        note = compatibility.check(made_for, spec, digest, lambda: ref.fingerprint)
        assert f"made with {word} decoding" in note
        assert ("compute the same" in note) == (weights is not None)
        known = compatibility.equivalents(spec, None, [])
        preprocessing = made_for.preprocessing_digest
        assert known.fits(backbone=None, weights=None, preprocessing=preprocessing) is None
    grey = replace(scaled, preprocessing=replace(way, grey=True))
    with pytest.raises(BackboneMismatch):
        compatibility.check(ref, grey, ref.weights_digest, never)


def pinned(spec, ref, **changes):
    """The spec as it is once its weights are pinned, or that of another backbone like it."""
    return replace(spec, weights_digest=ref.weights_digest, fingerprint=ref.fingerprint, **changes)


@pytest.mark.parametrize(
    ("backbone", "weights", "preprocessing", "expected"),
    [
        ("tiny-vit", "a" * 64, "c" * 64, True),
        ("tiny-vit", "a" * 64, None, True),
        (None, "a" * 12, None, True),
        ("other", "b" * 64, "c" * 64, True),
        ("tiny-vit", "a" * 64, "0" * 64, False),
        ("tiny-vit", "0" * 64, "c" * 64, False),
        ("other", None, None, False),
        (None, None, "0" * 64, False),
        ("tiny-vit", None, "d" * 64, None),
        (None, None, None, None),
    ],
)
def test_a_listed_query_fits_by_weights_and_preprocessing_as_far_as_known(
    backbone, weights, preprocessing, expected
):
    known = compatibility.Equivalents(
        id="tiny-vit", preprocessing_digests=("c" * 64, "d" * 64), weights=("a" * 64, "b" * 64)
    )
    found = known.fits(backbone=backbone, weights=weights, preprocessing=preprocessing)
    assert found is expected


def test_of_a_backbone_whose_weights_are_unknown_nothing_is_certain(tiny):
    known = compatibility.equivalents(tiny.spec, None, [])
    assert known.weights == ()
    assert known.fits(backbone=tiny.spec.id, weights="0" * 64, preprocessing=None) is None
    assert known.fits(backbone="other", weights="0" * 64, preprocessing=None) is False


def test_weights_at_hand_count_although_the_spec_pins_none(tiny, ref):
    assert compatibility.equivalents(tiny.spec, "1" * 64, []).weights == ("1" * 64,)
    assert compatibility.equivalents(pinned(tiny.spec, ref), "1" * 64, []).weights == ("1" * 64,)


def test_a_list_foretells_what_the_check_decides(tiny, ref):
    """Weights under another id whose fingerprint agrees, and some whose does not."""
    ours = pinned(tiny.spec, ref)
    nearly = replace(ref.fingerprint, values=tuple(1.01 * one for one in ref.fingerprint.values))
    far = replace(ref.fingerprint, values=tuple(-one for one in ref.fingerprint.values))
    for fingerprint, allowed in ((nearly, True), (far, False)):
        twin = replace(ours, id="twin", weights_digest="2" * 64, fingerprint=fingerprint)
        known = compatibility.equivalents(ours, None, [ours, twin])
        listed = known.fits(
            backbone="twin", weights="2" * 64, preprocessing=twin.preprocessing_digest
        )
        made_for = replace(ref, id="twin", weights_digest="2" * 64, fingerprint=fingerprint)
        try:
            compatibility.check(made_for, ours, ref.weights_digest, lambda: ref.fingerprint)
            checked = True
        except BackboneMismatch:
            checked = False
        assert listed is checked is allowed
