"""Files through the stock client: single, whole snapshots, parts, checked against the hub."""

import hashlib
from pathlib import Path

import pytest
import requests
from hubs import ARTIFACT, Hub, artifact_operations
from huggingface_hub import HfApi, ModelCard, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

REPO = "alice/filed"


@pytest.fixture(scope="module")
def alice(hub: Hub) -> HfApi:
    return hub.api("alice")


@pytest.fixture(scope="module")
def first(alice: HfApi) -> str:
    """The commit of version 1.0.0 of an artifact; ``main`` has a changed note since."""
    alice.create_repo(REPO)
    oid = alice.create_commit(REPO, artifact_operations(), commit_message="one").oid
    alice.create_tag(REPO, tag="v1.0.0")
    alice.upload_file(path_or_fileobj=b"later", path_in_repo="notes/a b.txt", repo_id=REPO)
    return oid


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir() if not one.name.startswith("."))


@pytest.fixture
def fetch(hub: Hub, tmp_path: Path):
    """Download one file into a cache of the test's own."""

    def one(name: str, **options: object) -> Path:
        options = {"token": False, "cache_dir": tmp_path, "endpoint": hub.endpoint, **options}
        return Path(hf_hub_download(REPO, name, **options))

    return one


def test_files_come_by_branch_tag_and_commit(first, fetch):
    for revision in ("main", "v1.0.0", first, "refs/heads/main", "refs/tags/v1.0.0"):
        got = fetch("query.safetensors", revision=revision)
        assert got.read_bytes() == (ARTIFACT / "query.safetensors").read_bytes()
    assert f"snapshots/{first}" in str(fetch("retq.json", revision="v1.0.0"))
    assert fetch("notes/a b.txt").read_text() == "later"


def test_a_dry_run_says_size_and_commit(first, fetch, hub):
    planned = hf_hub_download(
        REPO, "retq.json", revision=first, dry_run=True, endpoint=hub.endpoint, token=False
    )
    assert planned.file_size == (ARTIFACT / "retq.json").stat().st_size
    assert planned.commit_hash == first


def test_snapshots_hold_what_is_asked_for(first, hub, alice, tmp_path):
    options = {"cache_dir": tmp_path, "endpoint": hub.endpoint, "token": False}
    whole = snapshot_download(REPO, revision="v1.0.0", **options)
    assert names(Path(whole)) == names(ARTIFACT)
    again = snapshot_download(REPO, revision="v1.0.0", local_files_only=True, **options)
    assert again == whole
    checked = alice.verify_repo_checksums(REPO, revision="v1.0.0", cache_dir=tmp_path)
    assert (checked.checked_count, checked.mismatches) == (len(names(ARTIFACT)), [])
    some = snapshot_download(
        REPO, allow_patterns="*.json", local_dir=tmp_path / "some", endpoint=hub.endpoint
    )
    assert names(Path(some)) == ["retq.json"]


def test_what_is_not_there_is_told_apart(first, hub, fetch, alice):
    with pytest.raises(RemoteEntryNotFoundError):
        fetch("nothing.bin")
    with pytest.raises(RevisionNotFoundError):
        fetch("retq.json", revision="v9.9.9")
    with pytest.raises(RepositoryNotFoundError):
        hf_hub_download("alice/none", "x", endpoint=hub.endpoint, token=hub.tokens["alice"])
    with pytest.raises(RepositoryNotFoundError):
        hf_hub_download("none", "x", endpoint=hub.endpoint, token=False)


def test_a_part_of_a_file_is_served(first, hub):
    address = f"{hub.endpoint}/{REPO}/resolve/main/golden.safetensors"
    whole = (ARTIFACT / "golden.safetensors").read_bytes()
    for asked, part in (("0-9", whole[:10]), ("100-", whole[100:]), ("-7", whole[-7:])):
        got = requests.get(address, headers={"Range": f"bytes={asked}"}, timeout=10)
        assert got.status_code == 206
        assert got.content == part
    head = requests.head(address, timeout=10)
    assert head.headers["Content-Length"] == str(len(whole))
    assert head.headers["X-Repo-Commit"]
    assert head.headers["ETag"] == f'"{hashlib.sha256(whole).hexdigest()}"'


def test_a_browser_is_told_not_to_run_what_users_uploaded(first, hub, alice):
    page = b"<script>alert(1)</script>"
    alice.upload_file(path_or_fileobj=page, path_in_repo="evil.html", repo_id=REPO)
    got = requests.get(f"{hub.endpoint}/{REPO}/resolve/main/evil.html", timeout=10)
    assert got.content == page
    assert got.headers["Content-Type"].startswith("text/plain")
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    assert got.headers["Content-Disposition"].startswith("attachment")
    assert "sandbox" in got.headers["Content-Security-Policy"]


def test_folders_are_listed_level_by_level(first, alice):
    top = {one.path for one in alice.list_repo_tree(REPO, revision=first)}
    assert top == {one.name for one in ARTIFACT.iterdir()}
    alice.upload_file(path_or_fileobj=b"x", path_in_repo="deep/er/x", repo_id=REPO)
    assert {one.path for one in alice.list_repo_tree(REPO, "deep")} == {"deep/er"}
    below = {one.path for one in alice.list_repo_tree(REPO, "deep", recursive=True)}
    assert below == {"deep/er", "deep/er/x"}
    with pytest.raises(RemoteEntryNotFoundError):
        list(alice.list_repo_tree(REPO, "nowhere"))


def test_a_listing_says_which_commit_touched_a_file_last(first, alice):
    last = {one.path: one.last_commit for one in alice.list_repo_tree(REPO, expand=True)}
    assert last["retq.json"].oid == first
    assert last["notes"].title != "one"
    (info,) = alice.get_paths_info(REPO, "retq.json", expand=True)
    assert info.last_commit.oid == first


def test_paths_are_described_and_unknown_ones_left_out(first, alice):
    found = alice.get_paths_info(REPO, ["query.safetensors", "notes", "nothing"])
    assert [one.path for one in found] == ["query.safetensors", "notes"]
    assert (
        found[0].lfs.sha256
        == hashlib.sha256((ARTIFACT / "query.safetensors").read_bytes()).hexdigest()
    )


def test_the_header_of_tensors_is_read_from_afar(first, alice):
    found = alice.parse_safetensors_file_metadata(REPO, "query.safetensors")
    assert set(found.tensors) == {"query", "bias"}


def test_a_revision_is_resolved_to_its_commit(first, alice):
    assert alice.resolve_revision(REPO, revision="v1.0.0").resolved == first


def test_the_card_is_one_that_the_client_reads(first, fetch):
    card = ModelCard.load(fetch("README.md"))
    assert card.data.library_name == "retq"
