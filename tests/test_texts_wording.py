"""Targets in words: as options, and in files that people edit."""

import json
from pathlib import Path

import pytest

from retq_hub import registry, schema
from retq_hub.embedded import REGISTRY
from retq_hub.errors import BadInputError, ManifestError, NotFoundError, UsageError
from retq_hub.texts import wording
from retq_hub.texts.wording import Wording, checked, of_prompts, of_target, read

SHIPPED = sorted((REGISTRY / "descriptors").glob("*.json"))


def one(label: str, *prompts: str) -> Wording:
    return Wording(label=label, prompts=prompts or (label,))


def test_a_prompt_is_a_target():
    assert of_prompts([" Hard exudates "]) == [one("Hard exudates")]
    assert of_prompts(["Hard exudates"])[0].name == "hard-exudates"


def test_a_target_is_named_or_said():
    known = {"hard exudates": one("hard exudates", "waxy spots")}
    assert of_target("hard exudates", known, origin="f") == known["hard exudates"]
    assert of_target("ma = red dots ; tiny dots", known, origin="f") == one(
        "ma", "red dots", "tiny dots"
    )
    with pytest.raises(NotFoundError, match=r"no category 'hard exudate' in f; did you mean hard "):
        of_target("hard exudate", known, origin="f")


def test_json_and_csv_say_the_same(tmp_path):
    document = {
        "spec": "retq-descriptors/1",
        "title": "Mine",
        "categories": {"drusen": ["pale spots", "drusen"], "normal": ["a healthy retina"]},
    }
    (tmp_path / "d.json").write_text(json.dumps(document))
    (tmp_path / "d.csv").write_text(
        "category,descriptor\ndrusen,pale spots\nnormal,a healthy retina\ndrusen,drusen\n"
    )
    found = read(tmp_path / "d.json")
    assert found == read(tmp_path / "d.csv")
    assert list(found) == ["drusen", "normal"]
    assert found["drusen"] == one("drusen", "pale spots", "drusen")


@pytest.mark.parametrize(
    ("wordings", "message"),
    [
        ([], "no target is named"),
        ([one("a")], "1 target is named"),
        ([one("a"), one("b", "")], "a prompt of 'b' is empty"),
        ([one("a"), one("b", "x\ny")], r"'b': 'x\\ny' has control characters"),
        ([one("a", "x", "x"), one("b")], "the prompt 'x' is given twice;"),
        ([one("a", "x"), one("b", "x")], "the prompt 'x' is given twice, for a and b;"),
        ([one("a b", "x"), one("A-B", "y")], "two targets are named 'a-b'"),
        ([one("網膜"), one("b")], "'網膜' is no target"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(wordings, message):
    with pytest.raises(UsageError, match=message):
        checked(wordings)


def test_a_file_that_is_wrong_is_told_throughout(tmp_path):
    (tmp_path / "d.json").write_text('{"spec": "x", "categories": {"a": [], "b": ["p", "p"]}}')
    with pytest.raises(ManifestError) as caught:
        read(tmp_path / "d.json")
    assert len(caught.value.findings) == 4
    (tmp_path / "d.csv").write_text("name,prompt\n")
    with pytest.raises(BadInputError, match="has columns name, prompt, not category and descripto"):
        read(tmp_path / "d.csv")
    (tmp_path / "d.csv").write_text("category,descriptor\na,\n")
    with pytest.raises(BadInputError, match="line 2: category or descriptor is empty"):
        read(tmp_path / "d.csv")
    with pytest.raises(NotFoundError):
        read(tmp_path / "absent.csv")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_descriptors_that_ship_can_be_used_at_once(path: Path):
    assert schema.findings(schema.read_json(path), schema.DESCRIPTORS) == []
    assert registry.backbone_spec(path.stem).text is not None
    found = checked(list(read(path).values()))
    assert all(one.label in one.prompts for one in found)
    assert all(len(prompt.split()) <= 20 for one in found for prompt in one.prompts)
    assert wording.shipped(path.stem) == path
    assert wording.shipped("dinov2-small") is None
