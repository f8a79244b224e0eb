"""``retq compile-text`` as a user meets it: what it prints, and what it says of bad input."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import texts
from click.testing import CliRunner
from texts import SmallText

from retq_hub.cli.app import cli
from retq_hub.errors import RetqError

Run = Callable[..., str]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallText:
    return texts.make_small("clip-vit-b16", tmp_path_factory.mktemp("small"))


@pytest.fixture
def compile_text(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command and gives what it prints."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> str:
        words = ["compile-text", *map(str, arguments)]
        done = CliRunner(env={"COLUMNS": "80"}).invoke(cli, words, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    return run


def test_it_says_what_was_encoded_and_where_it_lies(compile_text, small, tmp_path):
    (tmp_path / "mine.csv").write_text(
        "category,descriptor\ndrusen,pale spots\ndrusen,yellow spots\n"
    )
    options = ["--backbone", small.spec, "--tokenizer", small.tokenizer, "--version", "1.1.0"]
    options += ["--descriptors", "mine.csv", "--target", "drusen", "--target", "ma=red dots;dots"]
    options += ["--prompt", "healthy retina"]
    lines = compile_text(*options, "-o", "My Words").splitlines()
    rows = [tuple(line.split(maxsplit=1)) for line in lines[2:-1]]
    assert [(name, sentence.strip()) for name, sentence in rows] == [
        ("healthy-retina", "a photo of a healthy retina."),
        ("drusen", "a photo of a pale spots."),
        ("drusen", "a photo of a yellow spots."),
        ("ma", "a photo of a red dots."),
        ("ma", "a photo of a dots."),
    ]
    assert lines[-1] == "My Words"
    document = json.loads(compile_text(*options, "-o", "again", "--json"))
    assert (document["name"], document["version"]) == ("again", "1.1.0")
    assert document["text"]["prompts"][1] == ["pale spots", "yellow spots"]
    assert document["similarity"]["per"] == "token"
    told = CliRunner(env={"COLUMNS": "80"}).invoke(cli, ["info", "./again"]).stdout
    assert "one of the targets" in told
    assert "drusen: pale spots; yellow spots" in told
    assert "threshold" not in told, "the most probable target counts"
    manifest = json.loads((tmp_path / "My Words" / "retq.json").read_text())
    assert manifest["name"] == "my-words"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--prompt", "drusen"], 2, "1 target is named; probabilities are of one against the oth"),
        (["--prompt", "drusen", "--prompt", "drusen"], 2, "the prompt 'drusen' is given twice"),
        (["--prompt", "drusen", "--prompt", " "], 2, "a prompt is empty; say what is looked for"),
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
    with pytest.raises(RetqError) as caught:
        compile_text("--backbone", "flair", "-o", "words", *arguments)
    assert (caught.value.exit_code, str(caught.value)[: len(message)]) == (code, message)
    assert "\n" not in str(caught.value)


def test_a_backbone_without_descriptors(compile_text):
    with pytest.raises(RetqError) as caught:
        compile_text("--backbone", "dinov2-small", "-o", "words", "--target", "drusen")
    assert str(caught.value) == (
        "no registry has descriptors for dinov2-small, among which 'drusen' could be; name a "
        "file: --descriptors FILE"
    )
