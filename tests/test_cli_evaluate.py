"""``retq evaluate`` in this process: what makes no sense is said before the work."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from eyes import draw, make_csv
from kinds import make_classification
from tiny import Tiny

from retq_hub import artifact, index, schema
from retq_hub.cli.app import main


@pytest.fixture
def here(
    tmp_path: Path,
    cache: Path,
    registry_folder: Path,
    make_query: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """The current folder, with two eyes; the registry has a query ``two`` for spots."""
    make_csv(tmp_path / "here", count=2, n_test=1)
    monkeypatch.chdir(tmp_path / "here")
    folder = make_query(registry_folder / "queries/two/1.0.0", name="two")
    made = artifact.read(folder)
    spot = replace(made.manifest.targets[0], name="spot")
    artifact.write(
        folder,
        manifest=replace(made.manifest, targets=(spot,)),
        vector=made.vector,
        bias=made.bias,
        golden=made.golden,
        card="",
    )
    index.write(registry_folder, index.build(registry_folder))
    return tmp_path / "here"


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--record", "--size", "512"), 2, "--record keeps figures at 392 pixels"),
        (("--record", "--allow-mismatch"), 2, "--record keeps figures of the backbone"),
        (("--size", "8"), 2, "--size"),
        (("--report", "eyes.csv/below"), 7, "cannot write in eyes.csv/below"),
        (("--against", "tiny-disk"), 3, "did you mean tiny-disc"),
        (("--against", "two"), 2, "tiny-disc marks 't0' and two marks 'spot'"),
        (("--split", "nobody"), 6, "no rows in split 'nobody'"),
    ],
)
def test_what_cannot_be_evaluated_is_said_before_the_work(
    options: tuple[str, ...],
    code: int,
    words: str,
    here: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = ("evaluate", "tiny-disc", "--csv", "eyes.csv", "--target", "spot", *options)
    monkeypatch.setattr(sys, "argv", ["retq", *own])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == code
    assert words in capsys.readouterr().err.strip().splitlines()[-1]
    assert not (cache / "tokens").exists()


def test_groups_of_a_csv_get_their_lines(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = Path("eyes.csv").read_text().splitlines()
    rows = [
        f"{line},{camera}" for line, camera in zip(lines, ("group", "Neo", "RetCam"), strict=True)
    ]
    Path("eyes.csv").write_text("\n".join(rows) + "\n")
    own = ("evaluate", "two", "--csv", "eyes.csv", "--target", "spot", "--split", "all")
    monkeypatch.setattr(sys, "argv", ["retq", *own, "--size", "64"])
    main()
    said = capsys.readouterr().out
    assert "at 64 x 64 pixels" in said
    for camera in ("Neo", "RetCam"):
        (line,) = [one for one in said.splitlines() if one.startswith(camera)]
        assert line.split()[1] == "1"


@pytest.fixture
def graded(here: Path, tiny: Tiny) -> Path:
    """The same folder with a CSV of grades and a grader ``./grade``."""
    make_classification(here / "grade", backbone=tiny.backbone, activation="ordinal")
    rows = ["image,id,grade,split"]
    for number in range(6):
        draw(number)[0].save(here / f"{number}.png")
        rows.append(f"{number}.png,eye{number},{number % 3},test")
    (here / "grades.csv").write_text("\n".join(rows) + "\n")
    return here


def retq(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["retq", *arguments])
    main()


GRADES = ("--labels", "grades.csv", "--column", "grade")


def test_labels_are_scored_and_fit_eighty_columns(
    graded: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ("evaluate", "./grade", *GRADES, "--report", "out", "--against", "./grade")
    retq(monkeypatch, *own)
    said = capsys.readouterr().out
    assert "tiny-grade@1.0.0 on grades-grade, split test: 6 images, 3 classes" in said
    for words in ("Quadratic kappa", "true \\ predicted", "difference", "out/report.html"):
        assert words in said, words
    assert max(map(len, said.splitlines())) <= 80
    retq(monkeypatch, "evaluate", "./grade", *GRADES, "--json")
    document = json.loads(capsys.readouterr().out)
    assert not schema.findings(document, schema.ASSESSMENT)
    written = json.loads(Path("out/evaluation.json").read_text())
    assert {key: one for key, one in written.items() if key != "against"} == document


def test_figures_of_labels_are_recorded(
    graded: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    retq(monkeypatch, "evaluate", "./grade", *GRADES, "--record")
    assert "recorded in" in capsys.readouterr().err
    (one,) = artifact.read_manifest(Path("grade")).graded
    assert (one.dataset, one.n_images) == ("grades-grade", 6)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("./grade", "--labels", "grades.csv"), 2, "no column of labels is named"),
        (("./grade", *GRADES, "--target", "disc"), 2, "--target and labels do not go together"),
        (("./grade", *GRADES, "--size", "64"), 2, "--size and labels"),
        (("./grade", "--column", "grade"), 2, "name the labels in one way"),
        (("./grade", "--csv", "eyes.csv"), 2, "no target is named"),
        (("./grade", "--csv", "eyes.csv", "--target", "spot"), 2, "classifies whole images"),
        (("two", *GRADES, "--scale", "ordinal"), 2, "two marks pixels"),
        (("./grade", "--labels", "grades.csv", "--column", "dr"), 6, "not dr"),
        (("./grade", *GRADES, "--split", "train"), 6, "no images in split 'train'"),
    ],
)
def test_labels_that_make_no_sense_are_refused(
    options: tuple[str, ...],
    code: int,
    words: str,
    graded: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as left:
        retq(monkeypatch, "evaluate", *options)
    assert left.value.code == code
    assert words in capsys.readouterr().err
