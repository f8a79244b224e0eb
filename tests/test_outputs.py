"""Gradings beside masks: rows, files, and what a second run goes by."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from eyes import make_folders
from graders import SIGNS, make_grader, make_text
from kinds import texted
from PIL import Image
from tiny import Tiny

from retq_hub.errors import UsageError
from retq_hub.outputs import Job, Options, wanted
from retq_hub.pipeline import Pipeline
from retq_hub.segment import find_images, segment
from retq_hub.summary import Row, as_lines, read_lines, told

NEWER = ("probability", "predicted", "attention", "overlay")


@pytest.fixture
def pipeline(tmp_path: Path, tiny: Tiny, make_query: Callable[..., Path]) -> Pipeline:
    whole = make_grader(tmp_path / "grade", backbone=tiny.backbone, name="grade")
    signs = make_grader(
        tmp_path / "signs",
        backbone=tiny.backbone,
        name="signs",
        pool="attention",
        activation="sigmoid",
        labels=SIGNS,
        seed=4,
    )
    disc = make_query(tmp_path / "disc", name="disc")
    return Pipeline.from_pretrained([disc, whole, signs], backbone=tiny.backbone)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return make_folders(tmp_path / "data", 2)[0]


def test_rows_say_of_each_target_how_likely_it_is(
    pipeline: Pipeline, images: Path, tmp_path: Path
) -> None:
    done = segment(pipeline, find_images([str(images / "eye1.png")]), tmp_path / "out")
    found = pipeline(images / "eye1.png")
    rows = [row for row in done.rows if row.query == "grade"]
    assert [row.probability for row in rows] == pytest.approx(
        found["grade"].probabilities.tolist(), abs=1e-5
    )
    assert [row.target for row in rows if row.predicted] == [found["grade"].prediction]
    assert all(row.mask is row.area is row.threshold is row.attention is None for row in rows)
    signs = [row for row in done.rows if row.query == "signs"]
    assert tuple(row.target for row in signs if row.predicted) == found["signs"].prediction
    assert {row.threshold for row in signs} == {0.5}
    (disc,) = (row for row in done.rows if row.query == "disc")
    assert disc.mask == "eye1_disc_mask.png"
    assert disc.probability is disc.predicted is None


def test_where_a_query_looked_is_written_and_drawn(
    pipeline: Pipeline, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    segment(pipeline, find_images([str(images / "eye0.png")]), out)
    with Image.open(out / "eye0_signs_attention.png") as image:
        stored = np.asarray(image) / 65535
    found = pipeline(images / "eye0.png")["signs"]
    assert stored.shape == found.attention.shape == (96, 120)
    assert np.corrcoef(stored.ravel(), found.attention.ravel())[0, 1] > 0.999
    assert {path.name for path in out.glob("*.jpg")} == {
        "eye0_overlay.jpg",
        "eye0_signs_attention.jpg",
    }
    segment(
        pipeline,
        find_images([str(images / "eye0.png")]),
        tmp_path / "plain",
        options=Options(overlays=False),
    )
    assert not list((tmp_path / "plain").glob("*.jpg"))


def test_the_table_and_the_lines_stay_readable(
    pipeline: Pipeline, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    segment(pipeline, find_images([str(images)]), out)
    with (out / "summary.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    lines = [json.loads(line) for line in (out / "summary.jsonl").read_text().splitlines()]
    assert len(table) == len(lines) == 2 * (1 + 5 + 3)
    assert [row["predicted"] for row in table] == [
        "" if one["predicted"] is None else str(one["predicted"]) for one in lines
    ]
    assert sum(row["query"] == "grade" and row["predicted"] == "True" for row in table) == 2


def test_a_second_run_does_what_is_missing(
    pipeline: Pipeline, images: Path, tmp_path: Path
) -> None:
    out, jobs = tmp_path / "out", find_images([str(images)])
    segment(pipeline, jobs, out)
    assert segment(pipeline, jobs, out).done == 0
    (out / "eye1_signs_attention.png").unlink()
    assert segment(pipeline, jobs, out).done == 1
    (out / "eye0_signs_attention.jpg").unlink()
    assert segment(pipeline, jobs, out).done == 1


def test_a_journal_of_before_gradings_is_read(tmp_path: Path) -> None:
    row = Row(
        image="eye.png",
        query="disc",
        target="disc",
        version="1.0.0",
        digest="a",
        weights_digest="b",
        image_sha256="c",
        width=2,
        height=1,
        area=0.5,
        centroid_x=0.0,
        centroid_y=0.0,
        max_probability=0.9,
        threshold=0.5,
        mask="eye_disc_mask.png",
    )
    line = json.loads(as_lines([row]))
    older = {key: line[key] for key in line if key not in NEWER}
    (tmp_path / "summary.jsonl").write_text(json.dumps(older) + "\n")
    assert read_lines(tmp_path / "summary.jsonl", Row) == [row]
    assert wanted(Job(image=Path("eye.png"), stem="eye"), [row], Options(probability="npy")) == {
        "eye_overlay.jpg",
        "eye_disc_mask.png",
        "eye_disc_probability.npy",
    }


def test_texts_have_rows_with_masks_and_with_probabilities(images: Path, tmp_path: Path) -> None:
    backbone = texted()
    texts = make_text(tmp_path / "texts", backbone=backbone, name="texts")
    pipeline = Pipeline.from_pretrained([texts], backbone=backbone)
    done = segment(pipeline, find_images([str(images / "eye0.png")]), tmp_path / "out")
    assert len(done.rows) == 3
    assert all((tmp_path / "out" / row.mask).is_file() for row in done.rows)
    assert sum(row.probability for row in done.rows) == pytest.approx(1, abs=1e-4)
    lines = told(done.rows)
    assert [line.area is None for line in lines] == [False] * 3 + [True]
    assert lines[-1].target == pipeline(images / "eye0.png")["texts"].prediction


def test_people_are_told_what_is_said_and_that_nothing_is() -> None:
    def row(target: str, probability: float, *, predicted: bool) -> Row:
        nothing = dict.fromkeys(
            ("area", "centroid_x", "centroid_y", "max_probability", "threshold", "mask")
        )
        texts = dict.fromkeys(("version", "digest", "weights_digest", "image_sha256"), "x")
        return Row(
            **texts,
            **nothing,
            image="eye.png",
            query="signs",
            target=target,
            width=1,
            height=1,
            probability=probability,
            predicted=predicted,
        )

    both = [row("drusen", 0.7, predicted=True), row("spots", 0.8, predicted=True)]
    assert [(one.target, one.probability) for one in told(both)] == [
        ("drusen", 0.7),
        ("spots", 0.8),
    ]
    neither = [row("drusen", 0.1, predicted=False), row("spots", 0.2, predicted=False)]
    assert [(one.target, one.probability) for one in told(neither)] == [("none of them", 0.2)]


def test_the_picture_of_another_image_of_that_name_is_not_written_over(
    images: Path, tmp_path: Path, tiny: Tiny
) -> None:
    grade = make_grader(tmp_path / "grade", backbone=tiny.backbone)
    pipeline = Pipeline.from_pretrained([grade], backbone=tiny.backbone)
    segment(pipeline, find_images([str(images / "eye0.png")]), tmp_path / "out")
    other = make_folders(tmp_path / "more", 1)[0] / "eye0.png"
    with pytest.raises(UsageError, match="results of another eye0"):
        segment(pipeline, find_images([str(other)]), tmp_path / "out")


def test_rows_alone_leave_no_files_and_say_the_same(
    pipeline: Pipeline, images: Path, tmp_path: Path
) -> None:
    jobs, out = find_images([str(images)]), tmp_path / "out"
    bare = Options(masks=False, overlays=False)
    alone = segment(pipeline, jobs, out, options=bare)
    assert {path.name for path in out.iterdir()} == {"summary.csv", "summary.jsonl"}
    assert all(row.mask is row.attention is row.overlay is None for row in alone.rows)
    assert "disc" in {line.query for line in told(alone.rows)}
    assert segment(pipeline, jobs, out, options=bare).skipped == 2
    full = segment(pipeline, jobs, out)
    assert (full.done, full.skipped) == (2, 0), "masks and attention were not there yet"
    named = [replace(row, mask=None, attention=None, overlay=None) for row in full.rows]
    assert named == list(alone.rows)
    assert segment(pipeline, jobs, out, options=bare).skipped == 2


def test_a_run_without_pictures_is_done_again_for_attention_alone(
    pipeline: Pipeline, images: Path, tmp_path: Path
) -> None:
    signs = Pipeline(backbone=pipeline.backbone, queries={"signs": pipeline.queries["signs"]})
    jobs, out = find_images([str(images)]), tmp_path / "out"
    plain = Options(overlays=False)
    segment(signs, jobs, out, options=replace(plain, masks=False))
    assert segment(signs, jobs, out, options=plain).done == 2
    assert (out / "eye0_signs_attention.png").is_file()
    assert segment(signs, jobs, out, options=plain).skipped == 2
