"""Gated repositories: what is shown, who is let in, and how."""

import pytest
import requests
from hubs import Hub
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import BadRequestError, GatedRepoError, HfHubHTTPError


@pytest.fixture(scope="module")
def alice(hub: Hub) -> HfApi:
    return hub.api("alice")


@pytest.fixture(scope="module")
def bob(hub: Hub) -> HfApi:
    return hub.api("bob")


@pytest.fixture(params=["auto", "manual"])
def gate(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def repo(alice: HfApi, gate: str, request: pytest.FixtureRequest) -> str:
    name = f"alice/g-{gate}-{request.node.originalname.removeprefix('test_')[:50]}".strip("_")
    alice.create_repo(name)
    alice.upload_file(path_or_fileobj=b"s", path_in_repo="s.txt", repo_id=name)
    alice.update_repo_settings(name, gated=gate)
    return name


def fetch(hub: Hub, repo: str, user: str | None, cache) -> str:
    token = hub.tokens[user] if user else False
    return hf_hub_download(repo, "s.txt", endpoint=hub.endpoint, token=token, cache_dir=cache)


def ask(hub: Hub, repo: str, user: str) -> requests.Response:
    return requests.post(
        f"{hub.endpoint}/{repo}/ask-access",
        headers={"Authorization": f"Bearer {hub.tokens[user]}"},
        timeout=10,
    )


def test_a_gated_repository_is_shown_but_not_given(hub, bob, repo, gate, tmp_path):
    assert bob.model_info(repo).gated == gate
    assert repo in {one.id for one in hub.api().list_models(author="alice", gated=True)}
    for user, status in (("bob", 403), (None, 401)):
        with pytest.raises(GatedRepoError) as caught:
            fetch(hub, repo, user, tmp_path)
        assert caught.value.response.status_code == status
    with pytest.raises(GatedRepoError):
        bob.auth_check(repo)
    with pytest.raises(GatedRepoError):
        bob.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=repo, create_pr=True)
    assert fetch(hub, repo, "alice", tmp_path)


def test_the_owner_lets_in_who_did_not_ask(hub, alice, bob, repo, tmp_path):
    alice.grant_access(repo, "bob")
    assert fetch(hub, repo, "bob", tmp_path)
    bob.auth_check(repo)
    with pytest.raises(HfHubHTTPError, match="no write access"):
        bob.auth_check(repo, write=True)
    with pytest.raises(BadRequestError, match="bob has access already"):
        alice.grant_access(repo, "bob")
    with pytest.raises(HfHubHTTPError, match="no such user"):
        alice.grant_access(repo, "carol")
    with pytest.raises(HfHubHTTPError, match="no write access"):
        bob.grant_access(repo, "bob")


def test_a_request_is_answered(hub, alice, repo, gate, tmp_path):
    assert ask(hub, repo, "bob").json() == {"status": {"auto": "accepted"}.get(gate, "pending")}
    if gate == "manual":
        (request,) = alice.list_pending_access_requests(repo)
        assert (request.username, request.status) == ("bob", "pending")
        with pytest.raises(GatedRepoError):
            fetch(hub, repo, "bob", tmp_path)
        alice.accept_access_request(repo, request_id=request.request_id)
    assert fetch(hub, repo, "bob", tmp_path)
    assert [one.username for one in alice.list_accepted_access_requests(repo)] == ["bob"]
    alice.reject_access_request(repo, "bob", rejection_reason=None)
    assert ask(hub, repo, "bob").json() == {"status": "rejected"}
    with pytest.raises(GatedRepoError):
        fetch(hub, repo, "bob", tmp_path / "other")
    alice.cancel_access_request(repo, "bob")
    with pytest.raises(HfHubHTTPError, match="no request of bob"):
        alice.cancel_access_request(repo, "bob")


def test_only_gated_repositories_have_requests(hub, alice, repo):
    alice.update_repo_settings(repo, gated=False)
    with pytest.raises(BadRequestError, match="is not gated"):
        alice.grant_access(repo, "bob")
    with pytest.raises(BadRequestError, match="is not gated"):
        list(alice.list_pending_access_requests(repo))
    assert ask(hub, repo, "bob").status_code == 400
