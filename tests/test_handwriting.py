"""What people write into a card is kept; what they change elsewhere is noticed."""

import pytest
from support_core import manifest
from tiny import SPEC

from retq_hub.card import render
from retq_hub.handwriting import Handwriting, read
from retq_hub.manifest import from_json
from retq_hub.spec import BackboneSpec

BACKBONE = from_json(SPEC, BackboneSpec)
START, END = "<!-- retq: notes -->", "<!-- retq: end of notes -->"


def card(**kept: object) -> str:
    return render(manifest(), BACKBONE, kept=Handwriting(**kept))


def noted(text: str) -> str:
    before, _, after = card().partition(START)
    return f"{before}{START}\n{text}\n{END}{after.partition(END)[2]}"


def test_a_new_card_is_as_retq_wrote_it() -> None:
    assert read(card()) == Handwriting()
    assert "Write here" in card()


@pytest.mark.parametrize(
    "notes",
    [
        "Fails on albinos.",
        "## Tried on\n\n- our camera\n- theirs",
        f"said {START} twice {END}",
        "é",
    ],
)
def test_notes_come_through_again_and_again(notes: str) -> None:
    kept = read(noted(notes))
    assert kept == Handwriting(notes=notes)
    again = render(manifest(), BACKBONE, kept=kept)
    assert again == noted(notes)
    assert "Write here" not in again


def test_members_and_tags_of_their_own_are_kept_whatever_wrote_the_yaml() -> None:
    text = card().replace("license:", "new_version: me/better\nlicense:")
    text = text.replace("- retq\n", "- fundus\n- retq\n").replace(
        "library_name: retq", "library_name: 'retq'"
    )
    kept = read(text)
    assert kept == Handwriting(members={"new_version": "me/better"}, tags=("fundus",))
    again = render(manifest(), BACKBONE, kept=kept)
    assert "new_version: me/better\n" in again
    assert "- target:disc-0\n- fundus\n" in again
    assert read(again) == kept


def test_line_ends_of_another_system_change_nothing() -> None:
    assert read(noted("a\nb").replace("\n", "\r\n")) == Handwriting(notes="a\nb")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# small-disc", "# The best disc"),
        ("license: cc0-1.0", "license: mit"),
        ("0.5000", "0.9999"),
        (START, ""),
        (END, ""),
        ("seal ", "seal 0"),
        ("---\n", "--- \nday: 2024-01-01\nbad: [\n"),
        ("datasets:", "datasets: 2024-01-01\nx:"),
    ],
)
def test_a_change_elsewhere_is_noticed(old: str, new: str) -> None:
    assert old in card()
    assert read(card().replace(old, new, 1)).elsewhere


@pytest.mark.parametrize(
    "text", ["# mine\n", "---\nlicense: mit\n---\n", "\ufeff# x", "---\n---\n"]
)
def test_a_card_without_a_seal_is_somebody_elses(text: str) -> None:
    assert read(text).elsewhere


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_card_holds_nothing(text: str) -> None:
    assert read(text) == Handwriting()


def test_the_card_remembers_where_the_query_can_be_pulled_from() -> None:
    text = render(manifest(), BACKBONE, repo="me/mine")
    assert read(text) == Handwriting(repo="me/mine")
    assert read(text.replace("card of me/mine", "card of ../etc")).repo is None
    assert read(text.replace("card of me/mine", "card of you/yours")).elsewhere
