"""The example on texts runs; on random weights, because no official ones can be had here."""

import runpy
import sys
from pathlib import Path

import texts

ROOT = Path(__file__).resolve().parent.parent


def test_the_example_asks_a_photograph_in_words(tmp_path, cache, monkeypatch, capsys):
    small = texts.make_small("clip-vit-b16", tmp_path)
    script = str(ROOT / "examples/zero_shot_text.py")
    options = ["--backbone", str(small.spec), "--tokenizer", str(small.tokenizer)]
    options += ["--output", str(tmp_path / "out"), str(ROOT / "examples/retina.jpg")]
    monkeypatch.setattr(sys, "argv", [script, *options])
    runpy.run_path(script, run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    labels = ["hard exudates", "microaneurysms", "healthy"]
    assert [line[:16].strip() for line in lines[:3]] == labels
    assert lines[3].removeprefix("prediction: ").replace("-", " ") in labels
    assert (tmp_path / "out/retq.json").is_file()
