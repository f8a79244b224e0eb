"""The example on texts runs; on random weights, because no official ones can be had here."""

import os
import subprocess
import sys
from pathlib import Path

import texts

ROOT = Path(__file__).resolve().parent.parent


def test_the_example_asks_a_photograph_in_words(tmp_path, cache):
    small = texts.make_small("clip-vit-b16", tmp_path)
    command = [sys.executable, "-W", "error", str(ROOT / "examples/zero_shot_text.py")]
    command += ["--backbone", str(small.spec), "--tokenizer", str(small.tokenizer)]
    done = subprocess.run(
        [*command, "--output", "out", str(ROOT / "examples/retina.jpg")],
        cwd=tmp_path,
        env=os.environ | {"RETQ_CACHE": str(cache)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split("  ")[0] for line in lines[:3]] == [
        "hard exudates",
        "microaneurysms",
        "healthy",
    ]
    assert lines[3] in (
        "prediction: hard-exudates",
        "prediction: microaneurysms",
        "prediction: healthy",
    )
    assert (tmp_path / "out/retq.json").is_file()
