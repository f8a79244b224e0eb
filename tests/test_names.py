"""Names taken apart, and the order of versions."""

import pytest

from retq_hub import names
from retq_hub.errors import UsageError


@pytest.mark.parametrize(
    ("name", "kind", "text", "pin", "version"),
    [
        ("idrid-disc", "registry", "idrid-disc", None, None),
        ("idrid-disc@1.0.0", "registry", "idrid-disc", "1.0.0", "1.0.0"),
        ("idrid-disc@v1.0.0-rc.1", "registry", "idrid-disc", "v1.0.0-rc.1", "1.0.0-rc.1"),
        ("eyes/disc", "hub", "eyes/disc", None, None),
        ("Eyes_2/Disc.v3", "hub", "Eyes_2/Disc.v3", None, None),
        ("eyes/disc@v2.1.0", "hub", "eyes/disc", "v2.1.0", "2.1.0"),
        ("eyes/disc@" + "a" * 40, "hub", "eyes/disc", "a" * 40, None),
        ("eyes/disc@refs/pr/1", "hub", "eyes/disc", "refs/pr/1", None),
    ],
)
def test_a_name_says_where_to_look_and_for_what(name, kind, text, pin, version):
    found = names.parse(name)
    assert (found.kind, found.text, found.pin, found.version) == (kind, text, pin, version)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "disc@",
        "disc@1.0",
        "disc@\u0661.0.0",
        "eyes/",
        "/disc",
        "a/b/c",
        "eyes/..",
        "../disc",
        "eyes/disc@",
        "eyes/disc@../main",
        "eyes/disc@main\n",
        "eyes/d\u00efsc",
        "-/disc@a b",
    ],
)
def test_what_can_be_no_name_is_refused_with_examples(name):
    with pytest.raises(UsageError, match="is no name of a query; names look like idrid-disc"):
        names.parse(name)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Disc@1.0.0", "did you mean disc@1.0.0?"),
        ("Disc@latest", "say disc, that is the newest version"),
        ("https://hub.example/eyes/disc", "name it someone/drusen; HF_ENDPOINT says on which Hub"),
    ],
)
def test_what_was_probably_meant_is_said(name, hint):
    with pytest.raises(UsageError) as caught:
        names.parse(name)
    assert caught.value.hint == hint


def test_accents_are_taken_off():
    assert names.folded("Drüsen É") == "drusen e"


@pytest.mark.parametrize("name", ["./mine", "../mine", "/data/mine", "~/mine", "."])
def test_paths_are_known_by_how_they_begin(name):
    assert names.is_path(name)


@pytest.mark.parametrize(
    ("found", "chosen"),
    [
        (["2.0.0-rc.1", "1.1.0", "1.0.0"], "1.1.0"),
        (["2.0.0-rc.2", "2.0.0-rc.1"], "2.0.0-rc.2"),
        ([], None),
    ],
)
def test_a_draft_is_the_newest_only_where_there_is_no_release(found, chosen):
    assert names.newest(found, version=str) == chosen


def test_no_more_versions_are_looked_at_than_needed():
    found = iter(["1.1.0-rc.1", "1.0.0", "0.9.0"])
    assert names.newest(found, version=str) == "1.0.0"
    assert list(found) == ["0.9.0"]


def test_a_commit_has_40_digits():
    assert names.is_commit("0a" * 20)
    assert not any(map(names.is_commit, ("0a" * 19, "0A" * 20, "0a" * 20 + "\n", "0a" * 32)))


def test_versions_are_ordered_as_numbers_and_a_draft_before_its_release():
    ordered = ["0.9.0", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-rc.2", "1.0.0-rc.10", "1.0.0"]
    ordered += ["1.9.0", "1.10.0"]
    assert sorted(reversed(ordered), key=names.order) == ordered


def test_a_number_that_no_version_has_is_none():
    assert names.version_of(f"v{'9' * 5000}.0.0") is None
    assert names.version_of(f"v1.0.0-{'9' * 5000}") is None
