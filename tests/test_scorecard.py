"""The page of an evaluation: complete, self-contained, deaf to what strangers write."""

import base64
import io
import json
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
import scorecards
from PIL import Image
from support_core import assert_clear
from test_report import HOSTILE, Page

from retq_hub import schema
from retq_hub.dataset import Dataset, Sample
from retq_hub.errors import ImageError, StorageError
from retq_hub.figures import Evaluation
from retq_hub.manifest import Licence, Target
from retq_hub.scorecard import DOCUMENT, PAGE, write_scorecard
from retq_hub.storage import check_writable


def split(**changes: object) -> Dataset:
    whole = Dataset(
        id="eyes",
        title="Some eyes",
        licence=Licence(id="CC0-1.0", commercial_use=True),
        target=Target(name="disc-0", label="optic disc"),
        split="test",
        samples=(Sample("eye0", Path("eye.png"), ()),),
        doi="10.1000/182",
    )
    return replace(whole, **changes)


def written(folder: Path, found: Evaluation, dataset: Dataset | None = None) -> str:
    write_scorecard(folder / "out", found, dataset=dataset or split())
    return (folder / "out" / PAGE).read_text(encoding="utf-8")


def page(folder: Path, found: Evaluation, dataset: Dataset | None = None) -> Page:
    return Page(written(folder, found, dataset))


def test_the_page_says_what_was_evaluated_on_what(tmp_path: Path):
    found = scorecards.evaluation(folder=tmp_path)
    read = page(tmp_path, found)
    assert len(read.all("h1")) == len(read.all("main")) == 1
    for expected in (
        "small-disc@1.2.3 on Some eyes",
        "Split test: 3 photographs",
        "Dice per photograph 0.750 0.700\u20130.800, mean of 3 photographs",
        "Lesion sensitivity 1.000 1.000\u20131.000, mean at 1/8 to 8 false positives a photograph",
        f"AUPRC {found.pooled.auprc:.4f}",
        f"Expected calibration error {found.pooled.calibration_error:.4f}",
        "of 1. Mean sensitivity 1.0000",
        "Best: eye2, Dice 0.500",
        "Median: eye1, Dice 0.250",
        "Worst: eye0, Dice 0.000",
        f"1.2.3, digest {found.manifest.digest[:12]}",
        "10.1000/182",
    ):
        assert expected in read.words
    assert read.words.count("not a medical device") == 1
    assert "By camera" not in read.words
    assert "Against" not in read.words
    headings = [one["id"] for one in read.all("h2")]
    assert headings == ["overview", "curves", "examples", "every", "about"]


def test_cameras_and_another_query_have_their_sections(tmp_path: Path):
    found = scorecards.evaluation(groups=("Neo", "Neo", "RetCam"), folder=tmp_path)
    read = page(tmp_path, replace(found, against=scorecards.against()))
    assert "By camera or site" in read.words
    assert "Against other@2.0.0" in read.words
    strips = [one for one in read.all("svg") if one.get("class") == "strip"]
    assert len(strips) == 2


def test_images_that_were_trained_on_are_owned_up_to(tmp_path: Path):
    found = scorecards.evaluation(folder=tmp_path, n_trained_on=2)
    assert "trained on 2 of these 3 photographs" in page(tmp_path, found).words


def test_the_page_loads_nothing_and_runs_nothing(tmp_path: Path):
    text = written(tmp_path, scorecards.evaluation(folder=tmp_path))
    read = Page(text)
    assert all((one["src"] or "").startswith("data:image/") for one in read.all("img"))
    assert not {tag for tag, _ in read.elements} & {"script", "link", "iframe", "object", "form"}
    assert "url(" not in text.split("<style>")[1].split("</style>")[0]
    sizes = []
    for one in read.all("img"):
        assert one["alt"]
        coded = (one["src"] or "").partition("base64,")[2]
        sizes.append(Image.open(io.BytesIO(base64.b64decode(coded))).size)
    assert sizes == [(800, 400)] * 6
    for plot in read.all("svg"):
        assert plot.get("aria-label") or plot.get("aria-hidden")


def test_what_strangers_write_stays_text(tmp_path: Path):
    found = scorecards.evaluation(
        folder=tmp_path, names=(HOSTILE, HOSTILE, HOSTILE), groups=(HOSTILE, HOSTILE, "")
    )
    made = replace(
        found.manifest,
        name=HOSTILE,
        summary=HOSTILE,
        limits=HOSTILE,
        authors=(HOSTILE,),
        data=(replace(found.manifest.data[0], title=HOSTILE),),
    )
    other = replace(scorecards.against(), query=HOSTILE)
    dataset = split(title=HOSTILE, citation=HOSTILE, caveat=HOSTILE, doi=HOSTILE)
    found = replace(found, manifest=made, split=HOSTILE, against=other)
    text = written(tmp_path, found, dataset)
    read = Page(text)
    assert "<script" not in text
    assert not any(name.startswith("on") for _, attributes in read.elements for name in attributes)
    assert HOSTILE in unescape(read.text)


def test_the_document_beside_it_fits_its_schema(tmp_path: Path):
    found = scorecards.evaluation(groups=("Neo", "Neo", ""), folder=tmp_path)
    found = replace(found, against=scorecards.against())
    written(tmp_path, found)
    document = json.loads((tmp_path / "out" / DOCUMENT).read_text())
    assert schema.findings(document, schema.EVALUATION) == []
    assert document["against"]["differences"]["dice"]["wins"] == 2
    assert set(document["groups"]) == {"Neo", ""}


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path):
    found = scorecards.evaluation(folder=tmp_path)
    assert written(tmp_path, found) == written(tmp_path, found)


def test_a_photograph_that_is_gone_is_named(tmp_path: Path):
    found = scorecards.evaluation(folder=tmp_path)
    (tmp_path / "eye.png").unlink()
    with pytest.raises(ImageError, match=r"eye\.png"):
        written(tmp_path, found)


def test_a_folder_that_cannot_be_written_is_noticed_beforehand(tmp_path: Path):
    check_writable(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError) as caught:
        check_writable(tmp_path / "file" / "below")
    assert_clear(caught.value, 7, "cannot write", "file/below")
