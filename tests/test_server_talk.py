"""Discussions and pull requests through the stock client."""

import pytest
from hubs import Hub
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import BadRequestError, HfHubHTTPError


@pytest.fixture(scope="module")
def alice(hub: Hub) -> HfApi:
    return hub.api("alice")


@pytest.fixture(scope="module")
def bob(hub: Hub) -> HfApi:
    return hub.api("bob")


@pytest.fixture
def repo(alice: HfApi, request: pytest.FixtureRequest) -> str:
    name = "alice/t-" + request.node.originalname.removeprefix("test_")[:60].strip("_")
    alice.create_repo(name, exist_ok=True)
    alice.create_commit(
        name,
        [CommitOperationAdd(one, b"old\n") for one in ("a.txt", "b.txt", "c.txt")],
        commit_message="start",
    )
    return name


def propose(api: HfApi, repo: str, *operations: CommitOperationAdd) -> int:
    made = api.create_commit(repo, operations, commit_message="better", create_pr=True)
    assert made.pr_revision == f"refs/pr/{made.pr_num}"
    return made.pr_num


def test_a_discussion_is_opened_commented_renamed_and_closed(alice, bob, repo):
    opened = bob.create_discussion(repo, "  Which camera?  ", description="It says nothing.")
    assert (opened.num, opened.title, opened.status) == (1, "Which camera?", "open")
    said = alice.comment_discussion(repo, 1, "A *Kowa*. <script>")
    assert said.content == "A *Kowa*. <script>"
    assert "<script>" not in said.rendered
    alice.edit_discussion_comment(repo, 1, said.id, "A Topcon.")
    bob.rename_discussion(repo, 1, "Which camera was it?")
    assert bob.change_discussion_status(repo, 1, "closed", comment="Thanks").new_status == "closed"
    found = alice.get_discussion_details(repo, 1)
    assert (found.title, found.status) == ("Which camera was it?", "closed")
    assert [event.type for event in found.events] == [
        "comment",
        "comment",
        "title-change",
        "comment",
        "status-change",
    ]
    assert found.events[1].content == "A Topcon."
    assert found.events[1].edited
    with pytest.raises(BadRequestError, match="is closed already"):
        bob.change_discussion_status(repo, 1, "closed")


def test_comments_are_their_authors(alice, bob, repo):
    bob.create_discussion(repo, "Question")
    said = bob.comment_discussion(repo, 1, "rude")
    with pytest.raises(HfHubHTTPError, match="only its author"):
        alice.edit_discussion_comment(repo, 1, said.id, "polite")
    with pytest.warns(UserWarning, match="irreversible"):
        hidden = alice.hide_discussion_comment(repo, 1, said.id)
    assert hidden.hidden
    assert "rude" not in hidden.content


def test_discussions_are_listed_by_kind_state_and_author(alice, bob, repo):
    for number in range(3):
        bob.create_discussion(repo, f"Talk {number}")
    alice.create_discussion(repo, "From alice")
    bob.change_discussion_status(repo, 1, "closed")
    pull = propose(bob, repo, CommitOperationAdd("n.txt", b"n"))

    def listed(**filters: str) -> list[int]:
        return [one.num for one in alice.get_repo_discussions(repo, **filters)]

    assert listed() == [5, 4, 3, 2, 1]
    assert listed(discussion_type="pull_request") == [pull]
    assert listed(discussion_status="closed") == [1]
    assert listed(author="alice") == [4]
    assert listed(author="bob", discussion_type="discussion", discussion_status="open") == [3, 2]


def test_many_discussions_come_in_pages(alice, bob, repo):
    for number in range(53):
        bob.create_discussion(repo, f"Talk {number}")
    assert [one.num for one in alice.get_repo_discussions(repo)] == list(range(53, 0, -1))


@pytest.mark.parametrize("title", ["no", "x" * 201])
def test_titles_have_a_length(alice, repo, title):
    with pytest.raises(BadRequestError, match="3 to 200 are allowed"):
        alice.create_discussion(repo, title)


