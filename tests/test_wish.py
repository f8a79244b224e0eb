"""What is looked for: words and filters."""

from dataclasses import replace

import pytest
from records import record

from retq_hub import registry
from retq_hub.compatibility import equivalents
from retq_hub.wish import Wish

SPEC = registry.backbone_spec(registry.DEFAULT_BACKBONE)
AT_HAND = equivalents(SPEC, None, [])
OURS = record(
    targets=("optic disc", "Cup"),
    weights_digest=SPEC.weights_digest,
    preprocessing_digest=SPEC.preprocessing_digest,
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
        (Wish(backbone=AT_HAND), True),
        (Wish(backbone=replace(AT_HAND, weights=("0" * 64,))), False),
        (Wish(backbone=replace(AT_HAND, weights=("0" * 64, *AT_HAND.weights))), True),
        (Wish(backbone=replace(AT_HAND, preprocessing_digests=("0" * 64,))), False),
        (Wish(backbone=replace(AT_HAND, weights=())), True),
        (Wish(backbone=replace(AT_HAND, weights=(), id="other")), False),
    ],
)
def test_everything_that_is_looked_for_must_hold(wish, expected):
    assert wish.matches(OURS) == expected


def test_what_was_never_measured_has_no_least_dice():
    assert not Wish(min_dice=0.0).matches(record(dice=None))


def test_needles_are_what_stands_in_the_index_as_it_is():
    wish = Wish(words=("Drusen", 'say "OK"', "Öl", "back\\slash"), target="cup")
    assert wish.needles == [b"drusen", b"slash", b"back", b"say ", b"cup", b"ok", b"l"]


def test_the_digest_of_weights_is_a_needle_only_where_no_others_compute_the_same():
    assert Wish(backbone=AT_HAND).needles == [SPEC.weights_digest.encode()]
    assert Wish(backbone=replace(AT_HAND, weights=(*AT_HAND.weights, "0" * 64))).needles == []


def test_a_kind_is_looked_for_as_it_stands_in_the_index():
    grader = record(kind="classification")
    assert Wish(kind="classification", words=("classification",)).matches(grader)
    assert not Wish(kind="segmentation").matches(grader)
    assert Wish(kind="classification").needles == [b"classification"]
    assert Wish(kind="segmentation").needles == []
