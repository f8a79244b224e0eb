import csv
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from eyes import make_folders

from retq_hub import runs
from retq_hub.archives import parts
from retq_hub.archives.filing import by_workers, file_images
from retq_hub.archives.run import run
from retq_hub.archives.sources import Sources
from retq_hub.errors import IntegrityError, UsageError
from retq_hub.pipeline import Pipeline
from retq_hub.pools.cluster import Cluster
from retq_hub.progress import Silent
from retq_hub.query import Query
from retq_hub.segment import find_images, segment

pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def pipeline(
    tmp_path_factory: pytest.TempPathFactory, make_query: Callable[..., Path], tiny: Any
) -> Pipeline:
    folder = tmp_path_factory.mktemp("queries")
    made = {
        "disc": make_query(folder / "disc"),
        "two": make_query(folder / "two", name="two", targets=2, layers=(0, 2), seed=3),
    }
    queries = {name: Query.from_pretrained(one) for name, one in made.items()}
    return Pipeline(backbone=tiny.backbone, queries=queries)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return make_folders(tmp_path / "data", 7)[0]


class Stopping(Silent):
    """Ends a run as Ctrl-C does, after so many images."""

    def __init__(self, after: int) -> None:
        self._after = after

    def steps(self, items: Iterable[Any], *, what: str, total: int | None = None) -> Iterator[Any]:
        for number, item in enumerate(items):
            if number == self._after:
                raise KeyboardInterrupt
            yield item


class Telling(Silent):
    """Keeps what is said of the pace."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def measure(self, value: str, *, milestone: bool = False) -> None:
        self.said.append(value)


def _command(process: Any) -> str:
    """Give what a process runs; nothing of one that has ended."""
    psutil = pytest.importorskip("psutil")
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


class Killing(Silent):
    """Kills a worker of the tests' own Ray once the first image is done."""

    killed = 0

    def steps(self, items: Iterable[Any], *, what: str, total: int | None = None) -> Iterator[Any]:
        psutil = pytest.importorskip("psutil")
        for number, item in enumerate(items):
            if number == 0:
                below = psutil.Process().children(recursive=True)
                workers = [one for one in below if "ray::_Worker" in _command(one)]
                os.kill(workers[0].pid, signal.SIGKILL)
                self.killed += 1
            yield item


def test_rows_and_masks_are_those_of_the_pipeline(
    pipeline: Pipeline, images: Path, tmp_path: Path
) -> None:
    (images / "list.csv").write_text("image,patient\neye1.png,p1\neye0.png,p0\n")
    out = tmp_path / "out"
    done = run(pipeline, Sources([str(images / "list.csv")]), out, embeddings=True)
    assert (done.done, done.skipped, done.failed) == (2, 0, {})
    rows = parts.read(out).to_pylist()
    assert [row["patient"] for row in rows] == ["p1"] * 3 + ["p0"] * 3
    assert [row["image"] for row in rows][::3] == [str(images / f"eye{n}.png") for n in (1, 0)]
    result = pipeline(images / "eye1.png")
    masks = [*result["disc"].mask_at(120, 96), *result["two"].mask_at(120, 96)]
    for row, mask in zip(rows[:3], masks, strict=True):
        assert (runs.decode(np.array(row["runs"]), row["height"], row["width"]) == mask).all()
    assert rows[0]["area"] == pytest.approx(result["disc"].area, abs=1e-6)
    embeddings = parts.read(out, kind=parts.EMBEDDINGS).to_pylist()
    assert embeddings[0]["embedding"] == pytest.approx(result.embedding.tolist())
    assert embeddings[1]["patient"] == "p0"


def test_a_run_that_was_stopped_is_carried_on_to_the_same_tables(
    pipeline: Pipeline, images: Path, tmp_path: Path
) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    sources = Sources([str(images)])
    run(pipeline, sources, whole, part_images=2)
    with pytest.raises(KeyboardInterrupt):
        run(pipeline, sources, stopped, part_images=2, progress=Stopping(after=3))
    (stopped / "parts" / ".part-9.parquet.killed.part").write_bytes(b"half")
    done = run(pipeline, sources, stopped, part_images=2)
    assert (done.done, done.skipped) == (4, 3)
    assert parts.read(stopped).equals(parts.read(whole))
    assert not list((stopped / "parts").glob(".*"))
    assert run(pipeline, sources, stopped).skipped == 7


