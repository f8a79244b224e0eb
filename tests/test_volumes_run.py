import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import scans
from click.testing import CliRunner
from kinds import make_classification
from PIL import Image
from tiny import Tiny

from retq_hub.cli.app import cli
from retq_hub.errors import UsageError
from retq_hub.pipeline import Pipeline
from retq_hub.segment import Options, Outcome, find_images
from retq_hub.volumes.run import divide, segment_volumes
from retq_hub.volumes.table import VolumeRow


@pytest.fixture
def pipeline(
    tmp_path: Path, cache: Path, registry_folder: Path, make_query: Callable[..., Path]
) -> Pipeline:
    two = make_query(tmp_path / "two", name="two", targets=2, layers=(0, 2), seed=3)
    return Pipeline.from_pretrained(["tiny-disc", two])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    grey = scans.phantom()
    steps = [0.25 * number for number in range(len(grey))]
    scans.save_tiff(folder / "stack.tif", grey)
    scans.save_dicom(folder / "scan.dcm", grey, steps_mm=steps)
    Image.fromarray(grey[0]).save(folder / "photo.png")
    return folder


def run(
    pipeline: Pipeline, data: Path, out: Path, options: Options | None = None
) -> Outcome[VolumeRow]:
    _, volumes = divide(find_images([str(data)]), out)
    return segment_volumes(pipeline, volumes, out, options=options or Options(overlays=False))


