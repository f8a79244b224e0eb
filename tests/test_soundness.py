"""Records that are sound: as the schema has it; and sound together."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import hubs, record

from retq_hub import schema
from retq_hub.manifest import from_json, to_json
from retq_hub.record import Near, Record
from retq_hub.soundness import is_repo, is_sound, plain, together

ODD = {
    "name": ["Disc", "a--b", "-a", "x" * 97, "a/b..c", "", "disc\n", "../x", "a b"],
    "version": ["1", "01.0.0", "1.0.0-", "1.0.0\n", "1.0.0-" + "x" * 65, "9" * 10 + ".0.0"],
    "digest": ["", "A" * 64, "a" * 63, "a" * 40, "a" * 64 + "\n"],
    "weights_digest": ["b" * 12],
    "preprocessing_digest": ["", "c" * 40],
    "summary": ["", "x" * 201, "a\x1b[31m", "a\nb", "a\x85b"],
    "targets": [[], [""], ["\x00"]],
    "backbone": ["", "\x7f"],
    "datasets": [[""], ["x\x9by"]],
    "licence": ["", "\t"],
    "floats": [0, -1],
    "path": ["", "/etc", "../x", "a/../b", "~", "a//b", "a/", ".x/y", "a\\b", "a\nb", "a b"],
    "dice": [-0.1, 1.1],
    "auroc": [2],
    "kappa": [-1.1, 1.1],
    "kind": ["", "segmentation", "other"],
    "yanked": ["", "a\nb"],
    "superseded_by": ["", "a\x00"],
    "near": [[{"name": "", "cosine": 1.0}], [{"name": "a@1.0.0", "cosine": 1.5}]],
}
CASES = [(name, value) for name, values in ODD.items() for value in values]


def agrees(document: dict[str, object]) -> bool:
    """Whether a record is sound, after a look at what the schema says."""
    valid = not schema.findings({"spec": "retq-index/1", "records": [document]}, schema.INDEX)
    assert is_sound(from_json(document, Record)) == valid, document
    return valid


@pytest.mark.parametrize(("member", "value"), CASES, ids=repr)
def test_what_the_schema_refuses_is_not_sound(member, value):
    assert not agrees(to_json(record()) | {member: value})


@pytest.mark.parametrize("one", [
    record(), hubs(), hubs("some-disc", repo="A_b/c.d"), record(yanked=True), record(dice=1.0),
    record(kind="classification", kappa=-0.1), record(kind="text"),
    record(yanked="Why"), record(superseded_by="x@1.0.0", near=(Near(name="y@1.0.0", cosine=1.0),)),
    record(version="1.0.0-rc.1", datasets=(), preprocessing_digest=None),
], ids=lambda one: one.key)  # fmt: skip
def test_what_the_schema_lets_pass_is_sound(one):
    assert agrees(to_json(one))


@pytest.mark.parametrize("members", [
    {"path": None, "repo": "a/b"}, {"path": None}, {"repo": "a/b", "commit": "d" * 40},
    {"path": None, "repo": "a/b", "commit": "d" * 39},
    {"path": None, "repo": "a", "commit": "d" * 40},
], ids=repr)  # fmt: skip
def test_a_record_has_one_place(members):
    document = to_json(record()) | members
    assert not agrees({name: value for name, value in document.items() if value is not None})


@settings(max_examples=300, deadline=None)
@given(
    member=st.sampled_from(["name", "version", "summary", "path", "superseded_by", "licence"]),
    value=st.text(max_size=12) | st.from_regex(r"[a-z0-9.@/-]{0,12}", fullmatch=True),
)
def test_soundness_and_schema_agree_on_any_text(member, value):
    agrees(to_json(record()) | {member: value})


def test_what_refers_to_nothing_is_there_twice_or_misplaced_is_found():
    records = [
        record("a", superseded_by="b"),
        record("a", "0.9.0"),
        record("c", near=(Near(name="a@2.0.0", cosine=1.0),)),
        record("c"),
        record("x/y"),
    ]
    assert [str(one) for one in together(records)] == [
        "a@0.9.0: is not in its place: names and versions are sorted",
        "c@1.0.0: is there twice",
        "x/y@1.0.0: has the name of a repository and is none of its",
        "a@1.0.0: refers to b, which is not in the index",
        "c@1.0.0: refers to a@2.0.0, which is not in the index",
    ]


@pytest.mark.parametrize(
    ("following", "circular"),
    [
        ({"a": "b", "b": "c"}, False),
        ({"a": "a"}, True),
        ({"a": "b", "b": "a"}, True),
        ({"a": "b@1.0.0", "b": "c", "c": "a@1.0.0"}, True),
        ({"a": "b", "c": "b"}, False),
    ],
)
def test_a_circle_of_successors_is_found(following, circular):
    records = [record(name, superseded_by=following.get(name)) for name in "abc"]
    found = [str(one) for one in together(records)]
    assert bool(found) == circular
    assert all("supersedes itself: " in one for one in found)


def test_an_old_version_may_be_superseded_by_the_name_itself():
    records = [record("a", "1.0.0", superseded_by="a"), record("a", "1.1.0")]
    assert list(together(records)) == []


def test_texts_are_made_plain():
    assert plain("a\x1b[1mb\n") == "a?[1mb "
    assert (len(plain("x" * 500)), plain("")) == (200, "?")


def test_repositories_are_namespace_and_name():
    assert is_repo("some-one/a_b.c")
    assert not any(map(is_repo, ("a", "a/b/c", "../a", "a/..", "a/b\n", "a b/c", "")))


def test_a_record_survives_json():
    one = record(near=(Near(name="y@1.0.0", cosine=0.5),), yanked="Why")
    assert msgspec.json.decode(msgspec.json.encode(one), type=Record) == one