def test_failures_are_listed_and_tried_again(
    pipeline: Pipeline, images: Path, tmp_path: Path
) -> None:
    good = (images / "eye3.png").read_bytes()
    (images / "eye3.png").write_bytes(b"no image")
    out = tmp_path / "out"
    done = run(pipeline, Sources([str(images)]), out)
    assert (done.done, list(done.failed)) == (6, [str(images / "eye3.png")])
    with (out / "failed.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert (row["image"], "is no PNG" in row["reason"]) == (str(images / "eye3.png"), True)
    (images / "eye3.png").write_bytes(good)
    done = run(pipeline, Sources([str(images)]), out)
    assert (done.done, done.skipped, done.failed) == (1, 6, {})
    assert not (out / "failed.csv").exists()


def test_where_all_fail_all_are_listed(pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("image\nnone.png\nneither.png\n")
    done = file_images(pipeline, Sources([str(tmp_path / "list.csv")]), tmp_path / "out")
    assert (done.done, len(done.failed)) == (0, 2)
    assert (tmp_path / "out" / "failed.csv").read_text().count("there is no file") == 2


def test_a_name_that_is_no_text_costs_no_other_image(
    pipeline: Pipeline, images: Path, tmp_path: Path
) -> None:
    (images / "eye0.png").rename(images / os.fsdecode(b"\xff.png"))
    done = run(pipeline, Sources([str(images)]), tmp_path / "out")
    assert (done.done, len(done.failed)) == (6, 1)
    assert b"\xff.png is no UTF-8 text" in (tmp_path / "out" / "failed.csv").read_bytes()


def test_a_list_that_climbs_writes_nothing_outside(
    pipeline: Pipeline, images: Path, tmp_path: Path
) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "list.csv").write_text("image\n../data/images/eye0.png\n")
    before, out = {*tmp_path.rglob("*")}, tmp_path / "out"
    done = file_images(pipeline, Sources([str(tmp_path / "lists" / "list.csv")]), out)
    assert done.done == 1
    assert all(one.is_relative_to(out) for one in {*tmp_path.rglob("*")} - before)


def test_urls_that_differ_in_a_stroke_are_two_images(
    pipeline: Pipeline, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = pytest.importorskip("fsspec").filesystem("memory")
    store.pipe("/eyes/a.png", (images / "eye0.png").read_bytes())
    (images / "list.csv").write_text("image\nmemory://eyes/a.png\nmemory://eyes//a.png\n")
    out = tmp_path / "out"
    out.mkdir()
    monkeypatch.chdir(out)
    try:
        done = file_images(pipeline, Sources([str(images / "list.csv")]), out)
    finally:
        store.rm("/eyes", recursive=True)
    assert done.done + len(done.failed) == 2
    assert "memory://eyes/a.png" in {row.image for row in done.rows}


def test_a_damaged_part_is_named(pipeline: Pipeline, images: Path, tmp_path: Path) -> None:
    out, sources = tmp_path / "out", Sources([str(images)])
    run(pipeline, sources, out, part_images=4)
    first, _ = sorted((out / "parts").iterdir())
    first.write_bytes(first.read_bytes()[:100])
    with pytest.raises(IntegrityError, match=f"{first.name} is damaged"):
        run(pipeline, sources, out, part_images=4)
    first.unlink()
    assert run(pipeline, sources, out, part_images=4).done == 4


def test_embeddings_that_a_kill_left_without_their_rows_are_not_doubled(
    pipeline: Pipeline, images: Path, tmp_path: Path
) -> None:
    out, sources = tmp_path / "out", Sources([str(images)])
    run(pipeline, sources, out, embeddings=True, part_images=4)
    sorted((out / "parts").iterdir())[0].unlink()
    run(pipeline, sources, out, embeddings=True, part_images=3)
    assert Counter(parts.read(out, kind="embeddings").column("image").to_pylist()) == Counter(
        entry.location for entry in sources
    )


def test_clearing_a_folder_ends_with_its_ledger(
    pipeline: Pipeline, images: Path, tmp_path: Path
) -> None:
    out, sources = tmp_path / "out", Sources([str(images)])
    run(pipeline, sources, out)
    (part,) = (out / "parts").iterdir()
    part.unlink()
    part.mkdir()  # It cannot be removed like a file: clearing ends here.
    with pytest.raises(OSError, match=part.name):
        run(pipeline, sources, out, force=True)
    assert (out / "archive.json").is_file()


def test_the_pace_is_of_a_second_at_least(pipeline: Pipeline, images: Path, tmp_path: Path) -> None:
    telling = Telling()
    run(pipeline, Sources([str(images)]), tmp_path / "out", progress=telling)
    assert telling.said[0] == "1 done, 0 failed"
    assert telling.said[-1].startswith("7 done, 0 failed")
    told = [one.split(", ")[2] for one in telling.said if "second" in one]
    assert all(float(one.removesuffix(" images a second")) <= 6 for one in told)


def test_an_image_that_is_listed_twice_is_done_once(
    pipeline: Pipeline, images: Path, tmp_path: Path
) -> None:
    one = str(images / "eye0.png")
    done = run(pipeline, Sources([one, str(images), one]), tmp_path / "out")
    assert (done.done, done.repeated) == (7, 2)
    done = run(pipeline, Sources([one, str(images), one]), tmp_path / "out")
    assert (done.done, done.skipped, done.repeated) == (0, 7, 2)
    assert parts.read(tmp_path / "out").num_rows == 21


def test_results_of_other_queries_are_refused_unless_told(
    pipeline: Pipeline, images: Path, tmp_path: Path
) -> None:
    out, sources = tmp_path / "out", Sources([str(images / "eye0.png")])
    run(pipeline, sources, out)
    other = Pipeline(backbone=pipeline.backbone, queries={"disc": pipeline.queries["disc"]})
    wanted = r"another run: queries disc .*, two .* there, disc .* here; name"
    with pytest.raises(UsageError, match=wanted):
        run(other, sources, out)
    run(other, sources, out, force=True)
    assert parts.read(out).num_rows == 1
    with pytest.raises(UsageError, match="run: masks kept there, left out here"):
        run(other, sources, out, masks=False)


def test_a_column_of_ours_in_a_list_is_refused(
    pipeline: Pipeline, images: Path, tmp_path: Path
) -> None:
    (images / "list.csv").write_text("image,area\neye0.png,1\n")
    with pytest.raises(UsageError, match="column 'area', which results have too"):
        run(pipeline, Sources([str(images / "list.csv")]), tmp_path / "out")


@pytest.mark.usefixtures("local_ray")
def test_a_worker_killed_on_the_way_loses_no_image_and_doubles_none(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    images = make_folders(tmp_path / "data", 40)[0]
    (images / "bad.png").write_bytes(b"no image")
    out, killing = tmp_path / "out", Killing()
    sources = Sources([str(images)])
    done = run(pipeline, sources, out, cluster=Cluster(workers=2), progress=killing, part_images=9)
    assert (killing.killed, done.done, len(done.failed)) == (1, 40, 1)
    counts = Counter(parts.read(out, columns=["image"]).column("image").to_pylist())
    assert counts == {str(images / f"eye{n}.png"): 3 for n in range(40)}
    plain = tmp_path / "plain"
    run(pipeline, sources, plain, part_images=9)
    same = ["image", "query", "target", "area", "image_sha256", "runs"]
    assert parts.read(out, columns=same).equals(parts.read(plain, columns=same))
    assert {one.name for one in (out / "parts").iterdir()} == {
        one.name for one in (plain / "parts").iterdir()
    }


@pytest.mark.usefixtures("local_ray")
def test_files_by_workers_are_those_of_one_process(
    pipeline: Pipeline, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(images.parent)
    (images / "bad.png").write_bytes(b"no image")
    here, there = tmp_path / "here", tmp_path / "there"
    segment(pipeline, find_images(["images"]), here)
    done = file_images(pipeline, Sources(["images"]), there, cluster=Cluster(workers=1))
    assert (done.done, list(done.failed)) == (7, ["images/bad.png"])
    names = {path.name for path in here.iterdir()}
    assert {path.name for path in there.iterdir()} == names | {"failed.csv"}
    assert all((here / name).read_bytes() == (there / name).read_bytes() for name in names)
    again = segment(pipeline, find_images(["images"]), there, way=by_workers(Cluster()))
    assert (again.done, again.skipped) == (0, 7)


def test_without_ray_a_pipeline_maps_in_this_process(
    pipeline: Pipeline, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.warns(UserWarning, match="Ray is not installed"):
        (one,) = pipeline.map([images / "eye0.png"], pool="ray")
    assert one.error is None
    with pytest.raises(UsageError, match="no pool 'farm'"):
        pipeline.map([], pool="farm")


@pytest.mark.usefixtures("local_ray")
def test_a_pipeline_maps_by_workers_in_the_order_of_the_images(
    pipeline: Pipeline, images: Path
) -> None:
    paths = [images / f"eye{n}.png" for n in (2, 0, 1)]
    mapped = list(pipeline.map([*paths, images / "none.png"], pool="ray", workers=1))
    assert [one.source for one in mapped] == [*paths, images / "none.png"]
    assert "there is no file" in str(mapped[3].error)
    for one in mapped[:3]:
        assert one.result is not None
        wanted = pipeline(one.source)["disc"].logits
        assert np.abs(one.result["disc"].logits - wanted).max() < 1e-5
