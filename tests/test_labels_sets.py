"""Tests of `retq_hub.labels.labelset`, `labelsets`, `columns` and `published_labels`."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support_core import assert_clear, fundus

from retq_hub.errors import DatasetError, NotFoundError, RetqError, UsageError
from retq_hub.labels.labelset import LabelSet
from retq_hub.labels.sets import from_csv, open_labels

GRADES = "image,id,split,camera,grade,other\n" + "".join(
    f"eyes/{n}.png,eye{n},{'test' if n % 2 else 'train'},{'Neo' if n < 3 else ''},{n % 3},{n}\n"
    for n in range(6)
)
TWINS = "image,kind\neyes/0.png,Ex\neyes/1.png,ex\n"


def write_images(folder: Path, count: int = 6) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        Image.fromarray(fundus(seed=number)).save(folder / f"{number}.png")


def table(
    root: Path,
    text: str = GRADES,
    *,
    columns: tuple[str, ...] = ("grade",),
    scale: str = "ordinal",
    split: str = "all",
) -> LabelSet:
    if not (root / "eyes").exists():
        write_images(root / "eyes")
    (root / "index.csv").write_text(text)
    return from_csv(root / "index.csv", columns=columns, split=split, scale=scale, name="mine")


def part_b(root: Path) -> Path:
    """Two photographs for each split in the layout of IDRiD's part B, with its odd header."""
    base = root / "B. Disease Grading"
    head = "Image name,Retinopathy grade,Risk of macular edema ,,,\n"
    for letter, kind, grades in (("a", "Training", (4, 0)), ("b", "Testing", (2, 1))):
        folder = base / "1. Original Images" / f"{letter}. {kind} Set"
        folder.mkdir(parents=True)
        rows = ""
        for number, grade in enumerate(grades, 1):
            pixels = fundus(seed=number + ord(letter))
            Image.fromarray(pixels).save(folder / f"IDRiD_00{number}.jpg")
            rows += f"IDRiD_00{number},{grade},{grade // 2},,,\n"
        labels = base / "2. Groundtruths" / f"{letter}. IDRiD_Disease Grading_{kind} Labels.csv"
        labels.parent.mkdir(exist_ok=True)
        labels.write_text(head + rows + ",,,,,\n")
    return root


def test_grades_of_a_table(tmp_path: Path) -> None:
    found = table(tmp_path, split="train")
    assert [one.id for one in found.samples] == ["eye0", "eye2", "eye4"]
    assert [one.group for one in found.samples] == ["Neo", "Neo", ""]
    np.testing.assert_array_equal(found.values, np.array([0, 2, 1]), strict=True)
    assert [one.name for one in found.targets] == ["grade-0", "grade-1", "grade-2"]
    assert (found.id, found.counts) == ("mine-grade", (1, 1, 1))


def test_classes_are_those_of_the_whole_table(tmp_path: Path) -> None:
    """A split without the highest grade has the targets of the others."""
    text = GRADES.replace(",test,Neo,1,", ",test,Neo,4,")
    found = table(tmp_path, text, split="train")
    assert (len(found.targets), found.counts) == (5, (1, 1, 1, 0, 0))


def test_classes_may_be_words_and_findings_may_stand_together(tmp_path: Path) -> None:
    words = "image,kind\neyes/0.png,Drüsen\neyes/1.png,healthy\neyes/2.png,Drüsen\n"
    found = table(tmp_path, words, columns=("kind",), scale="multiclass")
    assert [(one.name, one.label) for one in found.targets] == [
        ("drusen", "Drüsen"),
        ("healthy", "healthy"),
    ]
    assert found.values.tolist() == [0, 1, 0]
    text = "image,Hard Exudates,he\neyes/0.png,1,0\neyes/1.png,1.0,1\neyes/2.png,0,0\n"
    found = table(tmp_path, text, columns=("Hard Exudates", "he"), scale="multilabel")
    expected = np.array([[True, False], [True, True], [False, False]])
    np.testing.assert_array_equal(found.values, expected, strict=True)
    assert (found.counts, found.id) == ((2, 1), "mine")
    assert [one.name for one in found.targets] == ["hard-exudates", "he"]


def test_the_digest_knows_images_and_labels_only(tmp_path: Path) -> None:
    found = table(tmp_path)
    head, *rows = GRADES.splitlines()
    renamed = [head, *(row.replace("eye", "EYE", 2).replace("EYEs", "eyes") for row in rows[::-1])]
    assert table(tmp_path, "\n".join(renamed)).digest == found.digest
    assert table(tmp_path, GRADES.replace("Neo,0,0", "Neo,1,0")).digest != found.digest


def test_labels_missing_in_another_split_do_not_matter(tmp_path: Path) -> None:
    text = GRADES.replace(",test,Neo,1,", ",test,Neo,,")
    assert len(table(tmp_path, text, split="train").samples) == 3


