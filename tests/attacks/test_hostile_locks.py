"""Locks that try to leave their place, to lie, or to break what reads them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retq_hub import artifact, composition, lock, schema, syncing
from retq_hub.errors import ManifestError, RetqError
from retq_hub.lock import Lock, Origin, PinnedBackbone

MANY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def document(tmp_path: Path, make_query: Callable[..., Path]) -> dict:
    """A valid lock of a folder, not yet written."""
    folder = make_query(tmp_path / "home/queries/tiny-disc")
    make_query(tmp_path / "elsewhere")
    ref = artifact.read_manifest(folder).backbone
    whole = Lock(
        backbone=PinnedBackbone(
            id=ref.id,
            weights_digest=ref.weights_digest,
            preprocessing_digest=ref.preprocessing_digest,
        ),
        queries=(lock.pinned(folder, Origin(kind="folder", path="queries/tiny-disc")),),
    )
    lock.write(tmp_path / "home/retq.lock", whole)
    return json.loads((tmp_path / "home/retq.lock").read_text())


def written(document: object, tmp_path: Path) -> Path:
    path = tmp_path / "home/retq.lock"
    path.write_text(json.dumps(document))
    return path


CLIMBING = [
    "../elsewhere", "queries/../../elsewhere", "queries/..", "..", ".", "./queries/tiny-disc",
    "/etc", "//etc", "queries//tiny-disc", "queries/tiny-disc/", "", "~", "~root/x", "c:/x",
    "queries\\..\\..\\elsewhere", "queries\n/tiny-disc", "queries/tiny-disc\n", "a\x00b",
    "x" * 2000,
]  # fmt: skip


@pytest.mark.parametrize("place", CLIMBING, ids=lambda place: repr(place)[:24])
def test_a_path_stays_below_the_lock(document: dict, tmp_path: Path, place: str) -> None:
    document["queries"][0]["origin"]["path"] = place
    with pytest.raises(ManifestError, match="queries/0/origin/path"):
        lock.read(written(document, tmp_path))


NAMES = ["../x", "a/b", "a\nb", "a\x1b[31m", "", "A", "x" * 200, "tiny-disc\n"]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_a_name_cannot_be_a_path_or_colour_the_terminal(
    document: dict, tmp_path: Path, name: str
) -> None:
    for member in (document["queries"][0], document["backbone"]):
        kept = dict(member)
        member["name" if "name" in member else "id"] = name
        with pytest.raises(ManifestError) as caught:
            lock.read(written(document, tmp_path))
        assert str(caught.value).isprintable()
        member.update(kept)


@pytest.mark.parametrize("version", ["1.0.0/../..", "1.0.0-" + "x" * 100, "1.0.0\n", "..", "1"])
def test_a_version_cannot_be_a_path(document: dict, tmp_path: Path, version: str) -> None:
    document["queries"][0]["version"] = version
    with pytest.raises(ManifestError, match="queries/0/version"):
        lock.read(written(document, tmp_path))


@pytest.mark.parametrize("repo", ["a", "a/b/c", "../b", "a/..", "a/b\n", "a b/c", "a/" + "b" * 300])
def test_a_repository_is_a_name(document: dict, tmp_path: Path, repo: str) -> None:
    document["queries"][0]["origin"] = {"kind": "hub", "repo": repo, "commit": "0" * 40}
    with pytest.raises(ManifestError, match="queries/0/origin/repo"):
        lock.read(written(document, tmp_path))


@pytest.mark.parametrize("commit", ["main", "0" * 39, "0" * 41, "G" * 40, "../" + "0" * 37, ""])
def test_a_commit_is_whole(document: dict, tmp_path: Path, commit: str) -> None:
    document["queries"][0]["origin"] = {"kind": "hub", "repo": "a/b", "commit": commit}
    with pytest.raises(ManifestError, match="queries/0/origin/commit"):
        lock.read(written(document, tmp_path))


def test_files_of_any_size_and_name_are_not_asked_for(document: dict, tmp_path: Path) -> None:
    files = document["queries"][0]["files"]
    files["retq.json"]["size"] = 2**40
    files["../../x"] = files["query.safetensors"]
    with pytest.raises(ManifestError, match="2 findings"):
        lock.read(written(document, tmp_path))


def test_a_link_to_elsewhere_cannot_bring_in_other_bytes(document: dict, tmp_path: Path) -> None:
    place = tmp_path / "home/queries/tiny-disc"
    (place / "query.safetensors").unlink()
    (tmp_path / "secret").write_text("not a query")
    (place / "query.safetensors").symlink_to(tmp_path / "secret")
    found = composition.locate(written(document, tmp_path))
    with pytest.raises(RetqError) as caught:
        syncing.find(found.lock.queries[0], found.base)
    assert "not a query" not in str(caught.value)


def test_too_many_members_and_too_long_a_lock_are_refused_early(
    document: dict, tmp_path: Path
) -> None:
    one = document["queries"][0]
    document["queries"] = [{**one, "name": f"q{number}"} for number in range(257)]
    with pytest.raises(ManifestError, match="queries"):
        lock.read(written(document, tmp_path))
    document["queries"] = [{**one, "name": f"q{number}"} for number in range(3000)]
    with pytest.raises(ManifestError, match="larger than 1 MiB"):
        lock.read(written(document, tmp_path))


RAW = {
    "nothing": b"",
    "no JSON": b"{",
    "no UTF-8": b'{"spec": "\xff"}',
    "a list": b"[]",
    "a number": b"1e999",
    "a null": b"null",
    "brackets without end": b"[" * 100_000,
    "a spec that is no text": b'{"spec": ["retq-lock/2"]}',
    "a long spec": b'{"spec": "retq-lock/' + b"9" * 100_000 + b'"}',
    "a spec with colours": b'{"spec": "retq-lock/\\u001b[31m"}',
}


@pytest.mark.parametrize("raw", RAW.values(), ids=RAW.keys())
def test_what_is_no_lock_is_one_clear_line(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "retq.lock"
    path.write_bytes(raw)
    with pytest.raises(RetqError) as caught:
        lock.read(path)
    assert caught.value.exit_code == 6
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_half_a_surrogate_is_a_finding(document: dict, tmp_path: Path) -> None:
    document |= {"name": "x", "version": "1.0.0", "summary": "\ud800"}
    with pytest.raises(ManifestError):
        lock.read(written(document, tmp_path))


@MANY
@given(name=st.text(max_size=60) | st.from_regex(r"[a-z.~/@-]{0,20}", fullmatch=True))
def test_any_text_is_a_lock_or_a_clear_error(name: str, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    with pytest.raises(RetqError) as caught:
        composition.locate(name)
    assert "\n" not in str(caught.value)


def test_the_schema_forbids_control_characters_everywhere() -> None:
    base = {"name": "x", "version": "1.0.0"}
    for bad in ("a\nb", "a\x1bb", "a\x7fb", "a\x9bb"):
        places = {one.where for one in schema.findings({**base, "summary": bad}, schema.LOCK)}
        assert "summary" in places
