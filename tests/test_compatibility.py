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