@pytest.mark.parametrize(
    ("text", "options", "code", "words"),
    [
        (GRADES, {"columns": ("grad",)}, 6, ("has columns camera, grade", "not grad")),
        (GRADES.replace("Neo,1", "Neo,"), {}, 6, ("lacks 'grade' for 1 of 6 images (eye1)",)),
        (GRADES.replace("Neo,1", "Neo,1.5"), {}, 6, ("no", "whole number", "eye1: '1.5'")),
        (GRADES.replace("Neo,1", "Neo,-1"), {}, 6, ("whole number", "eye1: '-1'")),
        (GRADES.replace("Neo,1", "Neo,mild"), {}, 6, ("whole number", "eye1: 'mild'")),
        (GRADES.replace("Neo,1", "Neo,1.5"), {"scale": "multiclass"}, 6, ("eye1: '1.5'",)),
        (GRADES, {"scale": "multilabel"}, 6, ("'grade' is not 0 or 1 in 2 rows",)),
        (GRADES, {"split": "val"}, 6, ("no images in split 'val'",)),
        (GRADES, {"columns": ("grade", "other")}, 2, ("2 columns are no ordinal label",)),
        (GRADES, {"columns": ("grade", "grade")}, 2, ("named twice",)),
        (GRADES, {"scale": "nominal"}, 2, ("no scale 'nominal'",)),
        (GRADES.replace("eyes/4", "eyes/nil"), {}, 6, ("1 files that are not there", "nil.png")),
        (GRADES.replace("eyes/4", "eyes/3"), {}, 6, ("twice", "(3.png)")),
        ("image,grade\neyes/0.png,1\neyes/1.png,1\n", {}, 6, ("all 2 images", "(grade-1)")),
        (TWINS, {"columns": ("kind",), "scale": "multiclass"}, 6, ("Ex, ex differ",)),
        (GRADES.replace("split", "part"), {"split": "test"}, 6, ("no column 'split'",)),
    ],
)
def test_what_cannot_be_used_is_said(
    tmp_path: Path, text: str, options: dict[str, object], code: int, words: tuple[str, ...]
) -> None:
    with pytest.raises(RetqError) as caught:
        table(tmp_path, text, **options)
    assert_clear(caught.value, code, *words)


def test_one_photograph_under_two_names_with_two_labels_is_known(tmp_path: Path) -> None:
    write_images(tmp_path / "eyes")
    assert table(tmp_path).contradictions == ()
    (tmp_path / "eyes/5.png").write_bytes((tmp_path / "eyes/0.png").read_bytes())
    (tmp_path / "eyes/4.png").write_bytes((tmp_path / "eyes/1.png").read_bytes())
    assert table(tmp_path).contradictions == (("eye0", "eye5"),)


def test_part_b_of_idrid_as_published(tmp_path: Path) -> None:
    root = part_b(tmp_path)
    found = open_labels("idrid-grading", root, column="dr-grade", split="all")
    assert [(one.id, one.label) for one in found.samples] == [
        ("train_IDRiD_001", (4,)),
        ("train_IDRiD_002", (0,)),
        ("test_IDRiD_001", (2,)),
        ("test_IDRiD_002", (1,)),
    ]
    assert (found.scale, len(found.targets)) == ("ordinal", 5)
    inner = root / "B. Disease Grading"
    risk = open_labels("idrid-grading", inner, column="dme_risk", split="test")
    assert (risk.values.tolist(), len(risk.targets)) == ([1, 0], 3)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"name": "idrid"}, UsageError, "idrid-grading"),
        ({"column": "grade"}, UsageError, "it has dme-risk, dr-grade"),
        ({"split": "val"}, UsageError, "train, test and all"),
        ({"folder": Path("nowhere")}, DatasetError, "no folder nowhere"),
        ({"folder": Path("empty")}, DatasetError, "not laid out like IDRiD's part B"),
    ],
)
def test_published_labels_that_are_not_there(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, object],
    error: type[RetqError],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    usual = {"name": "idrid-grading", "folder": part_b(tmp_path), "column": "dr-grade"}
    with pytest.raises(error, match=words):
        open_labels(**{"split": "train"} | usual | given)


def test_part_b_that_is_not_complete(tmp_path: Path) -> None:
    root = part_b(tmp_path)
    labels = root / "B. Disease Grading/2. Groundtruths"
    first = labels / "a. IDRiD_Disease Grading_Training Labels.csv"
    whole = first.read_text()
    first.write_text(whole.replace("001,4", "001,5"))
    with pytest.raises(DatasetError, match=r"grade from 0 to 4 .*IDRiD_001: '5'"):
        open_labels("idrid-grading", root, column="dr-grade", split="train")
    first.unlink()
    with pytest.raises(NotFoundError, match="Training Labels"):
        open_labels("idrid-grading", root, column="dr-grade", split="train")


def test_the_photographs_at_hand(data: Path) -> None:
    index = data / "IDRiD_grading"
    found = open_labels("idrid-grading", index, column="dr-grade", split="test")
    assert found.counts == (34, 5, 32, 19, 13)
    own = from_csv(
        index / "index.csv", columns=["dr_grade"], split="test", scale="ordinal", name="index"
    )
    assert own.digest == found.digest
    train = open_labels("idrid-grading", index, column="dr-grade", split="train")
    seen = {one.image_digest for one in train.samples}
    assert len(train.samples) == 412
    assert not any(one.image_digest in seen for one in found.samples)
    everything = open_labels("idrid-grading", index, column="dr-grade", split="all")
    assert ("train_IDRiD_021", "train_IDRiD_391") in everything.contradictions
