"""``retq compile-text`` as a user meets it: what it prints, and what it says of bad input."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import texts
from texts import SmallText

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallText:
    return texts.make_small("clip-vit-b16", tmp_path_factory.mktemp("small"))


@pytest.fixture
def compile_text(small: SmallText, tmp_path: Path, cache: Path) -> Run:
    """Runs the command in a process of its own, 80 columns wide."""

    def run(*arguments: object, code: int = 0, **settings: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "retq_hub.cli", "compile-text", *map(str, arguments)],
            cwd=tmp_path,
            env=os.environ | {"COLUMNS": "80", "NO_COLOR": "1"} | settings,
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


def test_it_says_what_was_encoded_and_where_it_lies(compile_text, small, tmp_path):
    descriptors = tmp_path / "mine.csv"
    descriptors.write_text("category,descriptor\ndrusen,pale spots\ndrusen,yellow spots\n")
    options = ["--backbone", small.spec, "--tokenizer", small.tokenizer, "--version", "1.1.0"]
    options += ["--descriptors", descriptors, "--target", "drusen", "--target", "ma=red dots;dots"]
    done = compile_text(*options, "--prompt", "healthy retina", "-o", "My Words")
    lines = [line.split("  ") for line in done.stdout.splitlines()]
    rows = [(line[0], line[-1].strip()) for line in lines[2:-1]]
    assert rows == [
        ("healthy-retina", "a photo of a healthy retina."),
        ("drusen", "a photo of a pale spots."),
        ("drusen", "a photo of a yellow spots."),
        ("ma", "a photo of a red dots."),
        ("ma", "a photo of a dots."),
    ]
    assert lines[-1] == ["My Words"]
    again = compile_text(*options, "--prompt", "healthy retina", "-o", "again", "--json")
    document = json.loads(again.stdout)
    assert (document["name"], document["version"]) == ("again", "1.1.0")
    assert document["text"]["prompts"][1] == ["pale spots", "yellow spots"]
    manifest = json.loads((tmp_path / "My Words" / "retq.json").read_text())
    assert manifest["name"] == "my-words"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--prompt", "drusen"], 2, "1 target is named; probabilities are of one against the oth"),
        (["--prompt", "drusen", "--prompt", "drusen"], 2, "the prompt 'drusen' is given twice"),
        (["--prompt", "drusen", "--prompt", " "], 2, "a prompt of '' is empty"),
        (["--target", "glaucom", "--prompt", "x"], 3, "there is no category 'glaucom' in "),
        (["--prompt", "a", "--prompt", "b", "--version", "1"], 2, "--version 1 is no version"),
        (["--prompt", "a", "--prompt", "b"], 3, "the vocabulary of flair's text encoder is not "),
        (
            ["--prompt", "a", "--prompt", "b", "--tokenizer", "none"],
            3,
            "none has no vocab.txt, the",
        ),
        (["--descriptors", "none.json"], 3, "there is no file none.json"),
    ],
)
def test_bad_input_is_told_in_a_line(arguments, code, message, compile_text):
    done = compile_text("--backbone", "flair", "-o", "words", *arguments, code=code)
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"retq: {message}")


def test_a_backbone_without_text_or_descriptors(compile_text):
    options = ["--backbone", "dinov2-small", "-o", "words"]
    done = compile_text(*options, "--prompt", "a", "--prompt", "b", code=2)
    assert done.stderr == (
        "retq: dinov2-small has no text encoder; one of these has: biomedclip, clip-vit-b16, "
        "flair\n"
    )
    done = compile_text(*options, "--target", "drusen", code=3)
    assert "no registry has descriptors for dinov2-small" in done.stderr


@pytest.mark.parametrize("missing", ["tokenizers", "transformers"])
def test_the_extra_is_named_where_it_is_not_installed(missing, compile_text, small, tmp_path):
    package = tmp_path / "without" / missing
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('not installed')\n")
    root = str(Path(__file__).resolve().parent.parent)
    done = compile_text(
        *("--backbone", small.spec, "--tokenizer", small.tokenizer, "-o", "words"),
        *("--prompt", "drusen", "--prompt", "healthy"),
        code=2,
        PYTHONPATH=os.pathsep.join([str(package.parent), root]),
    )
    assert done.stderr.splitlines()[-1] == (
        'retq: text needs the extra `text`, which is not installed; pip install "retq-hub[text]"'
    )
