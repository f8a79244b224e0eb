"""The report: complete, self-contained, and deaf to what strangers write into manifests."""

import base64
import io
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graders import GRADED
from PIL import Image
from support_core import manifest

from retq_hub import registry
from retq_hub.errors import StorageError
from retq_hub.kinds import CLASSIFICATION, TEXT, Similarity
from retq_hub.manifest import Head, Licence, QueryManifest
from retq_hub.report import write_report
from retq_hub.result import Classification, Result, Segmentation, ZeroShot

IMAGE = Image.new("RGB", (160, 120), (150, 60, 40))
BACKBONE = registry.backbone_spec("dinov2-small-saliency")
HOSTILE = "<script>alert('x')</script><img src=https://evil.example/x onerror=alert(1)>"
BLOCKS = {"dd", "div", "dt", "h2", "p", "small", "td", "th"}
VOID = {"br", "circle", "img", "line", "meta", "path", "polyline", "rect"}


class Page(HTMLParser):
    """Reads a page: its elements with their attributes, and its text; checks the nesting."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in BLOCKS:
            self.text += " "
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


def seen(made: QueryManifest | None = None, *, peak: float = 12) -> Segmentation:
    """A disc in the middle, ``peak`` above the background's -6."""
    made = made or manifest()
    y, x = (np.mgrid[:20, :20] + 0.5) / 20
    disc = peak * np.exp(-((x - 0.5) ** 2 + (y - 0.5) ** 2) / 0.02) - 6
    logits = np.repeat(disc[None], len(made.targets), axis=0).astype(np.float32)
    return Segmentation(logits=logits, size=IMAGE.size, manifest=made)


def written(path: Path, found: dict[str, Segmentation], **changes: Any) -> str:
    given: dict[str, Any] = {
        "title": "An eye",
        "image": IMAGE,
        "image_name": "eye.jpg",
        "result": Result(found, embedding=None),
        "backbone": BACKBONE,
    }
    write_report(path / "report.html", **{**given, **changes})
    return (path / "report.html").read_text(encoding="utf-8")


def page(path: Path, found: dict[str, Segmentation], **changes: Any) -> Page:
    return Page(written(path, found, **changes))


def test_the_page_says_what_it_is(tmp_path: Path):
    read = page(tmp_path, {"disc": seen()})
    assert read.all("html") == [{"lang": "en"}]
    assert len(read.all("h1")) == len(read.all("main")) == len(read.all("title")) == 1
    assert "An eye" in read.words
    assert "eye.jpg, 160 \u00d7 120 pixels" in read.words
    assert read.words.count("Research software, not a medical device: not for diagnosis") == 1


def test_every_query_has_its_row_and_its_section(tmp_path: Path):
    found = {name: seen() for name in ("disc", "ridge", "lesions")}
    read = page(tmp_path, found)
    anchors = [one["href"] for one in read.all("a") if (one["href"] or "").startswith("#")]
    headings = [f"#{one['id']}" for one in read.all("h2") if "id" in one]
    assert anchors == ["#query-1", "#query-2", "#query-3"] == headings[1:4]
    for name in found:
        assert read.words.count(name) >= 2
    assert len(read.all("img")) == 2 + 2 * 3
    assert len({one["fill"] for one in read.all("rect")}) == 3


def test_a_section_says_what_was_found_where_it_comes_from_and_how_well_it_did(tmp_path: Path):
    one = seen()
    words = page(tmp_path, {"disc": one}).words
    for expected in (
        f"{one.area * 100:.2f} % of the picture is marked as optic disc.",
        "Highest probability 0.99",
        "Threshold 0.25",
        "optic disc (SNOMED CT 81016008, Optic disc)",
        f"1.2.3, digest {one.manifest.digest[:12]}",
        "Data set Made up DOI 10.1000/182 Split train Photographs 2; the target is drawn in 1",
        "Creative Commons Zero; commercial use allowed",
        "made-up, split test, 2 photographs; Dice at threshold 0.25.",
        "AUROC 0.5000 0.3750\u20130.6250 0.2500 0.7500",
        "Dice 0.5000 0.3750\u20130.6250 0.2500 0.7500",
        "It marks nothing in particular.",
    ):
        assert expected in words


