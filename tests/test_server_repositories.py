"""Repositories through the stock client: made, described, listed, changed, deleted."""

import re

import pytest
import requests
from hubs import Hub, artifact_operations
from huggingface_hub import EvalResult, HfApi, ModelCardData
from huggingface_hub.errors import BadRequestError, HfHubHTTPError, RepositoryNotFoundError


@pytest.fixture(scope="module")
def alice(hub: Hub) -> HfApi:
    return hub.api("alice")


@pytest.fixture(scope="module")
def shelf(alice: HfApi) -> list[str]:
    """Seven repositories with a card, made in this order."""
    names = [f"alice/shelf-{number}" for number in range(7)]
    card = ModelCardData(
        license="apache-2.0",
        library_name="retq",
        pipeline_tag="image-segmentation",
        tags=["shelf", "target:drusen"],
        datasets=["idrid"],
        base_model="alice/backbone",
        base_model_relation="adapter",
        model_name="drusen",
        eval_results=[
            EvalResult(
                task_type="image-segmentation",
                dataset_type="idrid",
                dataset_name="IDRiD",
                metric_type="dice",
                metric_value=0.7,
            )
        ],
    )
    for name in names:
        alice.create_repo(name)
        readme = f"---\n{card.to_yaml()}\n---\n# {name}\n"
        alice.upload_file(path_or_fileobj=readme.encode(), path_in_repo="README.md", repo_id=name)
    return names


def test_a_token_says_who_one_is(hub, alice):
    assert alice.whoami()["name"] == "alice"
    with pytest.raises(HfHubHTTPError, match="Invalid user token") as caught:
        HfApi(endpoint=hub.endpoint, token="hf_nobodys").whoami()
    assert caught.value.response.status_code == 401


def test_a_repository_is_made_once(alice):
    made = alice.create_repo("alice/once")
    assert made.repo_id == "alice/once"
    with pytest.raises(HfHubHTTPError, match="already created this model repo") as caught:
        alice.create_repo("alice/ONCE")
    assert caught.value.response.status_code == 409
    assert alice.create_repo("alice/once", exist_ok=True) == made
    assert alice.create_repo("once", repo_type="dataset").repo_type == "dataset"


def test_nobody_makes_repositories_in_anothers_namespace(hub):
    with pytest.raises(HfHubHTTPError, match="no rights in the namespace alice") as caught:
        hub.api("bob").create_repo("alice/bobs")
    assert caught.value.response.status_code == 403
    with pytest.raises(HfHubHTTPError, match="A token is needed"):
        hub.api().create_repo("alice/nobodys")


def test_info_says_what_the_card_and_the_files_say(alice, shelf):
    info = alice.model_info(shelf[0], files_metadata=True)
    assert info.library_name == "retq"
    assert info.pipeline_tag == "image-segmentation"
    assert info.author == "alice"
    assert {"retq", "shelf", "dataset:idrid", "license:apache-2.0"} <= set(info.tags)
    assert "base_model:adapter:alice/backbone" in info.tags
    assert info.card_data.eval_results[0].metric_value == 0.7
    assert [(one.rfilename, one.lfs) for one in info.siblings] == [("README.md", None)]


def test_info_counts_the_floats_of_an_artifact(alice):
    alice.create_repo("alice/counted")
    alice.create_commit("alice/counted", artifact_operations(), commit_message="one")
    info = alice.model_info("alice/counted", files_metadata=True)
    assert info.safetensors.total == 385
    large = {one.rfilename for one in info.siblings if one.lfs}
    assert large == {"query.safetensors", "golden.safetensors", "overlay.jpg"}


def test_info_gives_only_what_is_expanded(alice, shelf):
    info = alice.model_info(shelf[0], expand=["tags", "sha"])
    assert info.tags
    assert info.sha
    assert info.siblings is None
    assert info.card_data is None


@pytest.mark.parametrize("user", ["alice", None])
def test_a_repository_that_is_not_there_is_not_found(hub, user):
    for name in ("alice/nothing", "nothing"):
        with pytest.raises(RepositoryNotFoundError):
            hub.api(user).model_info(name)


def test_lists_are_filtered_by_all_tags(alice, shelf):
    both = ["shelf", "base_model:adapter:alice/backbone"]
    assert {one.id for one in alice.list_models(filter=both)} == set(shelf)
    assert list(alice.list_models(filter=["shelf", "target:disc"])) == []
    assert {one.id for one in alice.list_models(filter="shelf", pipeline_tag="other")} == set()


