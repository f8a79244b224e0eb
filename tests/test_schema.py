import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from support_core import assert_clear, manifest

from retq_hub import schema
from retq_hub.embedded import REGISTRY, SCHEMAS
from retq_hub.errors import ManifestError, NotFoundError, RetqError
from retq_hub.manifest import FileDigest, to_json


def valid() -> dict[str, object]:
    file = FileDigest(sha256="e" * 64, size=1)
    files = {"query.safetensors": file, "golden.safetensors": file}
    return to_json(manifest(files=files))


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.name)
def test_every_schema_is_itself_valid_and_forbids_unknown_members(path: Path):
    document = json.loads(path.read_text())
    Draft202012Validator.check_schema(document)
    assert document["additionalProperties"] is False


@pytest.mark.parametrize("path", sorted(REGISTRY.glob("backbones/*.json")), ids=lambda p: p.stem)
def test_the_backbones_that_ship_are_valid(path: Path):
    assert schema.findings(schema.read_json(path), schema.BACKBONE) == []


def test_a_valid_manifest_has_no_findings():
    schema.check(valid(), schema.QUERY, subject="it")


def test_all_that_breaks_the_schema_is_found_at_once():
    document = valid() | {"version": "one", "surplus": 1}
    document["head"] = {"activation": "tanh", "thresholds": [1.5], "threshold_choice": "x"}
    with pytest.raises(ManifestError) as caught:
        schema.check(document, schema.QUERY, subject="retq.json")
    wanted = ["version", "surplus", "head/activation", "head/thresholds/0"]
    assert_clear(caught.value, 6, "retq.json: 4 findings", "schemas/query-1", *wanted)


@pytest.mark.parametrize("document", [None, [], "text", 1, {}])
def test_any_json_value_can_be_checked(document: object):
    assert schema.findings(document, schema.QUERY)


@pytest.mark.parametrize(
    "name", ["Disc", "disc_1", "-disc", "disc-", "a--b", "a/b", "../a", "", "x" * 97, "disc\n"]
)
def test_a_bad_name_is_found(name: str):
    assert [one.where for one in schema.findings(valid() | {"name": name}, schema.QUERY)] == [
        "name"
    ]


@pytest.mark.parametrize("version", ["1", "1.0", "v1.0.0", "01.0.0", "1.0.0\n", "latest", "1.0.0-"])
def test_a_bad_version_is_found(version: str):
    found = schema.findings(valid() | {"version": version}, schema.QUERY)
    assert [one.where for one in found] == ["version"]


@pytest.mark.parametrize("target", ["Optic disc", "", "-x", "disc_1", "é"])
def test_a_bad_target_name_is_found(target: str):
    document = valid() | {"targets": [{"name": target, "label": "disc"}]}
    places = {one.where for one in schema.findings(document, schema.QUERY)}
    assert places == {"targets/0/name"}


def test_a_huge_value_gives_a_short_finding():
    (found,) = schema.findings(valid() | {"version": "x" * 10_000}, schema.QUERY)
    assert len(str(found)) < 250


@pytest.mark.parametrize("key", ["line\nbreak", "\x1b[2Jclear", "\u2028separator"])
def test_a_hostile_key_cannot_break_the_line_or_reach_the_terminal(key: str):
    training = valid()["training"] | {"versions": {key: 5}}
    (found,) = schema.findings(valid() | {"training": training}, schema.QUERY)
    assert len(str(found).splitlines()) == 1
    assert str(found).isprintable()


@pytest.mark.parametrize(
    ("blob", "word"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"\xff\xfe{\0}\0", "JSON"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "Infinity"),
        (b"[" * 100_000, "JSON"),
        (b"1" * 5_000, "JSON"),
        (b'{"l2": 1e400}', "JSON"),
    ],
    ids=["empty", "cut", "utf-16", "nan", "infinity", "deep", "long-number", "overflow"],
)
def test_what_is_no_json_is_refused(tmp_path: Path, blob: bytes, word: str):
    path = tmp_path / "retq.json"
    path.write_bytes(blob)
    with pytest.raises(ManifestError) as caught:
        schema.read_json(path)
    assert_clear(caught.value, 6, str(path), word)


def test_a_file_beyond_all_reason_is_refused_unread(tmp_path: Path):
    path = tmp_path / "retq.json"
    with path.open("wb") as stream:
        stream.truncate(64 * 2**20 + 1)
    with pytest.raises(ManifestError) as caught:
        schema.read_json(path)
    assert_clear(caught.value, 6, "64 MiB")


def test_a_missing_file_is_not_found(tmp_path: Path):
    with pytest.raises(NotFoundError) as caught:
        schema.read_json(tmp_path / "none.json")
    assert_clear(caught.value, 3, "none.json")


def test_a_folder_is_no_json_file(tmp_path: Path):
    with pytest.raises(RetqError) as caught:
        schema.read_json(tmp_path)
    assert_clear(caught.value, caught.value.exit_code, str(tmp_path))
