"""Every pushed artifact is checked: the verdict is kept, or the commit refused."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hubs import ARTIFACT, Hub, artifact_operations, running_hub
from huggingface_hub import CommitOperationAdd, CommitOperationDelete
from huggingface_hub.errors import HfHubHTTPError

from retq_hub import artifact, assembly
from retq_hub.server import checks
from retq_hub.server.trees import Entry


def manifest(**changes: object) -> bytes:
    """Give the artifact's manifest with some members changed."""
    return json.dumps(json.loads((ARTIFACT / "retq.json").read_bytes()) | changes).encode()


LYING_HEADER = (2**62).to_bytes(8, "little") + b"{}"


def judge(tmp_path: Path, files: dict[str, bytes]) -> checks.Verdict:
    """Judge files as the hub does."""
    tree = {}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        tree[name] = Entry(size=len(data), sha1="0", sha256="0", lfs=False)
    (tmp_path / "check").mkdir()
    return checks.judge(tree, lambda name: tmp_path / name, tmp_path / "check")


@pytest.fixture
def files() -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in ARTIFACT.iterdir()}


def test_an_intact_artifact_has_no_findings(tmp_path, files):
    verdict = judge(tmp_path, files)
    assert verdict.findings == []
    assert verdict.manifest == artifact.read_manifest(ARTIFACT)
    assert verdict.floats == 384


@pytest.mark.parametrize(
    ("name", "data", "where"),
    [
        ("retq.json", b'{"spec": "1.0"}', "retq.json/"),
        ("retq.json", b"{" * 100_000, "retq.json/"),
        ("retq.json", b" " * (4 * 2**20 + 1), "retq.json"),
        ("retq.json", b"\xff\xfe", "retq.json/"),
        ("retq.json", manifest(name="\ud800"), "retq.json/name"),
        ("retq.json", manifest(**{"\ud800": 1}), "retq.json/"),
        ("retq.json", manifest(authors=["\ud800"]), "retq.json/"),
        ("retq.json", manifest(authors=[1] * 1000), ""),
        ("query.safetensors", LYING_HEADER, "query.safetensors"),
        ("golden.safetensors", b"", "golden.safetensors"),
        ("README.md", None, "README.md"),
    ],
)
def test_findings_are_those_of_validate_without_places_of_the_server(
    tmp_path, files, name, data, where
):
    files[name] = data
    found = judge(tmp_path, {one: data for one, data in files.items() if data is not None})
    assert any(one.where.startswith(where) for one in found.findings)
    assert str(tmp_path) not in str(found.findings)
    assert checks.decode(checks.encode(found.findings)) == found.findings
    assert len(found.findings) <= 101


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("strict"), refuse_invalid=True) as running:
        running.api("alice").create_repo("alice/strict")
        yield running


def test_a_strict_hub_takes_intact_artifacts_and_what_is_none(strict):
    alice = strict.api("alice")
    alice.create_commit("alice/strict", artifact_operations(), commit_message="good")
    alice.upload_file(path_or_fileobj=b"x", path_in_repo="x.txt", repo_id="alice/strict")


def test_a_strict_hub_refuses_with_all_findings(strict):
    alice = strict.api("alice")
    before = alice.model_info("alice/strict").sha
    operations = artifact_operations(
        query_safetensors=LYING_HEADER, golden_safetensors=b"\0nothing"
    )
    with pytest.raises(HfHubHTTPError) as caught:
        alice.create_commit("alice/strict", operations, commit_message="bad")
    assert caught.value.response.status_code == 422
    assert caught.value.response.headers["X-Error-Code"] == "InvalidArtifact"
    assert "takes only intact artifacts; 2 findings" in str(caught.value)
    assert "query.safetensors has digest" in str(caught.value)
    assert "golden.safetensors has digest" in str(caught.value)
    with pytest.raises(HfHubHTTPError, match=r"retq\.json/version"):
        alice.create_commit(
            "alice/strict",
            artifact_operations(retq_json=manifest(version="one")),
            commit_message="bad",
            create_pr=True,
        )
    assert alice.model_info("alice/strict").sha == before
    assert list(alice.get_repo_discussions("alice/strict")) == []


def test_a_strict_hub_takes_whole_locks_alone(strict, registry_folder, tmp_path):
    alice = strict.api("alice")
    alice.create_repo("alice/strict-set", exist_ok=True)
    assembly.compose(["tiny-disc"], tmp_path / "set", name="strict-set", version="1.0.0")
    alice.upload_folder(repo_id="alice/strict-set", folder_path=tmp_path / "set")
    head = alice.model_info("alice/strict-set").sha
    document = json.loads((tmp_path / "set/retq.lock").read_text())
    document["queries"][0]["origin"] = {"kind": "folder", "path": "mine"}
    local = json.dumps(document).encode()
    for lock, what in ((b"{}", "required property"), (local, "only in the folder mine")):
        with pytest.raises(HfHubHTTPError, match=what) as caught:
            alice.upload_file(
                path_or_fileobj=lock, path_in_repo="retq.lock", repo_id="alice/strict-set"
            )
        assert caught.value.response.status_code == 422
    assert alice.model_info("alice/strict-set").sha == head


@pytest.mark.parametrize(
    "header",
    [
        b'{"a":{"dtype":"\\ud800","shape":[1]}}',
        b'{"a":{"dtype":"F32","shape":[1099511627775,1099511627775]}}',
        b'{"a":{"dtype":"F32","shape":["x"]}}',
        b"[" * 10_000,
        b"[]",
        b"\xff",
    ],
)
def test_tensor_files_with_odd_headers_count_nothing(hub, header):
    alice = hub.api("alice")
    alice.create_repo("alice/odd-tensors", exist_ok=True)
    data = len(header).to_bytes(8, "little") + header + bytes(len(header) % 7)
    alice.upload_file(
        path_or_fileobj=data, path_in_repo="model.safetensors", repo_id="alice/odd-tensors"
    )
    assert alice.model_info("alice/odd-tensors").safetensors is None


def test_a_strict_hub_merges_no_breakage(strict):
    alice, bob = strict.api("alice"), strict.api("bob")
    alice.create_repo("alice/merged")
    alice.create_commit("alice/merged", artifact_operations(), commit_message="good")
    opened = bob.create_pull_request("alice/merged", "Half of it")
    with pytest.raises(HfHubHTTPError, match=r"golden\.safetensors is missing"):
        bob.create_commit(
            "alice/merged",
            [CommitOperationDelete("golden.safetensors")],
            commit_message="less",
            revision=opened.git_reference,
        )


def test_any_other_hub_keeps_the_verdict(hub):
    alice = hub.api("alice")
    alice.create_repo("alice/verdict")
    operations = [CommitOperationAdd("retq.json", b'{"spec":"1.0"}')]
    alice.create_commit("alice/verdict", operations, commit_message="odd")
    assert alice.file_exists("alice/verdict", "retq.json")
