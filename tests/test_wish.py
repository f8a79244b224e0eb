"""What is looked for: words and filters; what fits a backbone."""

from dataclasses import replace

import pytest
from records import record

from retq_hub import registry
from retq_hub.wish import Wish, fits

SPEC = registry.backbone_spec(registry.DEFAULT_BACKBONE)
OURS = record(
    targets=("optic disc", "Cup"),
    weights_digest=SPEC.weights_digest,
    backbone=SPEC.id,
    datasets=("IDRiD, part A",),
    dice=0.9,
)


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        (Wish(), True),
        (Wish(words=("DISC", "something")), True),
        (Wish(words=("disc", "absent")), False),
        (Wish(target="cup"), True),
        (Wish(target="macula"), False),
        (Wish(dataset="idrid"), True),
        (Wish(dataset="HVDROPDB"), False),
        (Wish(licence="cc0-1.0"), True),
        (Wish(licence="CC0"), False),
        (Wish(min_dice=0.9), True),
        (Wish(min_dice=0.91), False),
        (Wish(kind="segmentation"), True),
        (Wish(kind="text"), False),
        (Wish(backbone=SPEC), True),
        (Wish(backbone=replace(SPEC, weights_digest="0" * 64)), False),
        (Wish(backbone=replace(SPEC, weights_digest=None)), True),
        (Wish(backbone=replace(SPEC, weights_digest=None, id="other")), False),
    ],
)
def test_everything_that_is_looked_for_must_hold(wish, expected):
    assert wish.matches(OURS) == expected


def test_what_was_never_measured_has_no_least_dice():
    assert not Wish(min_dice=0.0).matches(record(dice=None))


def test_needles_are_what_stands_in_the_index_as_it_is():
    wish = Wish(words=("Drusen", 'say "OK"', "Öl", "back\\slash"), target="cup")
    assert wish.needles == [b"drusen", b"slash", b"back", b"say ", b"cup", b"ok", b"l"]


@pytest.mark.parametrize(
    ("backbone", "weights", "preprocessing", "expected"),
    [
        (SPEC.id, SPEC.weights_digest, SPEC.preprocessing_digest, True),
        (SPEC.id, SPEC.weights_digest, None, True),
        (None, SPEC.weights_digest[:12], None, True),
        (SPEC.id, SPEC.weights_digest, "0" * 64, False),
        (SPEC.id, "0" * 64, SPEC.preprocessing_digest, False),
        ("other", None, None, False),
        (None, None, None, None),
    ],
)
def test_a_query_fits_by_weights_and_preprocessing_as_far_as_known(
    backbone, weights, preprocessing, expected
):
    found = fits(SPEC, backbone=backbone, weights=weights, preprocessing=preprocessing)
    assert found is expected


def test_of_a_backbone_without_pinned_weights_nothing_is_certain():
    spec = replace(SPEC, weights_digest=None)
    assert fits(spec, backbone=SPEC.id, weights="0" * 64, preprocessing=None) is None
    assert fits(spec, backbone="other", weights="0" * 64, preprocessing=None) is False


def test_a_kind_is_looked_for_as_it_stands_in_the_index():
    grader = record(kind="classification")
    assert Wish(kind="classification", words=("classification",)).matches(grader)
    assert not Wish(kind="segmentation").matches(grader)
    assert Wish(kind="classification").needles == [b"classification"]
    assert Wish(kind="segmentation").needles == []