def test_lists_are_searched_limited_and_sorted(alice, shelf):
    assert [one.id for one in alice.list_models(search="SHELF-3")] == [shelf[3]]
    found = alice.list_models(search="shelf", author="alice", limit=3, sort="created_at")
    assert [one.id for one in found] == shelf[:3:-1]
    assert list(alice.list_models(author="bob", search="shelf")) == []
    with pytest.raises(BadRequestError, match="cannot sort by 'price'"):
        list(alice.list_models(sort="price"))
    with pytest.raises(BadRequestError, match="cannot filter by num_parameters"):
        list(alice.list_models(num_parameters="min:1B"))


def test_lists_give_the_card_where_asked(alice, shelf):
    plain = next(iter(alice.list_models(search=shelf[0])))
    assert plain.card_data is None
    assert plain.siblings is None
    full = next(iter(alice.list_models(search=shelf[0], cardData=True, full=True)))
    assert full.card_data.library_name == "retq"
    assert full.sha
    assert [one.rfilename for one in full.siblings] == ["README.md"]


def test_lists_come_in_pages_that_link_to_the_next(hub, shelf):
    address, seen = f"{hub.endpoint}/api/models?search=shelf&limit=3", []
    while address:
        answer = requests.get(address, timeout=10)
        seen.append([one["id"] for one in answer.json()])
        address = answer.links.get("next", {}).get("url")
    assert [len(page) for page in seen] == [3, 3, 1]
    assert sorted(name for page in seen for name in page) == shelf


def test_private_repositories_exist_for_their_owner_alone(hub, alice):
    alice.create_repo("alice/secret", private=True)
    assert alice.model_info("alice/secret").private
    for user in ("bob", None):
        with pytest.raises(RepositoryNotFoundError):
            hub.api(user).model_info("alice/secret")
        assert list(hub.api(user).list_models(search="alice/secret")) == []
    assert len(list(alice.list_models(search="alice/secret"))) == 1
    alice.update_repo_settings("alice/secret", private=False)
    assert not hub.api().model_info("alice/secret").private


def test_only_the_owner_changes_settings(hub, alice):
    alice.create_repo("alice/settled")
    with pytest.raises(HfHubHTTPError, match="no write access") as caught:
        hub.api("bob").update_repo_settings("alice/settled", private=True)
    assert caught.value.response.status_code == 403


def test_a_deleted_repository_is_gone_with_its_files(hub, alice):
    blob = b"only here \0" * 50
    for name in ("alice/goes", "alice/stays"):
        alice.create_repo(name)
        alice.upload_file(path_or_fileobj=b"shared \0", path_in_repo="both.bin", repo_id=name)
    alice.upload_file(path_or_fileobj=blob, path_in_repo="own.bin", repo_id="alice/goes")
    own = alice.get_paths_info("alice/goes", "own.bin")[0].lfs.sha256
    place = hub.data / "blobs" / own[:2] / own[2:]
    assert place.read_bytes() == blob
    with pytest.raises(HfHubHTTPError, match="no write access"):
        hub.api("bob").delete_repo("alice/goes")
    alice.delete_repo("alice/goes")
    assert not place.exists()
    with pytest.raises(RepositoryNotFoundError):
        alice.model_info("alice/goes")
    alice.delete_repo("alice/goes", missing_ok=True)
    left = requests.get(f"{hub.endpoint}/alice/stays/resolve/main/both.bin", timeout=10)
    assert left.content == b"shared \0"


def test_data_sets_have_names_of_their_own(hub, alice):
    alice.create_repo("alice/twice")
    alice.create_repo("alice/twice", repo_type="dataset")
    alice.upload_file(
        path_or_fileobj=b"a,b\n", path_in_repo="t.csv", repo_id="alice/twice", repo_type="dataset"
    )
    assert [one.rfilename for one in alice.dataset_info("alice/twice").siblings] == ["t.csv"]
    assert alice.model_info("alice/twice").siblings == []
    address = f"{hub.endpoint}/datasets/alice/twice/resolve/main/t.csv"
    assert requests.get(address, timeout=10).text == "a,b\n"
    assert "alice/twice" in {one.id for one in alice.list_datasets(author="alice")}


def test_a_bad_card_is_told_before_the_commit(alice):
    alice.create_repo("alice/badcard")
    with pytest.raises(ValueError, match='"license" must be a string'):
        alice.upload_file(
            path_or_fileobj=b"---\nlicense: 3\n---\n",
            path_in_repo="README.md",
            repo_id="alice/badcard",
        )


def test_the_log_has_a_line_a_request_and_no_token(hub, alice):
    alice.whoami()
    with pytest.raises(HfHubHTTPError):
        hub.api("bob").create_repo("alice/logged")
    lines = hub.log.read_text()
    assert re.search(r"^\S+ \S+ bob POST /api/repos/create 403 \d+ ms$", lines, re.MULTILINE)
    assert re.search(r"^\S+ \S+ alice GET /api/whoami-v2 200 \d+ ms$", lines, re.MULTILINE)
    assert "hf_" not in lines
