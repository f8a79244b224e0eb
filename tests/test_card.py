"""The model card says what the manifest says, and no more."""

import re
from dataclasses import replace

import pytest
from graders import GRADED, derived
from support_core import manifest
from tiny import SPEC

from retq_hub.card import NOT_A_DEVICE, combination, render
from retq_hub.kinds import CLASSIFICATION, TEXT, Pooling, Similarity, Text
from retq_hub.manifest import Guided, Head, Licence, Trial, from_json
from retq_hub.picture import Picture
from retq_hub.spec import BackboneSpec

BACKBONE = from_json(SPEC, BackboneSpec)


def test_every_part_is_there() -> None:
    text = render(manifest(), BACKBONE)
    for words in (
        "# small-disc\n\nMarks what a small vector marks.",
        'from_pretrained(queries=["./small-disc"])',
        "retq segment eye.jpg -q ./small-disc -o out/",
        "| Dice | 0.5000 | 0.3750 - 0.6250 | 0.2500 | 0.7500 |",
        "made-up, split test, target disc-0: 2 images of 392 x 392 pixels, threshold 0.25.",
        "It marks nothing in particular.",
        "[SNOMED CT 81016008](http://snomed.info/id/81016008)",
        "- Made up, split train: 2 images, [doi:10.1000/182](https://doi.org/10.1000/182), CC0",
        "Together with the data: commercial use allowed, with attribution (CC0-1.0, Apache-2.0).",
        "- Data: Nobody, 2024",
    ):
        assert words in text, words
    assert text.count(NOT_A_DEVICE) == 1
    assert render(manifest(), BACKBONE) == text


def test_the_lines_for_use_are_five_and_run() -> None:
    text = render(manifest(), BACKBONE, repo="me/mine")
    (python,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len([line for line in python.splitlines() if line]) <= 5
    compile(python, "card", "exec")
    assert 'queries=["me/mine@v1.2.3"]' in python
    assert 'pipe("eye.jpg")["small-disc"]' in python
    assert "retq pull me/mine@v1.2.3\n" in text


def test_figures_at_half_are_not_said_twice() -> None:
    one = manifest().metrics[0]
    assert "| Dice at 0.5 |" in render(manifest(), BACKBONE)
    at_half = render(manifest(metrics=(replace(one, threshold=0.5),)), BACKBONE)
    assert "| Dice at 0.5 |" not in at_half
    assert "dice_at_0.5" in at_half
    assert "Not measured yet" in render(manifest(metrics=()), BACKBONE)


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (Picture(subject="x", example=True, area=0.0159), "healthy eye the query marks 1.59 % of"),
        (
            Picture(subject="x", example=True, area=0.0),
            "marks nothing on this photograph of a heal",
        ),
        (Picture(subject="x", example=True, area=2e-6), "marks under 0.01 % of the picture"),
        (Picture(subject="x", example=False, area=0.5), "marks 50.00 % of this photograph."),
        (Picture(subject="x", example=False, area=0.0), "marks nothing of this photograph."),
        (Picture(), "The picture was given by the query's makers."),
    ],
)
def test_the_line_below_the_picture_says_no_more_than_it_shows(
    picture: Picture, words: str
) -> None:
    text = render(manifest(), BACKBONE, picture=picture)
    assert "](overlay.jpg)\n\n*" in text
    assert words in text
    assert ("Mikael Häggström, CC0" in text) is picture.example


def test_without_a_picture_none_is_shown() -> None:
    assert "overlay.jpg" not in render(manifest(), BACKBONE)


def test_what_was_tried_is_a_table() -> None:
    trial = Trial(basis="1x1:3", floats=4, l2=0.1, measure=0.5, thresholds=(0.5,), loss=1.0)
    led = replace(trial, guided=Guided(size_px=392, radius_px=4, epsilon=1e-4))
    training = replace(manifest().training, trials=(trial, led), measure="iou")
    text = render(manifest(training=training), BACKBONE)
    assert "| held-out IoU |" in text
    assert "| 1x1:3 | 4 | 0.1 | guided, 4 px, 0.0001 | 0.5000 |" in text


@pytest.mark.parametrize(
    ("uses", "words"),
    [
        ((True, True), "commercial use allowed, with attribution (A, B)"),
        ((True, False), "no commercial use (A, B)"),
        ((True, None), "commercial use not known (A, B): read the licences"),
    ],
)
def test_a_combination_allows_what_all_allow(uses: tuple[bool | None, ...], words: str) -> None:
    found = [Licence(id=name, commercial_use=one) for name, one in zip("AB", uses, strict=True)]
    assert combination(found) == words


def test_a_graders_card_says_what_it_tells_and_from_what() -> None:
    head = Head(activation="ordinal", thresholds=(), threshold_choice="the median")
    looking = Pooling(method="attention", weighting="softmax", whole=True)
    made = manifest(
        targets=3,
        kind=CLASSIFICATION,
        pooling=looking,
        head=head,
        metrics=(),
        graded=(GRADED,),
        derived=(derived(),),
    )
    picture = Picture(subject="x", example=True, target="disc-1", probability=0.25)
    text = render(made, BACKBONE, picture=picture)
    assert "found.prediction, found.probabilities, found.attention" in text
    assert "| Quadratic kappa | 0.6250 | 0.5000 - 0.7500 |" in text
    assert "each as a whole" in text
    assert "gives optic disc a probability of 0.250. The colours say where it looked." in text
    assert "the mean of all tokens, then means of tokens weighted by attention (softmax)" in text
    assert "one grade: the targets are in order" in text
    assert "- weighted by tiny-disc 1.0.0, digest `aaaaaaaaaaaa`" in text
    for absent in ("upsampling", "threshold", "floats", "Not measured"):
        assert absent not in text


def test_a_card_of_texts_gives_the_texts_as_text() -> None:
    hostile = "# heading <b>"
    texts = Text(
        encoder="an encoder",
        prompts=((hostile, "disc"),),
        template="a photograph of {}",
        averaging="mean of unit vectors",
        tokenizer="0" * 64,
    )
    similar = Similarity(scale=10, per="token")
    head = replace(manifest().head, activation="softmax", background=False, similarity=similar)
    card = render(manifest(kind=TEXT, text=texts, data=(), head=head), BACKBONE)
    assert "## Texts" in card
    assert "an encoder" in card
    assert "<b>" not in card
    assert "\n# heading" not in card
    assert "## Training data" not in card
    assert "| answers | one of the targets |" in card
