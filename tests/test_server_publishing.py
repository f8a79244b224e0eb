"""Commits, tags and branches through the stock client; large files by the requests it makes."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from hubs import Hub, artifact_operations
from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi
from huggingface_hub.errors import (
    BadRequestError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RevisionNotFoundError,
)


@pytest.fixture(scope="module")
def alice(hub: Hub) -> HfApi:
    return hub.api("alice")


@pytest.fixture
def repo(alice: HfApi, request: pytest.FixtureRequest) -> str:
    name = "alice/p-" + request.node.originalname.removeprefix("test_")[:60]
    alice.create_repo(name.strip("_"))
    return name.strip("_")


def put(api: HfApi, repo: str, path: str, data: bytes, **options: object) -> str:
    return api.upload_file(path_or_fileobj=data, path_in_repo=path, repo_id=repo, **options).oid


def paths(api: HfApi, repo: str, revision: str = "main") -> list[str]:
    return sorted(one.rfilename for one in api.model_info(repo, revision=revision).siblings)


def test_a_new_repository_has_one_empty_commit(alice, repo):
    (first,) = alice.list_repo_commits(repo)
    assert first.title == "initial commit"
    assert paths(alice, repo) == []


def test_a_commit_adds_changes_copies_and_deletes(alice, repo):
    add = [CommitOperationAdd(f"in/{name}.txt", name.encode()) for name in "abc"]
    alice.create_commit(repo, [*add, CommitOperationAdd("x.bin", b"\0x")], commit_message="first")
    alice.create_commit(
        repo,
        [
            CommitOperationAdd("in/a.txt", b"A"),
            CommitOperationCopy("in/b.txt", "b-copy.txt"),
            CommitOperationCopy("x.bin", "x-copy.bin"),
            CommitOperationDelete("in/c.txt"),
        ],
        commit_message="second",
        commit_description="and why",
    )
    assert paths(alice, repo) == ["b-copy.txt", "in/a.txt", "in/b.txt", "x-copy.bin", "x.bin"]
    alice.delete_folder("in", repo)
    assert paths(alice, repo) == ["b-copy.txt", "x-copy.bin", "x.bin"]
    commits = alice.list_repo_commits(repo)
    assert [one.title for one in commits[1:]] == ["second", "first", "initial commit"]
    assert commits[1].message == "and why"
    assert commits[1].authors == ["alice"]


def test_what_has_not_changed_is_not_committed_again(alice, repo):
    data = b"\0binary"
    first = put(alice, repo, "x.bin", data)
    assert put(alice, repo, "x.bin", data) == first
    assert len(alice.list_repo_commits(repo)) == 2


def test_a_folder_is_uploaded(alice, repo, tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "one.txt").write_text("1")
    (tmp_path / "two.txt").write_text("2")
    alice.upload_folder(repo_id=repo, folder_path=tmp_path)
    assert paths(alice, repo) == ["deep/er/one.txt", "two.txt"]


def test_a_file_that_is_not_there_cannot_be_deleted(alice, repo):
    with pytest.raises(RemoteEntryNotFoundError, match="A file with this name doesn't exist"):
        alice.delete_file("nothing.txt", repo)


def test_a_path_cannot_be_file_and_folder(alice, repo):
    put(alice, repo, "a", b"1")
    with pytest.raises(BadRequestError, match="a is a file and cannot be a folder of a/b"):
        put(alice, repo, "a/b", b"2")


def test_a_stale_parent_is_refused(alice, repo):
    old = alice.model_info(repo).sha
    new = put(alice, repo, "a.txt", b"a")
    with pytest.raises(HfHubHTTPError, match=f"moved on to {new}") as caught:
        put(alice, repo, "b.txt", b"b", parent_commit=old)
    assert caught.value.response.status_code == 412
    put(alice, repo, "b.txt", b"b", parent_commit=new)


def test_of_two_commits_on_one_parent_one_wins(hub, alice, repo):
    parent = alice.model_info(repo).sha

    def attempt(number: int) -> int:
        line = {"summary": f"try {number}", "parentCommit": parent}
        file = {"path": f"{number}.txt", "content": "YQ=="}
        body = "\n".join(
            json.dumps(one)
            for one in ({"key": "header", "value": line}, {"key": "file", "value": file})
        )
        return requests.post(
            f"{hub.endpoint}/api/models/{repo}/commit/main",
            data=body,
            headers={"Authorization": f"Bearer {hub.tokens['alice']}"},
            timeout=30,
        ).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(attempt, range(8)))
    assert statuses == [200] + [412] * 7
    assert len(paths(alice, repo)) == 1


def test_nobody_else_commits(hub, repo):
    with pytest.raises(HfHubHTTPError, match=r"no write access.*open a pull request") as caught:
        put(hub.api("bob"), repo, "x", b"x")
    assert caught.value.response.status_code == 403
    with pytest.raises(HfHubHTTPError, match="A token is needed"):
        put(hub.api(), repo, "x", b"x")


def test_branches_may_have_slashes(alice, repo):
    alice.create_branch(repo, branch="exp/one")
    put(alice, repo, "x.txt", b"x", revision="exp/one")
    assert paths(alice, repo) == []
    assert paths(alice, repo, "exp/one") == ["x.txt"]
    assert paths(alice, repo, "refs/heads/exp/one") == ["x.txt"]
    with pytest.raises(HfHubHTTPError, match="already exists") as caught:
        alice.create_branch(repo, branch="exp/one")
    assert caught.value.response.status_code == 409
    alice.delete_branch(repo, branch="exp/one")
    with pytest.raises(RevisionNotFoundError):
        alice.model_info(repo, revision="exp/one")
    with pytest.raises(HfHubHTTPError, match="main cannot be deleted"):
        alice.delete_branch(repo, branch="main")


@pytest.mark.parametrize("name", ["a b", "a..b", "-a", "a.lock", "refs/heads/a", "a~1", "f" * 40])
def test_odd_names_are_no_branches(alice, name):
    alice.create_repo("alice/p-odd", exist_ok=True)
    with pytest.raises(BadRequestError, match="cannot be the name of a branch or tag"):
        alice.create_branch("alice/p-odd", branch=name)


def test_tags_name_commits(alice, repo):
    first = put(alice, repo, "a.txt", b"1")
    put(alice, repo, "a.txt", b"2")
    alice.create_tag(repo, tag="good", revision=first, tag_message="this one")
    alice.create_tag(repo, tag="newest")
    with pytest.raises(HfHubHTTPError, match="already exists"):
        alice.create_tag(repo, tag="good")
    refs = alice.list_repo_refs(repo)
    assert {one.name: one.target_commit for one in refs.tags}["good"] == first
    assert [one.name for one in refs.branches] == ["main"]
    with pytest.raises(RevisionNotFoundError):
        put(alice, repo, "b.txt", b"b", revision="good")
    alice.delete_tag(repo, tag="good")
    with pytest.raises(RevisionNotFoundError):
        alice.delete_tag(repo, tag="good")


def test_a_published_version_never_moves(alice, repo):
    first = alice.create_commit(repo, artifact_operations(), commit_message="1").oid
    alice.create_tag(repo, tag="v1.0.0")
    second = put(alice, repo, "note.txt", b"later")
    alice.delete_tag(repo, tag="v1.0.0")
    with pytest.raises(HfHubHTTPError, match="a published version never moves") as caught:
        alice.create_tag(repo, tag="v1.0.0", revision=second)
    assert caught.value.response.status_code == 409
    assert first in str(caught.value)
    alice.create_tag(repo, tag="v1.0.0", revision=first)
    with pytest.raises(BadRequestError, match="is the name of a version"):
        alice.create_branch(repo, branch="v1.0.0")


def test_tags_of_other_models_move(alice, repo):
    put(alice, repo, "a.txt", b"1")
    alice.create_tag(repo, tag="v1.0.0")
    second = put(alice, repo, "a.txt", b"2")
    alice.delete_tag(repo, tag="v1.0.0")
    alice.create_tag(repo, tag="v1.0.0")
    assert alice.model_info(repo, revision="v1.0.0").sha == second


def upload(
    hub: Hub, repo: str, data: bytes, *, announced: bytes | None = None
) -> requests.Response:
    """Upload a large file as the client does with xet off; ``announced`` lies about it."""
    truth = announced if announced is not None else data
    login = {"Authorization": f"Bearer {hub.tokens['alice']}"}
    item = {"oid": hashlib.sha256(truth).hexdigest(), "size": len(truth)}
    batch = requests.post(
        f"{hub.endpoint}/{repo}.git/info/lfs/objects/batch",
        json={"operation": "upload", "objects": [item]},
        headers=login,
        timeout=10,
    ).json()
    (answer,) = batch["objects"]
    if "actions" not in answer:
        return requests.Response()
    sent = requests.put(answer["actions"]["upload"]["href"], data=data, timeout=30)
    if sent.ok:
        verify = answer["actions"]["verify"]["href"]
        requests.post(verify, json=item, headers=login, timeout=10).raise_for_status()
    return sent


def commit_large(hub: Hub, repo: str, path: str, sha256: str, size: int) -> requests.Response:
    lines = [
        {"key": "header", "value": {"summary": "large"}},
        {"key": "lfsFile", "value": {"path": path, "algo": "sha256", "oid": sha256, "size": size}},
    ]
    return requests.post(
        f"{hub.endpoint}/api/models/{repo}/commit/main",
        data="\n".join(map(json.dumps, lines)),
        headers={"Authorization": f"Bearer {hub.tokens['alice']}"},
        timeout=10,
    )


def test_a_large_file_is_uploaded_verified_and_committed(hub, alice, repo):
    data = bytes(range(256)) * 12_000
    digest = hashlib.sha256(data).hexdigest()
    assert upload(hub, repo, data).status_code == 200
    assert upload(hub, repo, data).status_code is None
    assert commit_large(hub, repo, "big.bin", digest, len(data)).status_code == 200
    got = requests.get(f"{hub.endpoint}/{repo}/resolve/main/big.bin", timeout=10)
    assert got.content == data
    assert got.headers["ETag"] == f'"{digest}"'
    assert got.headers["X-Linked-Size"] == str(len(data))


def test_a_large_file_must_be_what_was_announced(hub, repo):
    for sent, announced in ((b"other", b"thing"), (b"long" * 9, b"short"), (b"no", b"longer")):
        answer = upload(hub, repo, sent, announced=announced)
        assert answer.status_code in (400, 413)
        assert "error" in answer.json()
        digest = hashlib.sha256(announced).hexdigest()
        refused = commit_large(hub, repo, "x.bin", digest, len(announced))
        assert refused.status_code == 400
        assert "was not uploaded to this repository" in refused.json()["error"]


def test_a_commit_cannot_take_a_large_file_from_another_repository(hub, alice, repo):
    secret = b"\0 of a private repository"
    alice.create_repo("alice/p-private", private=True, exist_ok=True)
    assert upload(hub, "alice/p-private", secret).status_code == 200
    digest = hashlib.sha256(secret).hexdigest()
    refused = commit_large(hub, repo, "stolen.bin", digest, len(secret))
    assert refused.status_code == 400
    assert "was not uploaded" in refused.json()["error"]
