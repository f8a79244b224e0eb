"""What is sent to a Hub: queries and composed pipelines, fit to be published or refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from retq_hub import artifact, assembly, composition, lock, parcel
from retq_hub.errors import CheckFailed, NotFoundError, UsageError
from retq_hub.lock import FILE

REPO = "alice/parcel-set"


@pytest.fixture
def home(tmp_path, monkeypatch, cache, registry_folder) -> Path:
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


def composed(*queries: str, folder="set", version="1.0.0") -> lock.Lock:
    return assembly.compose(queries or ("tiny-disc",), Path(folder), name="a-set", version=version)


def test_a_query_is_sent_with_its_files(home, make_query):
    found = parcel.pack(make_query(home / "query"), REPO)
    assert (found.name, found.version, found.kind, found.key) == (
        "tiny-disc",
        "1.0.0",
        "query",
        artifact.MANIFEST,
    )
    assert set(found.files) == {artifact.MANIFEST, artifact.QUERY, artifact.GOLDEN, artifact.CARD}


@pytest.mark.parametrize("name", ["set", "./set", "set/retq.lock"])
def test_a_pipeline_is_sent_with_lock_card_and_changes_alone(home, name):
    made = composed()
    (home / "set/CHANGELOG.md").write_text("First.\n")
    (home / "set/notes.txt").write_text("mine alone")
    found = parcel.pack(Path(name), REPO)
    assert (found.name, found.version, found.kind) == ("a-set", "1.0.0", "composed pipeline")
    assert found.content == made
    assert set(found.files) == {FILE, artifact.CARD, "CHANGELOG.md"}
    assert found.files[FILE] == (home / "set" / FILE).read_bytes()
    assert REPO.encode() in found.files[artifact.CARD]
    assert REPO not in (home / "set" / artifact.CARD).read_text()


def test_all_that_is_wrong_with_a_pipeline_is_said_at_once(home, make_query):
    make_query(home / "set/one", name="one")
    make_query(home / "set/two", name="two")
    composed("./set/one", "tiny-disc", "./set/two")
    with pytest.raises(CheckFailed) as caught:
        parcel.pack(home / "set", REPO)
    assert [one.where for one in caught.value.findings] == ["one", "two"]
    assert "nothing was sent" in caught.value.hint
    (home / "set" / artifact.CARD).unlink()
    (home / "outside").write_text("secret")
    (home / "set/CHANGELOG.md").symlink_to(home / "outside")
    with pytest.raises(CheckFailed) as caught:
        parcel.pack(home / "set", REPO)
    assert {one.where for one in caught.value.findings} == {artifact.CARD, "CHANGELOG.md"}


def test_what_is_neither_is_refused(home):
    with pytest.raises(NotFoundError):
        parcel.pack(home, REPO)
    assembly.lock(["tiny-disc"], home / "my.lock")
    with pytest.raises(UsageError, match="is a file"):
        parcel.pack(home / "my.lock", REPO)


def test_a_pipelines_members_must_be_had(home, registry_folder):
    composed("tiny-spot")
    (registry_folder / "queries/tiny-spot").rename(home / "gone")
    with pytest.raises(NotFoundError):
        parcel.pack(home / "set", REPO)


def test_differences_are_of_members_and_backbone(home):
    old = composed("tiny-disc@1.0.0", "tiny-spot")
    new = composed("tiny-disc", folder="other")
    assert parcel.differences(old, new) == ["tiny-disc 1.0.0 -> 1.9.0", "tiny-spot 0.1.0 removed"]
    assert parcel.differences(new, new) == []
    other = replace(new.backbone, weights_digest="0" * 64)
    (line,) = parcel.differences(new, replace(new, backbone=other))
    assert line.startswith("backbone tiny-vit ")
    assert line.endswith(" -> tiny-vit 000000000000")
    hub = replace(new.queries[0], origin=lock.Origin(kind="hub", repo="a/b", commit="0" * 40))
    (line,) = parcel.differences(new, replace(new, queries=(hub,)))
    assert line == "tiny-disc 1.9.0 is had from a/b@000000000000"
    manifest = composition.manifests(composition.locate(home / "set"))[0]
    assert parcel.differences(manifest, new) == []


def test_what_a_repository_holds_is_told_by_its_files():
    assert parcel.key_of(["README.md", "retq.json"]) == "retq.json"
    assert parcel.key_of(["README.md", "retq.lock"]) == "retq.lock"
    assert parcel.key_of(["README.md"]) is None
