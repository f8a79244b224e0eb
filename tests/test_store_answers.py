"""A store segmented into a folder: the rows and files of the photographs' own run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from kinds import make_classification
from PIL import Image
from stores import eyes, make_store
from tiny import Tiny

from retq_hub.errors import UsageError
from retq_hub.pipeline import Pipeline
from retq_hub.segment import Options, find_images, segment
from retq_hub.store.answers import segment_store
from retq_hub.store.pipeline import StoredPipeline

SAID = ("area", "max_probability", "centroid_x", "centroid_y", "probability")


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    return eyes(tmp_path)


@pytest.fixture
def pipeline(tiny: Tiny, make_query: Callable[..., Path], tmp_path: Path) -> Pipeline:
    grade = make_classification(tmp_path / "grade", backbone=tiny.backbone, name="grade")
    queries = [make_query(tmp_path / "disc", name="disc"), grade]
    return Pipeline.from_pretrained(queries, backbone=tiny.backbone)


@pytest.fixture
def stored(pipeline: Pipeline, images: list[Path], tiny: Tiny, tmp_path: Path) -> StoredPipeline:
    store = make_store(tmp_path / "store", images, tiny.backbone, pipeline.needs)
    return StoredPipeline(store, pipeline.queries)


def test_rows_and_masks_are_those_of_the_photographs(
    pipeline: Pipeline, stored: StoredPipeline, images: list[Path], tmp_path: Path
) -> None:
    jobs = find_images([str(one) for one in images])
    wanted = segment(pipeline, jobs, tmp_path / "a", options=Options(overlays=False))
    found = segment_store(stored, tmp_path / "b", options=Options(probability="npy"))
    assert (found.done, found.skipped) == (3, 0)
    for ours, theirs in zip(found.rows, wanted.rows, strict=True):
        for name in ("image", "query", "target", "digest", "image_sha256", "mask", "attention"):
            assert getattr(ours, name) == getattr(theirs, name)
        for name in SAID:
            one, other = getattr(ours, name), getattr(theirs, name)
            assert one == pytest.approx(other, abs=0.2 if "centroid" in name else 2e-3)
        assert ours.engine == "torch float32, float16 tokens"
        if ours.mask:
            masks = [np.asarray(Image.open(tmp_path / way / ours.mask)) for way in "ab"]
            assert (masks[0] != masks[1]).mean() < 1e-3
    assert (tmp_path / "b" / "summary.csv").is_file()
    assert list((tmp_path / "b").glob("*_probability.npy"))


def test_areas_alone_write_no_files_and_say_the_same(
    stored: StoredPipeline, tmp_path: Path
) -> None:
    masks = segment_store(stored, tmp_path / "a")
    areas = segment_store(stored, tmp_path / "b", options=Options(masks=False))
    assert {one.name for one in (tmp_path / "b").iterdir()} == {"summary.csv", "summary.jsonl"}
    for ours, theirs in zip(areas.rows, masks.rows, strict=True):
        assert [getattr(ours, name) for name in SAID] == [getattr(theirs, name) for name in SAID]
        assert ours.mask is ours.attention is None


def test_a_second_run_carries_on(stored: StoredPipeline, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert segment_store(stored, out, options=Options(masks=False)).done == 3
    assert segment_store(stored, out, options=Options(masks=False)).skipped == 3
    assert segment_store(stored, out).done == 3
    assert segment_store(stored, out, options=Options(masks=False)).skipped == 3
    next(out.glob("*_mask.png")).unlink()
    again = segment_store(stored, out)
    assert (again.done, again.skipped, len(again.rows)) == (1, 2, 12)
    assert segment_store(stored, out, options=Options(force=True)).done == 3


def test_images_of_one_name_have_files_of_their_own(
    pipeline: Pipeline, tiny: Tiny, tmp_path: Path
) -> None:
    both = []
    for place in ("left", "right"):
        image = eyes(tmp_path / place, 1)[0]
        both.append(image)
        make_store(tmp_path / "store", [image], tiny.backbone, pipeline.needs)
    store = make_store(tmp_path / "store", both, tiny.backbone, pipeline.needs)
    found = segment_store(StoredPipeline(store, pipeline.queries), tmp_path / "out")
    assert len({row.mask for row in found.rows if row.mask}) == 2


def test_results_of_other_images_are_not_written_over(
    stored: StoredPipeline, pipeline: Pipeline, tmp_path: Path
) -> None:
    other = eyes(tmp_path / "other")
    jobs = find_images([str(one) for one in other])
    segment(pipeline, jobs, tmp_path / "out", options=Options(overlays=False))
    with pytest.raises(UsageError, match="results of another"):
        segment_store(stored, tmp_path / "out")
