"""Card and picture made anew: what is drawn, what stays, and what is said where neither can be."""

from pathlib import Path

import pytest
from PIL import Image
from support_core import assert_clear
from test_picture import FLAT, jpeg
from tiny import Tiny, make_query, random_state, write_spec

from retq_hub import artifact, cardfile, weights
from retq_hub.backbone import Backbone
from retq_hub.errors import NotFoundError
from retq_hub.picture import PICTURE, about
from retq_hub.presentation import present


@pytest.fixture
def folder(tmp_path: Path, registry_folder: Path, cache: Path, tiny: Tiny) -> Path:
    """A query whose backbone the registry knows; no weights in the cache, no card."""
    made = make_query(tmp_path / "disc", backbone=tiny.backbone)
    (made / artifact.CARD).unlink()
    return made


@pytest.fixture
def here(folder: Path) -> Path:
    """The same, and the weights are in the cache."""
    Backbone.asleep("tiny-vit")
    return folder


def test_picture_and_card_are_made_and_are_up_to_date(here: Path) -> None:
    (done,) = present([here])
    assert (done.picture, done.card.changed) == ("drawn", True)
    assert f"]({PICTURE})" in (here / artifact.CARD).read_text()
    assert cardfile.findings(here) == artifact.findings(here) == []
    (again,) = present([here])
    assert (again.picture, again.card.changed) == ("up to date", False)


def test_without_weights_nothing_is_fetched_and_the_card_is_made(folder: Path, cache: Path) -> None:
    (done,) = present([folder])
    assert done.picture == "not drawn: the weights of tiny-vit are not here"
    assert done.card.changed
    assert not (folder / PICTURE).exists()
    assert not cache.exists()
    with pytest.raises(NotFoundError) as caught:
        present([folder], image=folder / "eye.png")
    assert_clear(caught.value, 3, "the weights of tiny-vit are not here", "retq backbones fetch")


def test_a_picture_of_other_vectors_goes(folder: Path) -> None:
    (folder / PICTURE).write_bytes(jpeg())
    (done,) = present([folder])
    assert done.picture.startswith("removed, for it was of other vectors; not drawn: ")
    assert not (folder / PICTURE).exists()
    assert cardfile.findings(folder) == []


def test_a_picture_that_somebody_made_stays(here: Path) -> None:
    FLAT.save(here / PICTURE)
    blob = (here / PICTURE).read_bytes()
    (done,) = present([here])
    assert done.picture.startswith("kept")
    assert (here / PICTURE).read_bytes() == blob
    assert "given by the query's makers" in (here / artifact.CARD).read_text()


def test_a_photograph_of_ones_own_is_drawn_on_and_stays(here: Path, tmp_path: Path) -> None:
    Image.new("RGB", (90, 60), (90, 40, 20)).save(tmp_path / "own.png")
    present([here], image=tmp_path / "own.png")
    blob = (here / PICTURE).read_bytes()
    assert about(blob).example is False
    assert "healthy" not in (here / artifact.CARD).read_text()
    assert present([here])[0].picture.startswith("kept")
    assert (here / PICTURE).read_bytes() == blob


def test_a_query_for_other_weights_gets_a_card_and_no_picture(here: Path, tiny: Tiny) -> None:
    state = random_state(tiny.spec, seed=1)
    other = Backbone(spec=tiny.spec, state=state, weights_digest=weights.digest_of(state))
    make_query(here, backbone=other)
    (done,) = present([here])
    assert done.picture.startswith("not drawn: ")
    assert "weights" in done.picture
    assert done.card.changed


def test_for_another_modality_there_is_no_example(
    here: Path, registry_folder: Path, tiny: Tiny
) -> None:
    write_spec(
        registry_folder / "backbones", source=tiny.path.with_suffix(".safetensors"), modality="oct"
    )
    (done,) = present([here])
    assert done.picture == "not drawn: there is no example photograph for oct"


def test_a_backbone_at_hand_is_used(folder: Path) -> None:
    backbone = Backbone.asleep("tiny-vit")
    assert present([folder], backbone=backbone)[0].picture == "drawn"
