"""Queries made of queries as people type it, from making to a hub and back."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def retq(login: object, retq_folder: Path, make_query: Callable[..., Path], tmp_path: Path) -> Run:
    """Runs the command line beside two queries, in 80 columns."""
    for seed, name in enumerate(("one", "two")):
        make_query(tmp_path / name, name=name, seed=seed)

    def run(*arguments: object, code: int = 0) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [retq_folder / "retq", *map(str, arguments)],
            cwd=tmp_path,
            env=os.environ | {"COLUMNS": "80"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


def test_cosines_are_a_table(retq: Run) -> None:
    text = retq("algebra", "cosine", "./one", "./two", "tiny-disc@1.0.0").stdout
    assert "near duplicate" in text
    assert max(map(len, text.splitlines())) <= 80
    found = json.loads(retq("algebra", "cosine", "./one", "./two", "--json").stdout)
    assert [sorted(one) for one in found] == [["correlation", "queries", "targets", "value"]]
    wrong = retq("algebra", "cosine", "./one", code=2)
    assert "one query is compared with nothing" in wrong.stderr


@pytest.mark.parametrize("command", ["mean", "orthogonalise"])
def test_each_operation_leaves_an_artifact(command: str, retq: Run, tmp_path: Path) -> None:
    done = retq("algebra", command, "./one", "./two", "-o", "Made_Here", "--summary", "A try.")
    assert done.stdout == "Made_Here\n"
    manifest = json.loads((tmp_path / "Made_Here/retq.json").read_text())
    assert manifest["name"] == "made-here"
    assert manifest["summary"] == "A try."
    assert [one["name"] for one in manifest["derived"]] == ["one", "two"]
    assert "intact" in retq("validate", "./Made_Here").stdout


def test_what_is_made_goes_to_a_hub_and_back(retq: Run, new_repo: str, tmp_path: Path) -> None:
    made = ("algebra", "subtract", "./one", "./two", "-o", "made", "--version", "2.0.0", "--json")
    document = json.loads(retq(*made).stdout)
    assert document["targets"][0]["name"] == "t0-minus-t0"
    retq("push", "made", "--repo", new_repo)
    retq("validate", f"{new_repo}@v2.0.0", "--replay")
    pulled = Path(retq("pull", new_repo).stdout.strip())
    manifest = json.loads((pulled / "retq.json").read_text())
    assert [one["how"] for one in manifest["derived"]] == ["subtracted from", "subtracted"]
    assert manifest["metrics"] == []
    again = retq("algebra", "mean", "./made", new_repo, "-o", "x", code=2)
    assert "is named twice" in again.stderr
    assert "is no version" in retq(*made, "--version", "x", code=2).stderr
