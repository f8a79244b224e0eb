"""``retq segment --engine`` and ``retq export`` in this process, on the tiny backbone."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retq_hub.cli.app import main
from retq_hub.summary import Row, read_lines


@pytest.fixture
def here(
    tmp_path: Path, registry_folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The current folder has a photograph."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "eye.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def retq(here: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs ``retq`` with some arguments."""

    def run(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["retq", *arguments])
        main()

    return run


SEGMENT = ("segment", "eye.png", "-q", "tiny-disc", "-o", "out", "--no-overlay", "--json")


def test_rows_name_the_engine_that_was_asked_for(
    retq: Callable[..., None], here: Path, capsys: pytest.CaptureFixture[str]
):
    retq(*SEGMENT, "--engine", "openvino")
    (row,) = read_lines(here / "out/summary.jsonl", Row)
    assert row.engine == "openvino float32"
    told = capsys.readouterr().err
    assert "checking openvino float32 against float32 PyTorch" in told
    assert "openvino float32; fingerprint " in told
    retq(*SEGMENT, "--force")
    (row,) = read_lines(here / "out/summary.jsonl", Row)
    assert row.engine == "torch float32"
    assert capsys.readouterr().err == ""


def test_what_the_machine_lacks_ends_with_a_line(
    retq: Callable[..., None], capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as caught:
        retq(*SEGMENT, "--engine", "onnx", "--precision", "float16")
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("retq: the engine onnx computes in float32, not in float16; ")


def test_export_says_what_goes_in_and_what_comes_out(
    retq: Callable[..., None], here: Path, capsys: pytest.CaptureFixture[str]
):
    retq("export", "tiny-disc", "tiny-spot", "-o", "model.onnx", "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["inputs"] == {"squares_64_1x1": ["B", 64, 64, 3]}
    assert found["outputs"] == {"tiny-disc": ["B", 1, 4, 4], "tiny-spot": ["B", 1, 4, 4]}
    assert found["difference"] < 1e-5
    assert (here / found["output"]).stat().st_size > 10_000
    retq("export", "tiny-disc", "-o", "model.onnx")
    words = capsys.readouterr().out
    assert "B x 64 x 64 x 3" in words
    assert max(map(len, words.splitlines())) <= 80
