import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from eyes import draw, make_folders
from PIL import Image

from retq_hub.engines.eager import TorchEngine
from retq_hub.errors import NotFoundError, UsageError
from retq_hub.pipeline import Pipeline
from retq_hub.progress import Silent
from retq_hub.segment import Options, find_images, segment

T = TypeVar("T")


@pytest.fixture
def pipeline(
    tmp_path: Path, cache: Path, registry_folder: Path, make_query: Callable[..., Path]
) -> Pipeline:
    two = make_query(tmp_path / "two", name="two", targets=2, layers=(0, 2), seed=3)
    return Pipeline.from_pretrained(["tiny-disc", two])


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return make_folders(tmp_path / "data", 3)[0]


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_masks_have_the_size_of_their_image_and_equal_the_pipeline(
    pipeline: Pipeline, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = segment(pipeline, find_images([str(images)]), out)
    assert (done.done, done.skipped, len(done.rows)) == (3, 0, 9)
    mask = pixels(out / "eye1_tiny-disc_mask.png")
    found = pipeline(images / "eye1.png")["tiny-disc"]
    assert mask.shape == (96, 120)
    assert set(np.unique(mask)) <= {0, 255}
    assert ((mask == 255) == found.mask).all()
    assert (out / "eye1_two_t0_mask.png").is_file()
    assert pixels(out / "eye1_overlay.jpg").shape[1] >= 120


@pytest.mark.parametrize("kind", ["npy", "png"])
def test_probabilities_are_written_on_request(
    kind: str, pipeline: Pipeline, images: Path, tmp_path: Path
) -> None:
    options = Options(probability=kind, overlays=False)
    segment(pipeline, find_images([str(images / "eye0.png")]), tmp_path / "out", options=options)
    path = tmp_path / f"out/eye0_tiny-disc_probability.{kind}"
    stored = np.load(path) if kind == "npy" else pixels(path) / 65535
    wanted = pipeline(images / "eye0.png")["tiny-disc"].probability
    assert np.abs(stored - wanted).max() < 1e-4
    assert not list((tmp_path / "out").glob("*overlay*"))


def test_csv_and_jsonl_say_the_same(pipeline: Pipeline, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    segment(pipeline, find_images([str(images)]), out)
    with (out / "summary.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    lines = [json.loads(line) for line in (out / "summary.jsonl").read_text().splitlines()]
    assert [row["mask"] for row in table] == [line["mask"] for line in lines]
    assert all(0 <= float(row["area"]) <= 1 for row in table)


def test_the_centroid_is_that_of_the_largest_component(
    pipeline: Pipeline, images: Path, tmp_path: Path
) -> None:
    done = segment(pipeline, find_images([str(images)]), tmp_path / "out")
    for row in done.rows:
        mask = pixels(tmp_path / "out" / row.mask) > 0
        if not mask.any():
            assert row.centroid_x is None
            continue
        from scipy import ndimage

        labels, _ = ndimage.label(mask, np.ones((3, 3)))
        largest = labels == np.bincount(labels[mask]).argmax()
        y, x = ndimage.center_of_mass(largest)
        assert (row.centroid_x, row.centroid_y) == pytest.approx((x, y), abs=0.06)


def test_a_second_run_does_only_what_is_missing(
    pipeline: Pipeline, images: Path, tmp_path: Path
) -> None:
    out, jobs = tmp_path / "out", find_images([str(images)])
    segment(pipeline, jobs, out)
    (out / "eye2_tiny-disc_mask.png").unlink()
    journal = out / "summary.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(True)[3:]) + '{"image": "cut')
    again = segment(pipeline, jobs, out)
    assert (again.done, again.skipped) == (2, 1)
    assert len(again.rows) == 9
    assert segment(pipeline, jobs, out).done == 0
    assert segment(pipeline, jobs, out, options=Options(force=True)).done == 3


def test_another_query_of_the_same_name_is_done_again(
    pipeline: Pipeline, images: Path, tmp_path: Path, make_query: Callable[..., Path]
) -> None:
    jobs = find_images([str(images)])
    segment(pipeline, jobs, tmp_path / "out")
    other = make_query(tmp_path / "other", name="tiny-disc", version="2.0.0", seed=9)
    changed = Pipeline.from_pretrained([other], backbone=pipeline.backbone)
    assert segment(changed, jobs, tmp_path / "out").done == 3


def test_what_another_engine_said_is_done_again(
    pipeline: Pipeline, images: Path, tmp_path: Path
) -> None:
    jobs = find_images([str(images)])
    segment(pipeline, jobs, tmp_path / "out")
    backbone = pipeline.backbone
    engine = TorchEngine(backbone.graphs.encoder(), precision="bfloat16")
    half = Pipeline(backbone=backbone.with_engine(engine), queries=pipeline.queries)
    again = segment(half, jobs, tmp_path / "out")
    assert again.done == 3
    assert {row.engine for row in again.rows} == {"torch bfloat16"}


def test_bad_images_do_not_stop_the_good_ones(
    pipeline: Pipeline, images: Path, tmp_path: Path
) -> None:
    (images / "broken.png").write_bytes((images / "eye0.png").read_bytes()[:200])
    (images / "text.jpg").write_text("no image")
    done = segment(pipeline, find_images([str(images)]), tmp_path / "out")
    assert done.done == 3
    assert {Path(name).name for name in done.failed} == {"broken.png", "text.jpg"}
    assert all("\n" not in str(error) and error.hint for error in done.failed.values())


def test_names_are_kept_apart(tmp_path: Path, pipeline: Pipeline) -> None:
    folder = tmp_path / "in"
    (folder / "left").mkdir(parents=True)
    image, _ = draw(0)
    for name in ("eye.png", "eye.jpg", "left/eye.png"):
        image.save(folder / name)
    stems = {job.stem for job in find_images([str(folder)])}
    assert stems == {"eye.png", "eye.jpg", "left/eye"}
    done = segment(pipeline, find_images([str(folder)]), tmp_path / "out")
    assert len({row.mask for row in done.rows}) == 9
    assert (tmp_path / "out/left/eye_overlay.jpg").is_file()


def test_patterns_are_expanded_and_missing_files_named(images: Path) -> None:
    assert len(find_images([str(images / "eye[01].png")])) == 2
    for wrong in (images / "nothing.png", images / "*.bmp"):
        with pytest.raises(NotFoundError, match="there is no image"):
            find_images([str(wrong)])


def test_images_of_one_name_from_two_folders_are_kept_apart(
    tmp_path: Path, pipeline: Pipeline
) -> None:
    for number, folder in enumerate(("a", "b")):
        (tmp_path / folder).mkdir()
        draw(number)[0].save(tmp_path / folder / "eye.png")
    jobs = find_images([str(tmp_path / "a"), str(tmp_path / "b")])
    done = segment(pipeline, jobs, tmp_path / "out")
    assert len({row.mask for row in done.rows}) == 6
    segment(pipeline, find_images([str(tmp_path / "a")]), tmp_path / "single")
    with pytest.raises(UsageError, match="results of another eye"):
        segment(pipeline, find_images([str(tmp_path / "b")]), tmp_path / "single")


def test_a_changed_photograph_is_done_again(
    pipeline: Pipeline, images: Path, tmp_path: Path
) -> None:
    jobs = find_images([str(images)])
    segment(pipeline, jobs, tmp_path / "out")
    draw(77)[0].save(images / "eye1.png")
    assert segment(pipeline, jobs, tmp_path / "out").done == 1


def test_results_below_the_input_are_no_input(pipeline: Pipeline, images: Path) -> None:
    for expected in (3, 0):
        jobs = find_images([str(images)])
        assert segment(pipeline, jobs, images / "out").done == expected


def test_a_name_that_is_not_utf_8_does_no_harm(pipeline: Pipeline, tmp_path: Path) -> None:
    name = tmp_path / os.fsdecode(b"M\xfcller.png")
    draw(0)[0].save(name)
    done = segment(pipeline, find_images([str(name)]), tmp_path / "out")
    assert done.done == 1
    assert b"M\xfcller" in (tmp_path / "out/summary.csv").read_bytes()
    assert segment(pipeline, find_images([str(name)]), tmp_path / "out").skipped == 1


def test_images_in_the_output_folder_are_not_passed_over_in_silence(
    pipeline: Pipeline, images: Path
) -> None:
    with pytest.raises(UsageError, match="the images lie in the output folder"):
        segment(pipeline, find_images([str(images)]), images)


class Interrupted(Silent):
    """A user who presses Ctrl-C after some images."""

    def __init__(self, after: int) -> None:
        self.after = after

    def steps(self, items: Iterable[T], *, what: str, total: int | None = None) -> Iterator[T]:
        for number, item in enumerate(items):
            yield item
            if number + 1 == self.after:
                raise KeyboardInterrupt


def test_an_interrupted_run_keeps_what_is_done_and_the_next_carries_on(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    images, _ = make_folders(tmp_path / "many", 12)
    jobs, out = find_images([str(images)]), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        segment(pipeline, jobs, out, progress=Interrupted(4))
    lines = (out / "summary.jsonl").read_text().splitlines()
    named = [json.loads(line)["image"] for line in lines]
    assert list(dict.fromkeys(named)) == [str(job.image) for job in jobs[:4]], "in their order"
    assert not list(out.rglob("*.part"))
    again = segment(pipeline, jobs, out)
    assert (again.skipped, again.done) == (4, 8)
    whole = segment(pipeline, jobs, tmp_path / "whole")
    assert [replace(row, image="") for row in again.rows] == [
        replace(row, image="") for row in whole.rows
    ]
    for file in (tmp_path / "whole").glob("*.png"):
        assert (out / file.name).read_bytes() == file.read_bytes()


def test_photographs_are_decoded_at_a_fraction_where_that_is_asked_for(
    tmp_path: Path, pipeline: Pipeline
) -> None:
    photograph = tmp_path / "eye.jpg"
    draw(0)[0].resize((960, 768)).save(photograph, quality=95)
    scaled = Pipeline(backbone=pipeline.backbone.with_decoding("scaled"), queries=pipeline.queries)
    assert len(scaled.notes) == len(pipeline.queries)
    assert "full decoding" in scaled.notes[0]
    out = tmp_path / "out"
    full = segment(pipeline, find_images([str(photograph)]), out)
    done = segment(scaled, find_images([str(photograph)]), out)
    assert done.done == 1, "another preprocessing digest is another result"
    assert segment(scaled, find_images([str(photograph)]), out).skipped == 1
    digests = {row.preprocessing_digest for row in done.rows}
    assert digests == {scaled.backbone.spec.preprocessing_digest}
    assert digests != {row.preprocessing_digest for row in full.rows}
    assert pixels(out / "eye_tiny-disc_mask.png").shape == (768, 960)
    for one, other in zip(done.rows, full.rows, strict=True):
        assert one.area == pytest.approx(other.area, abs=0.01)