def test_a_query_that_marks_nothing_is_said_to_and_no_more(tmp_path: Path):
    words = page(tmp_path, {"disc": seen(peak=1)}).words
    assert "The same: no query marks anything." in words
    assert "Nothing is marked as optic disc. That does not rule it out." in words
    assert "nowhere is it above the threshold" in words
    assert "0.00 %" not in words
    both = page(tmp_path, {"disc": seen(peak=1), "other": seen()}).words
    assert "The same, with what each query marks outlined" in both


def test_missing_figures_and_figures_of_the_training_data_are_owned_up_to(tmp_path: Path):
    bare = manifest(metrics=())
    words = page(tmp_path, {"disc": seen(bare)}).words
    assert "Not measured: how often this version is right is not known." in words
    (measured,) = manifest().metrics
    again = replace(measured, split_digest=manifest().data[0].split_digest)
    warning = "It was made from these very photographs."
    assert warning in page(tmp_path, {"disc": seen(manifest(metrics=(again,)))}).words
    assert warning not in page(tmp_path, {"disc": seen()}).words


def test_another_backbone_than_the_querys_own_is_pointed_out(tmp_path: Path):
    reference = replace(manifest().backbone, weights_digest=BACKBONE.weights_digest or "")
    warning = "other weights than those used here"
    assert warning in page(tmp_path, {"disc": seen()}).words
    assert warning not in page(tmp_path, {"disc": seen(manifest(backbone=reference))}).words


def test_the_page_tells_how_to_do_it_again(tmp_path: Path):
    words = page(tmp_path, {"disc": seen()}, image_name="an eye's.jpg").words
    assert """retq segment 'an eye'"'"'s.jpg' -q small-disc@1.2.3 -o out/""" in words
    assert "Pipeline.from_pretrained(queries=['small-disc@1.2.3'])" in words
    assert 'pipe("an eye\'s.jpg")' in words
    assert (BACKBONE.weights_digest or "-") in words


def test_the_page_loads_nothing_and_runs_nothing(tmp_path: Path):
    text = written(tmp_path, {"disc": seen()})
    read = Page(text)
    assert all((one["src"] or "").startswith("data:image/") for one in read.all("img"))
    tags = {tag for tag, _ in read.elements}
    assert not tags & {"script", "link", "iframe", "object", "embed", "base", "form", "video"}
    style = text.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    (policy,) = [one for one in read.all("meta") if one.get("http-equiv")]
    assert policy["content"].startswith("default-src 'none'; img-src data:")
    for link in read.all("a"):
        assert (link["href"] or "").startswith(("#", "https://doi.org/", "http://snomed.info/id/"))


def test_every_picture_opens_and_says_what_it_shows(tmp_path: Path):
    wide = Image.new("RGB", (2000, 1000), (150, 60, 40))
    read = page(tmp_path, {"disc": seen()}, image=wide)
    sizes = []
    for one in read.all("img"):
        assert one["alt"]
        coded = (one["src"] or "").partition("base64,")[2]
        sizes.append(Image.open(io.BytesIO(base64.b64decode(coded))).size)
    assert sizes == [(1200, 600), (1200, 600), (900, 450), (256, 1)]


def test_what_strangers_write_stays_text(tmp_path: Path):
    (target,), (data,), (measured,) = manifest().targets, manifest().data, manifest().metrics
    bad = Licence(id=HOSTILE, name=HOSTILE, url="javascript:alert(1)")
    made = replace(
        manifest(),
        name=HOSTILE,
        summary=HOSTILE,
        limits=HOSTILE,
        intended_use=HOSTILE,
        authors=(HOSTILE,),
        licence=bad,
        targets=(replace(target, label=HOSTILE),),
        data=(replace(data, title=HOSTILE, doi=HOSTILE, split=HOSTILE, citation=HOSTILE),),
        metrics=(replace(measured, dataset=HOSTILE, split=HOSTILE),),
        head=replace(manifest().head, threshold_choice=HOSTILE),
        backbone=replace(manifest().backbone, id=HOSTILE),
        version=HOSTILE,
    )
    text = written(tmp_path, {HOSTILE: seen(made)}, title=HOSTILE, image_name=HOSTILE)
    read = Page(text)
    assert "<script" not in text
    assert "evil.example" not in "".join(str(one.get("src")) for one in read.all("img"))
    assert not any(name.startswith("on") for _, attributes in read.elements for name in attributes)
    assert not any("script" in (link["href"] or "") for link in read.all("a"))
    assert read.words.count("alert('x')") > 15
    assert HOSTILE in unescape(read.text)


