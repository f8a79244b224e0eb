import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from eyes import make_folders

from retq_hub.archives import parts
from retq_hub.cli.app import cli
from retq_hub.errors import Unreachable

pytest.importorskip("pyarrow")

PAGE = Path(__file__).resolve().parent.parent / "docs/archives.md"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return make_folders(tmp_path / "data", 3)[0]


@pytest.fixture
def retq(tmp_path: Path, cache: Path, registry_folder: Path) -> Callable[..., Result]:
    def run(*arguments: object) -> Result:
        given = [str(one) for one in arguments]
        return CliRunner().invoke(cli, ["segment", *given, "-q", "tiny-disc"])

    return run


def test_tables_of_a_list_are_written_and_a_second_run_has_nothing_to_do(
    retq: Callable[..., Result], images: Path, tmp_path: Path
) -> None:
    (images / "list.csv").write_text("image,patient\neye0.png,a\neye1.png,b\nnone.png,c\n")
    call = (images / "list.csv", "-o", tmp_path / "out", "--format", "parquet", "--embeddings")
    done = retq(*call)
    assert done.exit_code == 1
    assert "2 segmented, 0 done before, 1 failed; see" in done.output
    assert "none.png; check the path" in done.output
    table = parts.read(tmp_path / "out")
    assert table.column("patient").to_pylist() == ["a", "b"]
    assert parts.read(tmp_path / "out", kind="embeddings").num_rows == 2
    document = json.loads(retq(*call, "--json").stdout)
    assert (document["done"], document["skipped"]) == (0, 2)
    assert list(document["failed"]) == [str(images / "none.png")]


def test_tables_are_read_as_the_page_says(
    retq: Callable[..., Result], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = retq(images, "-o", tmp_path / "out", "--format", "parquet", "--embeddings")
    assert done.exit_code == 0, done.output
    blocks = re.findall(r"^```text\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (block,) = [one for one in blocks if "parts.read" in one]
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(block, found)
    assert found["mask"].shape == (found["row"]["height"], found["row"]["width"])
    assert found["areas"].column_names == ["image", "query", "area"]
    assert found["vectors"].num_rows == 3


def test_where_no_image_can_be_used_no_tables_are_named(
    retq: Callable[..., Result], tmp_path: Path
) -> None:
    (tmp_path / "torn.jpg").write_bytes(b"")
    done = retq(tmp_path / "torn.jpg", "-o", tmp_path / "out", "--format", "parquet")
    assert done.exit_code == 6
    assert done.stdout == "0 segmented, 0 done before, 1 failed\n"


def test_files_of_a_list_are_those_of_its_images(
    retq: Callable[..., Result], images: Path, tmp_path: Path
) -> None:
    (images / "list.csv").write_text("image\neye0.png\n")
    done = retq(images / "list.csv", "-o", tmp_path / "out", "--no-overlay")
    assert done.exit_code == 0, done.output
    assert {one.name for one in (tmp_path / "out").iterdir()} == {
        "eye0_tiny-disc_mask.png",
        "summary.csv",
        "summary.jsonl",
    }


def test_images_in_the_output_folder_are_results(
    retq: Callable[..., Result], images: Path, tmp_path: Path
) -> None:
    done = retq(images, "-o", tmp_path, "--format", "parquet")
    assert "lie in the output folder" in str(done.exception)


def test_without_ray_one_process_does_it_and_says_what_ray_would_add(
    retq: Callable[..., Result], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    done = retq(images, "-o", tmp_path / "out", "--engine-pool", "ray", "--format", "parquet")
    assert done.exit_code == 0, done.output
    assert "3 segmented" in done.stdout
    assert 'pip install "retq-hub[ray]"' in done.stderr


def test_a_cluster_that_is_away_is_exit_code_5(
    retq: Callable[..., Result], images: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    done = retq(images, "-o", tmp_path / "out", "--engine-pool", "ray", "--cluster", "127.0.0.1:1")
    assert isinstance(done.exception, Unreachable)
    assert done.exception.exit_code == 5


def test_areas_alone_are_kept_without_masks(
    retq: Callable[..., Result], images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert retq(images, "-o", out, "--format", "parquet", "--areas").exit_code == 0
    (row, *_) = parts.read(out).to_pylist()
    assert row["runs"] is None
    assert row["area"] is not None


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--workers", "2"], "--cluster and --workers are Ray's"),
        (["--embeddings"], "embeddings go into tables"),
        (["--format", "parquet", "--probability", "npy"], "no maps of probabilities"),
        (["--format", "parquet", "--volume"], "--volume goes neither"),
    ],
)
def test_options_that_make_no_sense_together_are_refused(
    options: list[str], text: str, retq: Callable[..., Result], images: Path, tmp_path: Path
) -> None:
    done = retq(images, "-o", tmp_path / "out", *options)
    assert done.exception is not None
    assert text in str(done.exception)
    assert not (tmp_path / "out").exists()
