"""Tests of `retq_hub.assessment.gradesheet` and `gradetables`: an assessment as a page."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from eyes import draw
from kinds import make_classification
from tiny import Tiny

from retq_hub import schema
from retq_hub.assessment.gradebook import Assessment
from retq_hub.assessment.gradesheet import DOCUMENT, PAGE, write_gradesheet
from retq_hub.assessment.scoring import assess
from retq_hub.labels import sets
from retq_hub.labels.labelset import LabelSet

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def made(
    tmp_path: Path, cache: Path, registry_folder: Path, tiny: Tiny
) -> Callable[..., tuple[Assessment, LabelSet]]:
    def make(*columns: str, scale: str, **options: object) -> tuple[Assessment, LabelSet]:
        rows = "image,id,group,grade,he,ex\n"
        for number in range(6):
            draw(number)[0].save(tmp_path / f"{number}.png")
            name = HOSTILE if number == 0 else f"eye{number}"
            rows += f"{number}.png,{name},Neo & co,{number % 3},{number % 2},1\n"
        (tmp_path / "eyes.csv").write_text(rows)
        labels = sets.from_csv(
            tmp_path / "eyes.csv", columns=columns, split="all", scale=scale, name="eyes"
        )
        folder = make_classification(tmp_path / "grade", backbone=tiny.backbone, **options)
        other = make_classification(
            tmp_path / "other", name="other", backbone=tiny.backbone, **options, seed=5
        )
        return assess(folder, labels, against=other), labels

    return make


def test_a_page_says_what_was_found(
    made: Callable[..., tuple[Assessment, LabelSet]], tmp_path: Path
) -> None:
    found, labels = made("grade", scale="ordinal", activation="ordinal")
    found = replace(found, n_trained_on=2, n_alike=1, contradictions=(("eye1", "eye2"),))
    write_gradesheet(tmp_path / "out", found, labels=labels)
    page = (tmp_path / "out" / PAGE).read_text()
    for words in (
        "trained on 2 of these 6",
        "1 more of the photographs",
        "eye1 = eye2",
        f"{found.figures['quadratic_kappa'].value:.4f}",
        "Against other@1.0.0",
        "Neo &amp; co",
        "counted most",
        "With 6 photographs an interval is no more than a hint",
        "<dt>Quadratic kappa</dt>",
    ):
        assert words in page, words
    assert HOSTILE not in page
    assert page.count('class="pair"') == 3
    cells = [count for row in found.confusion for count in row]
    assert page.count("background: rgba") == len(cells) == 9
    document = json.loads((tmp_path / "out" / DOCUMENT).read_text())
    assert not schema.findings(document, schema.ASSESSMENT)
    assert page == again(tmp_path / "again", found, labels)


def again(folder: Path, found: Assessment, labels: LabelSet) -> str:
    write_gradesheet(folder, found, labels=labels)
    return (folder / PAGE).read_text()


def test_findings_have_no_confusion(
    made: Callable[..., tuple[Assessment, LabelSet]], tmp_path: Path
) -> None:
    found, labels = made(
        "he",
        "ex",
        scale="multilabel",
        activation="sigmoid",
        classes=("he", "ex"),
        method="embedding",
    )
    page = again(tmp_path / "out", found, labels)
    assert 'class="confusion"' not in page
    assert "AUPRC" in page
    assert "counted most" not in page
    assert "each finding was right" in page
