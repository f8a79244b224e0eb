"""What a user of the hub may try against the others, with requests that look honest."""

import base64
import hashlib
import json
import os
import random
import time
from email.utils import parsedate_to_datetime

import pytest
import requests
from hubs import Hub, add_users
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError

from retq_hub.server import accounts, diffs, edits, repos
from retq_hub.server.naming import RepoId
from retq_hub.server.payloads import Payload
from retq_hub.server.services import open_database
from retq_hub.server.trees import Entry

SECRET = b"\0 the vectors of a patent"


@pytest.fixture(scope="module")
def alice(hub: Hub) -> HfApi:
    return hub.api("alice")


@pytest.fixture(scope="module")
def bob(hub: Hub) -> HfApi:
    return hub.api("bob")


def fetch(hub: Hub, path: str, user: str | None = None) -> requests.Response:
    headers = {"Authorization": f"Bearer {hub.tokens[user]}"} if user else {}
    return requests.get(hub.endpoint + path, headers=headers, timeout=30)


def pointer(data: bytes) -> bytes:
    sha256 = hashlib.sha256(data).hexdigest()
    return Entry(size=len(data), sha1="", sha256=sha256, lfs=True).pointer


def add(api: HfApi, repo: str, files: dict[str, bytes], **options: object) -> None:
    operations = [CommitOperationAdd(name, data) for name, data in files.items()]
    api.create_commit(repo, operations, commit_message="add", **options)


def test_the_pointer_of_a_private_file_is_not_the_file(hub, alice, bob):
    alice.create_repo("alice/patent", private=True)
    add(alice, "alice/patent", {"q.safetensors": SECRET})
    bob.create_repo("bob/thief")
    add(bob, "bob/thief", {"q.safetensors": pointer(SECRET)})
    got = fetch(hub, "/bob/thief/resolve/main/q.safetensors", "bob")
    assert got.content == pointer(SECRET)


def test_a_pointer_that_was_there_before_does_not_take_a_files_place(hub, alice, bob):
    data = b"\0 published elsewhere, pushed here tomorrow"
    bob.create_repo("bob/early")
    add(bob, "bob/early", {"q.safetensors": pointer(data)})
    alice.create_repo("alice/late")
    add(alice, "alice/late", {"q.safetensors": data})
    assert fetch(hub, "/alice/late/resolve/main/q.safetensors").content == data


def test_a_file_is_not_read_by_its_digest(alice, bob, hub):
    bob.create_repo("bob/claims")
    line = {"path": "x", "oid": hashlib.sha256(SECRET).hexdigest(), "size": len(SECRET)}
    body = "\n".join(
        json.dumps({"key": key, "value": value})
        for key, value in (("header", {"summary": "mine"}), ("lfsFile", line))
    )
    answer = requests.post(
        f"{hub.endpoint}/api/models/bob/claims/commit/main",
        data=body,
        headers={"Authorization": f"Bearer {hub.tokens['bob']}"},
        timeout=10,
    )
    assert answer.status_code == 400
    assert "was not uploaded to this repository" in answer.json()["error"]


def test_times_do_not_tell_who_had_a_file_before(hub, alice, bob):
    alice.create_repo("alice/first", private=True)
    add(alice, "alice/first", {"x": b"\0 the same"})
    digest = hashlib.sha256(b"\0 the same").hexdigest()
    os.utime(hub.data / "blobs" / digest[:2] / digest[2:], (1, 1))
    bob.create_repo("bob/second")
    start = int(time.time())
    add(bob, "bob/second", {"x": b"\0 the same"})
    seen = fetch(hub, "/bob/second/resolve/main/x", "bob").headers
    assert parsedate_to_datetime(seen["Last-Modified"]).timestamp() >= start
    assert seen["Cache-Control"] == "private, no-cache"


def test_what_belonged_to_a_deleted_repository_reaches_no_later_one(tmp_path):
    add_users(tmp_path, "alice", "bob")
    database = open_database(tmp_path)
    with database.writing() as connection:
        alice, bob = (accounts.find(connection, name) for name in ("alice", "bob"))
        keys = []
        for user in (alice, bob):
            repo = RepoId(kind="models", namespace=user.name, name="x")
            keys.append(repos.create(connection, repo, user, private=False))
            repos.delete(connection, repos.find(connection, repo, user))
    database.close()
    assert keys[0] < keys[1]


def test_a_private_repository_is_nowhere(hub, alice):
    alice.create_repo("alice/hidden", private=True)
    add(alice, "alice/hidden", {"README.md": b"---\ntags: [veiled]\n---\n"})
    alice.create_tag("alice/hidden", tag="v1.0.0")
    alice.create_discussion("alice/hidden", "Secret plans")
    commit = alice.model_info("alice/hidden").sha
    assert [one.id for one in alice.list_models(filter="veiled")] == ["alice/hidden"]
    api, nothing = "/api/models/alice/hidden", "/api/models/alice/there-is-none"
    for user in ("bob", None):
        for tail in (
            "",
            "/revision/v1.0.0",
            "/refs",
            "/commits/main",
            f"/tree/{commit}",
            "/discussions",
            "/discussions/1?diff=1",
            "/auth-check",
            "/user-access-request/pending",
        ):
            seen, other = fetch(hub, api + tail, user), fetch(hub, nothing + tail, user)
            assert (seen.status_code, seen.content) == (other.status_code, other.content)
            assert seen.status_code in (401, 404)
        for path in (f"resolve/{commit}/README.md", "resolve/v1.0.0/nothing"):
            seen = fetch(hub, f"/alice/hidden/{path}", user)
            other = fetch(hub, f"/alice/there-is-none/{path}", user)
            assert (seen.status_code, seen.content) == (other.status_code, other.content)
        for query in ("filter=veiled", "search=hidden", "author=alice&search=hidden"):
            assert fetch(hub, f"/api/models?{query}", user).json() == []


