import csv
from dataclasses import dataclass
from pathlib import Path

import pytest

from retq_hub.errors import StorageError
from retq_hub.journal import Journal


@dataclass(frozen=True)
class Said:
    image: str
    area: float


def journal(folder: Path) -> Journal[str, Said]:
    return Journal(folder, "summary", Said, lambda row: row.image)


def test_rows_are_in_the_file_at_once_and_in_a_table_at_the_end(tmp_path: Path) -> None:
    first = journal(tmp_path / "out")
    first.add([Said("a", 0.5), Said("b", 0.25)])
    killed = journal(tmp_path / "out")
    assert list(killed.rows.values()) == [Said("a", 0.5), Said("b", 0.25)]
    killed.add([Said("a", 1.0)])
    assert killed.end() == (Said("a", 1.0), Said("b", 0.25))
    assert len((tmp_path / "out/summary.jsonl").read_text().splitlines()) == 2
    with (tmp_path / "out/summary.csv").open(newline="") as stream:
        assert [row["area"] for row in csv.DictReader(stream)] == ["1.0", "0.25"]


def test_a_line_that_was_cut_takes_no_other_with_it(tmp_path: Path) -> None:
    journal(tmp_path).add([Said("a", 0.5), Said("b", 0.25)])
    file = tmp_path / "summary.jsonl"
    file.write_bytes(file.read_bytes()[:-4])
    again = journal(tmp_path)
    assert list(again.rows) == ["a"]
    again.add([Said("c", 0.75)])
    assert list(journal(tmp_path).rows) == ["a", "c"]


def test_a_run_without_rows_leaves_nothing(tmp_path: Path) -> None:
    assert journal(tmp_path / "out").end() == ()
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(StorageError, match="out"):
        journal(tmp_path / "out").add([Said("a", 0.5)])
