"""``retq adapt`` in this process: a CSV of labels and a text query become an artifact."""

import json
import shlex
import sys
from pathlib import Path

import pytest
from labelled import CLASSES, Clip, make_clip, make_labels

from retq_hub import artifact
from retq_hub.cli.app import main


@pytest.fixture
def clip(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Clip:
    """The current folder has texts, photographs and a CSV of their classes."""
    made = make_clip(tmp_path)
    labels = make_labels(tmp_path / "images", 3, 3, 3)
    rows = [f"images/{one.image.name},{CLASSES[one.label[0]]},train" for one in labels.samples]
    (tmp_path / "eyes.csv").write_text("\n".join(["image,grade,split", *rows]) + "\n")
    monkeypatch.chdir(tmp_path)
    return made


def run(monkeypatch: pytest.MonkeyPatch, clip: Clip, *options: str) -> None:
    own = ("adapt", "./texts", "--labels", "eyes.csv", "--column", "grade", "-o", "Colours")
    monkeypatch.setattr(sys, "argv", ["retq", *own, "--backbone", str(clip.spec), *options])
    main()


def test_it_writes_an_artifact_named_like_its_folder(
    clip: Clip, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    run(monkeypatch, clip)
    assert capsys.readouterr().out == "Colours\n"
    manifest = artifact.read_manifest(Path("Colours"))
    assert (manifest.name, manifest.training.recipe) == ("colours", "ss-text")
    assert manifest.data[0].n_positive == (3, 3, 3)


def test_json_has_what_was_chosen(
    clip: Clip, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    run(
        monkeypatch, clip, "--method", "lp++", "--shots", "2", "--licence", "CC-BY-NC-4.0", "--json"
    )
    found = json.loads(capsys.readouterr().out)
    manifest = artifact.read_manifest(Path("Colours"))
    assert found["digest"] == manifest.digest
    assert dict(zip(found["targets"], found["images"], strict=True)) == dict.fromkeys(CLASSES, 2)
    assert found["training"]["recipe"] == "lp++"
    assert found["training"]["selection"].startswith("2 images of each class drawn; 300 steps")
    assert manifest.licence.commercial_use is False


def test_the_command_of_the_page_runs(clip: Clip, monkeypatch: pytest.MonkeyPatch):
    page = (Path(__file__).parent.parent / "docs/few-shot.md").read_text()
    (line,) = [one for one in page.splitlines() if one.startswith("retq adapt ")]
    monkeypatch.setattr(sys, "argv", [*shlex.split(line), "--backbone", str(clip.spec)])
    main()
    assert artifact.read_manifest(Path("eye-grades")).data[0].n_positive == (2, 2, 2)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--version", "one"), 2, "--version one is no version"),
        (("--shots", "0"), 2, "0 images of each class"),
        (("--split", "test"), 6, "no images in split 'test'"),
        (("--name", "No Name"), 6, "the query to be made"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_line(
    options: tuple[str, ...],
    code: int,
    words: str,
    clip: Clip,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    with pytest.raises(SystemExit) as left:
        run(monkeypatch, clip, *options)
    assert left.value.code == code
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert words in said
    assert not Path("Colours").exists()