def test_who_was_not_let_in_opens_no_pull_request(hub, alice, bob):
    alice.create_repo("alice/door")
    add(alice, "alice/door", {"x": b"1"})
    alice.update_repo_settings("alice/door", gated="manual")
    with pytest.raises(HfHubHTTPError, match="not in the authorized list"):
        bob.create_pull_request("alice/door", "Let me in")
    alice.grant_access("alice/door", "bob")
    bob.create_pull_request("alice/door", "Let me in")
    alice.reject_access_request("alice/door", "bob", rejection_reason=None)
    with pytest.raises(HfHubHTTPError, match="not in the authorized list"):
        add(bob, "alice/door", {"x": b"2"}, revision="refs/pr/1")


@pytest.mark.parametrize(
    "event", ["f" * 24, "-1", "0x1", "1_0", "0" * 24, "%F0%9D%9F%8F", "7" * 400]
)
def test_comments_that_are_not_there(hub, alice, event):
    alice.create_repo("alice/talk", exist_ok=True)
    alice.create_discussion("alice/talk", "Anything")
    answer = requests.post(
        f"{hub.endpoint}/api/models/alice/talk/discussions/1/comment/{event}/hide",
        headers={"Authorization": f"Bearer {hub.tokens['alice']}"},
        timeout=10,
    )
    assert answer.status_code == 404


@pytest.mark.parametrize("head", ["a: !!bool x", "a: !!int ''", "a: " + "1:" * 400 + "1.5"])
def test_cards_whose_values_are_not_what_they_say(hub, head):
    answer = requests.post(
        f"{hub.endpoint}/api/validate-yaml", json={"content": f"---\n{head}\n---\n"}, timeout=10
    )
    assert "the head is no YAML" in answer.json()["errors"][0]["message"]


def test_a_card_that_grows_without_end(hub):
    lines = [
        f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" if n else "a0: &a0 {k: 1}"
        for n in range(12)
    ]
    head = "\n".join(lines)
    answer = requests.post(
        f"{hub.endpoint}/api/validate-yaml", json={"content": f"---\n{head}\n---\n"}, timeout=10
    )
    assert 'merge key "<<"' in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    "query",
    [
        "filter=a&" * 2000,
        "filter=" + "a," * 15_000,
        "cursor=" + base64.b64encode(b'["a", %d]' % 10**30).decode(),
        "cursor=" + base64.b64encode(b'["a", -1]').decode(),
    ],
)
def test_lists_that_ask_for_too_much(hub, query):
    assert fetch(hub, f"/api/models?{query}").status_code == 400


def test_lists_of_large_repositories_come_in_small_pages(hub, alice):
    large = {"oid": hashlib.sha256(b"x").hexdigest(), "size": 1}
    body = json.dumps({"key": "header", "value": {"summary": "many"}}) + "\n"
    body += "".join(
        json.dumps({"key": "lfsFile", "value": {"path": f"{n}", **large}}) + "\n"
        for n in range(10_000)
    )
    for name in "abc":
        alice.create_repo(f"alice/large-{name}")
        add(alice, f"alice/large-{name}", {"x": b"x"})
        answer = requests.post(
            f"{hub.endpoint}/api/models/alice/large-{name}/commit/main",
            data=body,
            headers={"Authorization": f"Bearer {hub.tokens['alice']}"},
            timeout=60,
        )
        assert answer.status_code == 200
    page = fetch(hub, "/api/models?search=large-&full=1&limit=1000").json()
    assert len(page) == 2
    everything = list(alice.list_models(search="alice/large-", full=True))
    assert sorted(one.id for one in everything) == [f"alice/large-{name}" for name in "abc"]
    assert len(fetch(hub, "/api/models?search=large-").json()) == 3


def test_a_difference_that_would_take_hours_is_not_computed():
    chance = random.Random(1)
    texts = [
        "".join(f"{chance.randrange(1000)}\n" for _ in range(60_000)).encode() for _ in range(2)
    ]
    old, new = (
        {"x": Entry(size=len(text), sha1="", sha256=str(number), lfs=False)}
        for number, text in enumerate(texts)
    )
    start = time.perf_counter()
    found = diffs.unified(old, new, lambda entry: texts[int(entry.sha256)])
    assert found == "diff --git a/x b/x\nBinary files a/x and b/x differ\n"
    assert time.perf_counter() - start < 2


def test_many_folders_are_deleted_in_one_go():
    tree = {f"{n}/x": Entry(size=0, sha1="0" * 40, sha256="", lfs=False) for n in range(20_000)}
    payload = Payload(deleted_folders=[f"{n}" for n in range(20_000)])
    start = time.perf_counter()
    assert edits.applied(None, None, tree, payload) == {}
    assert time.perf_counter() - start < 2