def test_a_pull_request_is_read_changed_and_merged(alice, bob, repo):
    num = propose(bob, repo, CommitOperationAdd("a.txt", b"new\n"))
    bob.upload_file(
        path_or_fileobj=b"more\n",
        path_in_repo="d.txt",
        repo_id=repo,
        revision=f"refs/pr/{num}",
    )
    found = alice.get_discussion_details(repo, num)
    assert found.is_pull_request
    assert found.target_branch == "refs/heads/main"
    assert "-old\n+new" in found.diff
    assert "+++ b/d.txt" in found.diff
    assert found.conflicting_files == []
    before = alice.model_info(repo).sha
    with pytest.raises(HfHubHTTPError, match="no write access"):
        bob.merge_pull_request(repo, num)
    alice.merge_pull_request(repo, num, comment="thanks")
    merged = alice.get_discussion_details(repo, num)
    main = alice.list_repo_commits(repo)
    assert merged.status == "merged"
    assert merged.merge_commit_oid == main[0].commit_id == alice.model_info(repo).sha
    assert [one.commit_id for one in main][1] == before
    assert {one.path for one in alice.list_repo_tree(repo)} == {"a.txt", "b.txt", "c.txt", "d.txt"}
    with pytest.raises(BadRequestError, match="is no open pull request: merged"):
        alice.merge_pull_request(repo, num)
    with pytest.raises(BadRequestError, match="is merged"):
        bob.upload_file(
            path_or_fileobj=b"x", path_in_repo="x", repo_id=repo, revision=f"refs/pr/{num}"
        )


def test_changes_on_both_sides_are_merged_unless_they_touch_the_same_file(alice, bob, repo):
    clean = propose(bob, repo, CommitOperationDelete("b.txt"))
    clash = propose(bob, repo, CommitOperationAdd("a.txt", b"bob\n"))
    alice.upload_file(path_or_fileobj=b"alice\n", path_in_repo="a.txt", repo_id=repo)
    alice.merge_pull_request(repo, clean)
    assert {one.path for one in alice.list_repo_tree(repo)} == {"a.txt", "c.txt"}
    assert alice.get_discussion_details(repo, clash).conflicting_files == ["a.txt"]
    with pytest.raises(HfHubHTTPError, match=r"main has changed the same files: a\.txt") as caught:
        alice.merge_pull_request(repo, clash)
    assert caught.value.response.status_code == 409


def test_a_pull_request_is_a_draft_until_it_is_opened(alice, bob, repo):
    draft = bob.create_pull_request(repo, "Later")
    assert draft.status == "draft"
    bob.upload_file(
        path_or_fileobj=b"x", path_in_repo="x.txt", repo_id=repo, revision=draft.git_reference
    )
    with pytest.raises(BadRequestError, match="is no open pull request: draft"):
        alice.merge_pull_request(repo, draft.num)
    bob.change_discussion_status(repo, draft.num, "open")
    alice.merge_pull_request(repo, draft.num)
    assert alice.file_exists(repo, "x.txt")


def test_a_pull_request_is_changed_by_its_author_and_the_owner_alone(hub, alice, bob, repo):
    num = propose(alice, repo, CommitOperationAdd("a.txt", b"new\n"))
    with pytest.raises(HfHubHTTPError, match="open one of your own"):
        bob.upload_file(
            path_or_fileobj=b"x", path_in_repo="x", repo_id=repo, revision=f"refs/pr/{num}"
        )
    with pytest.raises(HfHubHTTPError, match="A token is needed"):
        propose(hub.api(), repo, CommitOperationAdd("a.txt", b"nobody\n"))


def test_refs_of_pull_requests_are_listed_where_asked(alice, bob, repo):
    num = propose(bob, repo, CommitOperationAdd("a.txt", b"new\n"))
    assert alice.list_repo_refs(repo).pull_requests is None
    (ref,) = alice.list_repo_refs(repo, include_pull_requests=True).pull_requests
    assert ref.ref == f"refs/pr/{num}"