def test_a_files_name_that_is_no_text_is_written_with_question_marks(tmp_path: Path):
    assert "eye-?.jpg" in page(tmp_path, {"disc": seen()}, image_name="eye-\udcff.jpg").words


def test_several_targets_share_a_section(tmp_path: Path):
    read = page(tmp_path, {"two": seen(manifest(targets=2))})
    assert "Threshold 0.25, 0.25" in read.words
    assert len([one for one in read.all("span") if one.get("class") == "tick"]) == 2


def test_a_photograph_of_any_mode_is_taken(tmp_path: Path):
    assert "160 \u00d7 120" in page(tmp_path, {"disc": seen()}, image=IMAGE.convert("L")).words


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path):
    assert written(tmp_path, {"disc": seen()}) == written(tmp_path, {"disc": seen()})


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        written(tmp_path / "file" / "below", {"disc": seen()})


@pytest.mark.parametrize(
    ("logit", "said"), [(-20, "under 0.001"), (0, "0.500"), (9, "over 0.999"), (40, "1.000")]
)
def test_probabilities_are_not_rounded_to_certainty(tmp_path: Path, logit: float, said: str):
    flat = np.full((1, 3, 3), logit, dtype=np.float32)
    found = Segmentation(logits=flat, size=IMAGE.size, manifest=manifest())
    assert f"Highest probability {said} Threshold" in page(tmp_path, {"disc": found}).words


def graded(made: QueryManifest, *, looks: bool) -> Classification:
    weights = np.zeros((1, 4, 4), np.float32)
    weights[0, 1, 2] = 1
    return Classification(
        scores=np.array([0, 2], np.float32),
        size=IMAGE.size,
        manifest=made,
        weights=weights if looks else None,
    )


def test_gradings_stand_beside_masks_with_bars_and_attention(tmp_path: Path):
    head = Head(activation="softmax", thresholds=(), threshold_choice="x")
    made = manifest(targets=2, kind=CLASSIFICATION, head=head, metrics=(), graded=(GRADED,))
    found = {"disc": seen(), "looks": graded(made, looks=True), "whole": graded(made, looks=False)}
    read = page(tmp_path, found)
    assert len(read.all("img")) == 2 + 2 + 2
    assert read.words.count("Optic disc, with a probability of 0.881.") == 2
    assert "counted most" in read.words
    assert "Quadratic kappa 0.6250" in read.words
    assert "What was marked" in read.words
    alone = page(tmp_path, {"whole": graded(made, looks=False)})
    assert len(alone.all("img")) == 1
    assert "What was said" in alone.words
    assert "Marked area" not in alone.words


def test_texts_are_shown_target_by_target(tmp_path: Path):
    head = Head(
        activation="softmax",
        thresholds=(0.5, 0.5),
        threshold_choice="x",
        background=False,
        similarity=Similarity(scale=10, per="token"),
    )
    made = manifest(targets=2, kind=TEXT, head=head, data=(), metrics=())
    logits = np.random.default_rng(0).normal(0, 3, (2, 6, 6)).astype(np.float32)
    scores = np.array([0, 2], np.float32)
    one = ZeroShot(logits=logits, size=IMAGE.size, manifest=made, scores=scores)
    words = page(tmp_path, {"texts": one}).words
    assert "Where each text is the most likely one and above its threshold." in words
    assert "The photograph as a whole" in words
    assert "Threshold 0.5, 0.5" in words
