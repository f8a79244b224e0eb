"""What is said of a whole image, by each kind of answer."""

from dataclasses import replace

import numpy as np
import pytest
from support_core import manifest

from retq_hub.grading import grading, probability_text
from retq_hub.kinds import CLASSIFICATION, TEXT, Similarity
from retq_hub.manifest import Head
from retq_hub.result import Classification, Segmentation, ZeroShot


def told(activation: str, scores: tuple[float, ...], thresholds: tuple[float, ...] = ()):
    made = manifest(
        targets=len(scores) + (activation == "ordinal"),
        kind=CLASSIFICATION,
        head=Head(activation=activation, thresholds=thresholds, threshold_choice="given"),
    )
    labels = ("none", "mild", "severe")
    named = zip(made.targets, labels, strict=False)
    made = replace(made, targets=tuple(replace(one, label=label) for one, label in named))
    return grading(Classification(scores=np.array(scores, np.float32), size=(8, 6), manifest=made))


def test_of_targets_that_exclude_each_other_one_is_said():
    found = told("softmax", (0.0, 2.0, 1.0))
    assert found.exclusive
    assert found.text == "mild"
    assert [one.said for one in found.shares] == [False, True, False]
    assert sum(one.probability for one in found.shares) == pytest.approx(1)
    assert found.highest is found.shown is found.shares[1]


def test_of_grades_the_median_is_said_and_may_not_be_the_most_probable():
    found = told("ordinal", (0.3, -0.4))
    none, mild, severe = (one.probability for one in found.shares)
    assert none > mild
    assert severe < 0.5 < none + mild
    assert found.text == found.shown.target.label == "mild"
    assert found.highest.target.label == "none"


def test_of_targets_for_themselves_several_are_said_or_none():
    found = told("sigmoid", (3.0, 0.2, 0.2), (0.5, 0.5, 0.7))
    assert not found.exclusive
    assert found.text == "none, mild"
    assert found.shown.target.label == "none"
    assert [one.threshold for one in found.shares] == [0.5, 0.5, 0.7]
    assert told("sigmoid", (-3.0, -1.0, -2.0), (0.5,) * 3).text == "none of them"


def test_texts_speak_of_the_whole_image_and_masks_do_not():
    logits = np.zeros((2, 4, 4), np.float32)
    head = Head(
        activation="softmax",
        thresholds=(0.5, 0.5),
        threshold_choice="half",
        background=False,
        similarity=Similarity(scale=10, per="token"),
    )
    made = manifest(targets=2, kind=TEXT, head=head)
    scores = np.array([1, 4], np.float32)
    found = ZeroShot(logits=logits, size=(8, 6), manifest=made, scores=scores)
    assert grading(found).shown.target.name == "disc-1"
    plain = Segmentation(logits=logits, size=(8, 6), manifest=manifest(targets=2))
    assert grading(plain) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.000"), (0.0004, "under 0.001"), (0.5, "0.500"), (0.9996, "over 0.999"), (1, "1.000")],
)
def test_what_is_not_certain_is_never_written_as_such(value: float, text: str):
    assert probability_text(value) == text
