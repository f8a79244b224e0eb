"""The head of a README: read safely, checked, turned into tags."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from retq_hub.server import cards
from retq_hub.server.cards import BadCard


def card(head: str) -> dict:
    return cards.read(f"---\n{head}\n---\n# Title\n")


def test_the_head_stands_between_two_lines_of_dashes():
    assert cards.head("---\na: 1\n---\nb") == "a: 1"
    assert cards.head("---\r\na: 1\r\n---\r\nb") == "a: 1"
    assert cards.head("---\n---\n") == ""
    for text in ("", "# Title\n---\na: 1\n---\n", "---\na: 1\n", "----\na: 1\n----\n"):
        assert cards.head(text) == ""
        assert cards.read(text) == {}


def test_tags_are_what_a_repository_is_filtered_by():
    head = """
license: cc-by-4.0
library_name: retq
pipeline_tag: image-segmentation
tags: [retq, "target:disc"]
datasets: idrid
base_model: [a/b, c/d]
base_model_relation: adapter
language: en
"""
    assert cards.tags(card(head)) == [
        "retq",
        "image-segmentation",
        "target:disc",
        "dataset:idrid",
        "base_model:a/b",
        "base_model:adapter:a/b",
        "base_model:c/d",
        "base_model:adapter:c/d",
        "en",
        "license:cc-by-4.0",
    ]


@pytest.mark.parametrize(
    ("head", "what"),
    [
        ("license: 3", '"license" must be a string'),
        ("tags: [1]", '"tags" must be a string or a list of strings'),
        ("tags: {a: b}", '"tags" must be a string or a list of strings'),
        ("model-index: x", '"model-index" must be a list of mappings'),
        ("- a\n- b", "must be a mapping"),
        ("a: [", "is no YAML"),
        ("a: !!python/object/apply:os.system ['true']", "is no YAML"),
        ("a: !!binary aGk=", "a value of type bytes"),
        ("a: &a [*a]", "values, or too deep"),
        ("a: " + "[" * 60 + "]" * 60, "too deep"),
        ("a: " + "[" * 60_000, "too deep"),
        ("a:\n" + "".join(" " * level + "-\n" for level in range(1, 60)), "too deep"),
        ("a: " + "9" * 30, "integer beyond 64 bits"),
        ("a: " + "9" * 5000, "no YAML|integer beyond"),
        ("a: " + "x" * 70_000, "larger than 64 KiB"),
        ("a: 2001-99-99", "is no YAML"),
    ],
)
def test_a_head_that_cannot_be_used_is_refused(head, what):
    with pytest.raises(BadCard, match=what):
        card(head)


def test_aliases_do_not_explode():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 10):
        repeated = ", ".join([f"*a{level - 1}"] * 10)
        lines.append(f"a{level}: &a{level} [{repeated}]")
    with pytest.raises(BadCard, match="more than 10000 values"):
        card("\n".join(lines))


def test_few_aliases_are_fine():
    assert card("a: &x [1, 2]\nb: *x") == {"a": [1, 2], "b": [1, 2]}


def test_what_json_has_not_is_made_plain():
    found = card("a: 2026-11-22\nb: .nan\nc: .inf\n1: one\nnull: none\nd: !!set {x}")
    assert found["a"] == "2026-11-22"
    assert found["b"] is found["c"] is None
    assert (found["1"], found["None"], found["d"]) == ("one", "none", ["x"])


@settings(max_examples=50)
@given(some.text(max_size=300))
def test_any_head_is_read_or_refused(head):
    try:
        assert isinstance(card(head), dict)
    except BadCard as error:
        assert "\n" not in str(error)