def frames(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.stack([np.asarray(one.copy()) for one in _each(image)])


def _each(image: Image.Image) -> Iterator[Image.Image]:
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        yield image


def test_masks_are_a_stack_of_the_volumes_shape_and_equal_the_pipeline(
    pipeline: Pipeline, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    images, volumes = divide(find_images([str(data)]), out)
    assert [job.stem for job in images] == ["photo"]
    assert [job.stem for job in volumes] == ["scan", "stack"]
    done = run(pipeline, data, out, Options(probability="npy"))
    assert (done.done, done.skipped, done.failed, len(done.rows)) == (2, 0, {}, 6)
    wanted = pipeline.volume(data / "stack.tif")
    masks = frames(out / "stack_tiny-disc_mask.tif")
    np.testing.assert_array_equal(masks, wanted["tiny-disc"].mask * np.uint8(255))
    np.testing.assert_array_equal(
        np.load(out / "stack_two_t1_probability.npy"), wanted["two"].probability[:, 1]
    )
    assert frames(out / "scan_two_t0_mask.tif").shape == scans.SHAPE


def test_probabilities_may_be_a_stack_of_16_bits(
    pipeline: Pipeline, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(pipeline, data, out, Options(probability="png", overlays=False))
    wanted = pipeline.volume(data / "stack.tif")["tiny-disc"].probability
    deep = frames(out / "stack_tiny-disc_probability.tif")
    assert deep.dtype == np.uint16
    assert np.abs(deep / 65535 - wanted).max() < 1e-5
    assert not list(out.glob("*overview*"))


def test_rows_say_what_the_masks_hold(pipeline: Pipeline, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run(pipeline, data, out)
    for row in done.rows:
        marked = frames(out / row.mask) > 0
        assert row.slices == len(marked) == 5
        assert row.share == pytest.approx(marked.mean(), abs=1e-8)
        assert row.slices_marked == marked.any(axis=(1, 2)).sum()
        if marked.any():
            assert row.peak_slice == marked.mean(axis=(1, 2)).argmax()
        known = row.volume.endswith(".dcm")
        assert (row.volume_mm3 is not None) == (row.en_face_mm2 is not None) == known
        if known:
            assert row.volume_mm3 == pytest.approx(marked.sum() * 0.004 * 0.012 * 0.25, abs=1e-6)
            assert row.en_face_mm2 == pytest.approx(
                marked.any(axis=1).sum() * 0.012 * 0.25, abs=1e-6
            )
    with (out / "volumes.csv").open(newline="") as stream:
        assert [line["mask"] for line in csv.DictReader(stream)] == [row.mask for row in done.rows]
    with (out / "stack_slices.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    marked = frames(out / "stack_two_t0_mask.tif") > 0
    areas = [float(one["area"]) for one in table if (one["query"], one["target"]) == ("two", "t0")]
    assert areas == pytest.approx(marked.mean(axis=(1, 2)), abs=1e-6)
    assert [int(one["slice"]) for one in table] == [0, 1, 2, 3, 4] * 3


def test_a_second_run_goes_on_with_the_volumes_that_are_missing(
    pipeline: Pipeline, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(pipeline, data, out)
    assert run(pipeline, data, out).skipped == 2
    (out / "scan_two_t1_mask.tif").unlink()
    journal = out / "volumes.jsonl"
    journal.write_text(journal.read_text() + '{"volume": "cut')
    again = run(pipeline, data, out)
    assert (again.done, again.skipped, len(again.rows)) == (1, 1, 6)
    scans.save_tiff(data / "stack.tif", scans.phantom(seed=1))
    assert run(pipeline, data, out).done == 1
    assert run(pipeline, data, out, Options(force=True, overlays=False)).done == 2
    assert run(pipeline, data, out, Options(probability="npy", overlays=False)).done == 2
    assert run(pipeline, data, out, Options()).done == 2


def test_a_volume_that_fails_leaves_nothing_and_does_not_stop_the_others(
    pipeline: Pipeline, data: Path, tmp_path: Path
) -> None:
    whole = (data / "stack.tif").read_bytes()
    (data / "stack.tif").write_bytes(whole[:-20])
    done = run(pipeline, data, tmp_path / "out")
    assert done.done == 1
    assert [Path(name).name for name in done.failed] == ["stack.tif"]
    assert not list((tmp_path / "out").glob("*stack*"))
    assert not list((tmp_path / "out").glob(".*"))


def test_results_of_another_volume_are_not_written_over(
    pipeline: Pipeline, data: Path, tmp_path: Path
) -> None:
    run(pipeline, data, tmp_path / "out")
    other = tmp_path / "other"
    other.mkdir()
    scans.save_tiff(other / "stack.tif", scans.phantom(seed=1))
    with pytest.raises(UsageError, match="has results of another stack"):
        run(pipeline, other, tmp_path / "out")


def test_gradings_are_told_of_each_slice(
    tmp_path: Path, cache: Path, data: Path, tiny: Tiny, registry_folder: Path
) -> None:
    grader = make_classification(tmp_path / "grader", backbone=tiny.backbone)
    both = Pipeline.from_pretrained(["tiny-disc", grader], backbone=tiny.backbone)
    out = tmp_path / "out"
    done = run(both, data, out, Options())
    name = next(one for one in both.queries if one != "tiny-disc")
    found = both.volume(data / "stack.tif")[name]
    rows = [row for row in done.rows if row.query == name and row.volume.endswith("stack.tif")]
    assert [row.target for row in rows] == [one.name for one in both.queries[name].manifest.targets]
    assert sum(row.slices_marked for row in rows) == 5
    assert all(row.mask is None and row.share is None for row in rows)
    np.testing.assert_allclose(
        [row.max_probability for row in rows], found.probabilities.max(axis=0), atol=1e-6
    )
    assert (out / "stack_overview.jpg").is_file()


def test_the_command_line_takes_images_and_volumes(
    data: Path, tmp_path: Path, cache: Path, registry_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    words = ["segment", str(data), "-q", "tiny-disc", "-o", str(data / "out")]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "1 segmented, 0 done before" in done.stdout
    assert "2 volumes segmented, 0 done before" in done.stdout
    assert "of 5" in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines() if "see " not in line)
    again = CliRunner().invoke(cli, [*words, "--json"], catch_exceptions=False)
    document = json.loads(again.stdout)
    assert (document["done"], document["skipped"]) == (0, 1)
    assert (document["volumes"]["done"], document["volumes"]["skipped"]) == (0, 2)
    assert {row["mask"] for row in document["volumes"]["rows"]} == {
        "scan_tiny-disc_mask.tif",
        "stack_tiny-disc_mask.tif",
    }


def test_a_folder_is_a_volume_if_it_is_said_to_be(
    tmp_path: Path, cache: Path, registry_folder: Path
) -> None:
    folder = scans.save_folder(tmp_path / "scan", scans.phantom())
    words = ["segment", str(folder), "-q", "tiny-disc", "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(cli, [*words, "--volume"], catch_exceptions=False)
    assert "1 volume segmented" in done.stdout
    assert frames(tmp_path / "out/scan_tiny-disc_mask.tif").shape == scans.SHAPE
    (folder / "scan_9.png").write_bytes(b"")
    refused = CliRunner().invoke(cli, [*words, "--volume"], catch_exceptions=False)
    assert refused.exit_code == 6
    assert "scan_9.png is empty" in refused.stderr
