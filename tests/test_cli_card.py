"""``retq card`` in this process: what it makes, what it says, and what it leaves alone."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from retq_hub import artifact
from retq_hub.backbone import Backbone
from retq_hub.cli.app import main


@pytest.fixture
def here(
    tmp_path: Path, cache: Path, registry_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The current folder, with an artifact ``mine`` in it."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    shutil.copytree(registry_folder / "queries/tiny-spot/0.1.0", "mine")
    return tmp_path / "here"


def retq(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run ``retq`` and give its exit code."""
    monkeypatch.setattr(sys, "argv", ["retq", *arguments])
    try:
        main()
    except SystemExit as done:
        return int(done.code or 0)
    return 0


def test_it_makes_what_it_then_finds_up_to_date(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Backbone.asleep("tiny-vit")
    assert retq(monkeypatch, "card", "--check", "./mine") == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "mine/README.md: differs from what `retq card` makes" in said.err
    assert "`retq card ./FOLDER` makes them anew" in said.err
    assert retq(monkeypatch, "card", "./mine", "--repo", "me/spot") == 0
    assert capsys.readouterr().out.splitlines() == [
        "tiny-spot 0.1.0, mine",
        "  README.md    written; the one before is README.old.md",
        "  overlay.jpg  drawn",
    ]
    assert retq(monkeypatch, "card", "--check", "./mine") == 0
    assert capsys.readouterr().out == "mine: up to date\n"
    assert retq(monkeypatch, "card", "--json", "./mine") == 0
    (document,) = json.loads(capsys.readouterr().out)
    assert (document["card"], document["picture"]) == ("up to date", "up to date")
    assert retq(monkeypatch, "card", "--check", "--json", "./mine", "tiny-spot") == 1
    documents = json.loads(capsys.readouterr().out)
    assert [one["up_to_date"] for one in documents] == [True, False]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("tiny-spot",), 2, "tiny-spot is published"),
        (("./mine", "--repo", "no-namespace"), 2, "no name of a Hub repository; such as ns/name"),
        (("./mine", "--repo", "a/b--c"), 2, "no name of a Hub repository"),
        (("./mine", "./mine", "--repo", "me/it"), 2, "fits one query, not 2"),
        (("./mine", "--check", "--image", "x.png"), 2, "leave --image out"),
        (("./mine", "--image", "x.png"), 3, "the weights of tiny-vit are not here"),
        (("./nowhere",), 3, "there is no folder"),
        ((".",), 3, "is no artifact"),
    ],
)
def test_what_makes_no_sense_changes_nothing(
    arguments: tuple[str, ...],
    code: int,
    words: str,
    here: Path,
    registry_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert retq(monkeypatch, "card", *arguments) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    for folder in (here / "mine", registry_folder / "queries/tiny-spot/0.1.0"):
        assert (folder / artifact.CARD).read_text() == "# tiny-spot\n"
        assert len(list(folder.iterdir())) == 4


def test_a_published_querys_card_is_made_anew_by_its_path(
    here: Path, registry_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = registry_folder / "queries/tiny-spot/0.1.0"
    assert retq(monkeypatch, "card", str(place)) == 0
    assert "retq pull tiny-spot@v0.1.0" in (place / artifact.CARD).read_text()
