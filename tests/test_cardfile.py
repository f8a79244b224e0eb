"""The card in a folder: up to date or not, made anew without losing what people wrote."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support_core import assert_clear
from test_picture import FLAT

from retq_hub import artifact, cardfile, index
from retq_hub.errors import BadInputError, NotFoundError
from retq_hub.picture import PICTURE, encode, subject
from retq_hub.storage import write_json

START = "<!-- retq: notes -->"


@pytest.fixture
def folder(tmp_path: Path, registry_folder: Path, make_query: Callable[..., Path]) -> Path:
    """A query for a backbone that the registry knows, with its card made."""
    made = make_query(tmp_path / "disc")
    (made / artifact.CARD).unlink()
    cardfile.renew(made)
    return made


def write_notes(folder: Path, notes: str) -> None:
    path = folder / artifact.CARD
    path.write_text(path.read_text().replace(START, f"{START}\n{notes}"))


def draw(folder: Path, drawn_from: str | None = None) -> None:
    drawn_from = drawn_from or subject(artifact.read_manifest(folder))
    (folder / PICTURE).write_bytes(encode(FLAT, drawn_from=drawn_from, example=True, area=0.1))


def test_a_card_that_was_just_made_is_up_to_date(folder: Path) -> None:
    assert cardfile.findings(folder) == []
    assert cardfile.renew(folder) == cardfile.Renewal(changed=False, aside=None)
    assert artifact.findings(folder) == []


def test_notes_survive_and_are_no_finding(folder: Path) -> None:
    write_notes(folder, "Not for albinos.")
    cardfile.renew(folder)
    assert cardfile.findings(folder) == []
    assert cardfile.handwriting(folder).notes.startswith("Not for albinos.")
    done = cardfile.renew(folder, repo="me/mine")
    assert done == cardfile.Renewal(changed=True, aside=None)
    text = (folder / artifact.CARD).read_text()
    assert "Not for albinos." in text
    assert "retq pull me/mine@v1.0.0" in text


def test_it_is_remembered_where_the_query_can_be_pulled_from(folder: Path) -> None:
    cardfile.renew(folder, repo="me/mine")
    assert cardfile.findings(folder) == []
    assert cardfile.findings(folder, repo="me/other") != []


def test_a_card_that_was_changed_elsewhere_is_laid_aside_each_time_anew(folder: Path) -> None:
    path = folder / artifact.CARD
    for number, name in enumerate(("README.old.md", "README.old-2.md")):
        path.write_text(changed := path.read_text().replace("# tiny", f"# My {number} tiny"))
        (finding,) = cardfile.findings(folder)
        assert "changed outside of its notes" in finding.what
        done = cardfile.renew(folder)
        assert done.aside == folder / name
        assert done.aside.read_text() == changed
        assert cardfile.findings(folder) == []


def test_new_figures_make_a_card_out_of_date_and_nothing_is_laid_aside(folder: Path) -> None:
    made = artifact.read(folder)
    artifact.write(
        folder,
        manifest=replace(made.manifest, metrics=()),
        vector=made.vector,
        bias=made.bias,
        golden=made.golden,
        card=(folder / artifact.CARD).read_text(),
    )
    (finding,) = cardfile.findings(folder)
    assert "changed outside" not in finding.what
    assert cardfile.renew(folder).aside is None


def test_a_card_shows_the_picture_of_its_query_only(folder: Path) -> None:
    draw(folder)
    assert [one.where for one in cardfile.findings(folder)] == [artifact.CARD]
    cardfile.renew(folder)
    assert "marks 10.00 % of the picture" in (folder / artifact.CARD).read_text()
    draw(folder, "0" * 64)
    assert [one.where for one in cardfile.findings(folder)] == [artifact.CARD, PICTURE]
    cardfile.renew(folder)
    assert PICTURE not in (folder / artifact.CARD).read_text()


def test_a_published_query_is_named_as_its_registry_does(registry_folder: Path) -> None:
    folder = registry_folder / "queries/tiny-spot/0.1.0"
    cardfile.renew(folder)
    assert "retq pull tiny-spot@v0.1.0" in (folder / artifact.CARD).read_text()
    assert index.findings(registry_folder) == []


def test_a_missing_card_is_made(folder: Path) -> None:
    (folder / artifact.CARD).unlink()
    assert cardfile.findings(folder) != []
    assert cardfile.renew(folder) == cardfile.Renewal(changed=True, aside=None)


@pytest.mark.parametrize("blob", [b"\xff\xfe#", bytes(2**20 + 1)], ids=["utf-16", "large"])
def test_a_card_that_is_no_text_is_refused_and_left(folder: Path, blob: bytes) -> None:
    (folder / artifact.CARD).write_bytes(blob)
    with pytest.raises(BadInputError) as caught:
        cardfile.renew(folder)
    assert_clear(caught.value, 6, str(folder / artifact.CARD))
    assert (folder / artifact.CARD).read_bytes() == blob


def test_an_unknown_backbone_is_named(folder: Path, registry_folder: Path) -> None:
    (registry_folder / "backbones/tiny-vit.json").unlink()
    write_json(registry_folder / "index.json", {"spec": "retq-index/1", "records": []})
    with pytest.raises(NotFoundError, match="tiny-vit"):
        cardfile.renew(folder)
