"""Publishing on a real hub of our own: what is sent, what is refused, what a killed run leaves."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from graders import make_grader
from hubs import Hub
from proxies import Fault, Proxy
from tiny import Tiny

from retq_hub import artifact, remote
from retq_hub.errors import (
    CheckFailed,
    NetworkError,
    NotFoundError,
    RetqError,
    UsageError,
)
from retq_hub.publication import push, yank
from retq_hub.query import Query

Make = Callable[..., Path]


@pytest.fixture(autouse=True)
def logged_in(login: object) -> None:
    """All tests here speak as alice, unless they change that."""


def test_a_push_makes_a_commit_and_a_tag(hub: Hub, mine: Make, new_repo):
    done = push(mine(), new_repo, message="The first")
    assert (done.outcome, done.version, done.url) == (
        "published",
        "1.0.0",
        f"{hub.endpoint}/{new_repo}",
    )
    api = hub.api()
    assert {one.name: one.target_commit for one in api.list_repo_refs(new_repo).tags} == {
        "v1.0.0": done.commit
    }
    assert api.list_repo_commits(new_repo)[0].title == "The first"
    assert done.digest == artifact.read_manifest(mine()).digest


def test_what_is_pulled_is_what_was_pushed_with_a_card_that_names_the_repository(
    mine: Make, new_repo
):
    folder = mine()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    push(folder, new_repo)
    found = remote.locate(new_repo, None).folder
    for name in ("retq.json", "query.safetensors", "golden.safetensors"):
        assert (found / name).read_bytes() == before[name]
    assert f"retq pull {new_repo}" in (found / "README.md").read_text()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_hub_finds_it_by_its_card(mine: Make, new_repo):
    push(mine(), new_repo)
    backbone = artifact.read_manifest(mine()).backbone.weights_digest
    found = remote.search([new_repo], target="t0", weights_digest=backbone, limit=5)
    assert [one.repo for one in found] == [new_repo]
    assert found[0].backbone == backbone[:12]
    assert found[0].dice == 0.5


def test_changelog_and_picture_go_along_and_go_away(hub: Hub, mine: Make, new_repo):
    first, second = mine(), mine("1.1.0")
    (first / "CHANGELOG.md").write_text("# Changes\n")
    (first / "private-notes.txt").write_text("not for others")
    push(first, new_repo)
    assert "CHANGELOG.md" in hub.api().list_repo_files(new_repo)
    assert "private-notes.txt" not in hub.api().list_repo_files(new_repo)
    done = push(second, new_repo)
    assert {one.path: one.kind for one in done.files}["CHANGELOG.md"] == "removed"
    assert "CHANGELOG.md" not in hub.api().list_repo_files(new_repo)


def test_a_second_push_of_the_same_changes_nothing(hub: Hub, mine: Make, new_repo):
    first = push(mine(), new_repo)
    again = push(mine(), new_repo)
    assert (again.outcome, again.commit) == ("unchanged", first.commit)
    assert len(hub.api().list_repo_commits(new_repo)) == 2


def test_a_published_version_never_moves(hub: Hub, mine: Make, new_repo):
    first = push(mine(), new_repo)
    with pytest.raises(UsageError, match=r"never moves; raise the version"):
        push(mine(seed=1), new_repo)
    assert remote.resolve(new_repo, "1.0.0").commit == first.commit


def test_a_version_below_the_newest_is_refused(mine: Make, new_repo):
    push(mine("1.1.0"), new_repo)
    with pytest.raises(UsageError, match=r"is at 1\.1\.0 already, 1\.0\.0 is lower"):
        push(mine("1.0.0"), new_repo)
    yank(new_repo, "1.1.0", reason="bad")
    assert push(mine("1.0.0"), new_repo).outcome == "published"


def test_another_query_or_something_else_is_not_buried(hub: Hub, mine: Make, new_repo):
    push(mine(), new_repo)
    with pytest.raises(UsageError, match="holds the query mine, not other"):
        push(mine("2.0.0", name="other"), new_repo)
    api = hub.api("alice")
    api.create_repo(f"{new_repo}-llm")
    api.upload_file(repo_id=f"{new_repo}-llm", path_in_repo="config.json", path_or_fileobj=b"{}")
    with pytest.raises(UsageError, match=r"holds something else than a query: config\.json"):
        push(mine(), f"{new_repo}-llm")


def test_an_empty_repository_is_filled(hub: Hub, mine: Make, new_repo):
    hub.api("alice").create_repo(new_repo)
    assert push(mine(), new_repo).outcome == "published"


def test_all_that_is_wrong_is_said_at_once_and_nothing_is_sent(
    mine: Make, new_repo, proxy: Proxy, tmp_path: Path
):
    folder = mine()
    (tmp_path / "elsewhere").write_text("secret")
    (folder / "CHANGELOG.md").symlink_to(tmp_path / "elsewhere")
    (folder / "golden.safetensors").unlink()
    with pytest.raises(CheckFailed) as caught:
        push(folder, new_repo)
    assert {one.where for one in caught.value.findings} == {"golden.safetensors", "CHANGELOG.md"}
    assert proxy.log == []


def test_a_dry_run_writes_nothing_and_shows_the_difference(mine: Make, new_repo, proxy: Proxy):
    push(mine(), new_repo)
    proxy.log.clear()
    found = push(mine("1.1.0", summary="Marks more.", seed=1), new_repo, dry_run=True)
    assert found.outcome == "planned"
    assert {line.split()[0] for line in proxy.log} <= {"GET", "HEAD"}
    assert {one.path: one.kind for one in found.files} == {
        "README.md": "changed",
        "golden.safetensors": "changed",
        "query.safetensors": "changed",
        "retq.json": "changed",
    }
    assert found.against == "1.0.0"
    assert "version 1.0.0 -> 1.1.0" in found.differences
    proxy.log.clear()
    new = push(mine(), f"{new_repo}-new", dry_run=True)
    assert {one.kind for one in new.files} == {"new"}
    assert {line.split()[0] for line in proxy.log} <= {"GET", "HEAD"}


def test_a_run_that_was_killed_between_commit_and_tag_is_finished_by_the_next(
    hub: Hub, mine: Make, new_repo, proxy: Proxy
):
    proxy.faults = [Fault("busy", "POST .*/tag/", times=99, headers={"Retry-After": "99"})]
    with pytest.raises(NetworkError, match="503"):
        push(mine(), new_repo)
    assert hub.api().list_repo_refs(new_repo).tags == []
    proxy.faults = []
    done = push(mine(), new_repo)
    assert done.outcome == "tagged"
    assert remote.resolve(new_repo, "1.0.0").commit == done.commit
    assert len(hub.api().list_repo_commits(new_repo)) == 2


@pytest.mark.parametrize("where", ["POST .*/commit/", "POST .*/tag/", "POST .*/repos/create"])
def test_an_answer_that_got_lost_does_not_spoil_the_push(
    hub: Hub, mine: Make, new_repo, proxy: Proxy, where: str
):
    proxy.faults = [Fault("lost", where)]
    done = push(mine(), new_repo)
    assert remote.locate(new_repo, "1.0.0").commit == done.commit
    assert len(hub.api().list_repo_commits(new_repo)) == 2


def test_who_pushes_onto_a_stale_parent_is_told_to_look_again(mine: Make, new_repo, hub: Hub):
    push(mine(), new_repo)

    def one(number: int) -> str:
        try:
            return push(mine("1.1.0", seed=number), new_repo).outcome
        except RetqError as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        outcomes = sorted(pool.map(one, (1, 2)))
    assert outcomes.count("published") == 1
    other = next(line for line in outcomes if line != "published")
    assert "somebody else pushed" in other or "never moves" in other
    assert remote.locate(new_repo, "1.1.0").version == "1.1.0"


def test_pushes_to_many_repositories_at_once_all_arrive(mine: Make, new_repo):
    folder = mine()
    repos = [f"{new_repo}-{number}" for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(lambda one: push(folder, one).outcome, repos))
    assert outcomes == ["published"] * 6
    assert {remote.locate(one, None).version for one in repos} == {"1.0.0"}


def test_a_pull_request_is_proposed_and_not_tagged(hub: Hub, mine: Make, new_repo, login):
    push(mine(), new_repo)
    login("bob")
    with pytest.raises(NetworkError, match="403"):
        push(mine("1.1.0"), new_repo)
    done = push(mine("1.1.0"), new_repo, pr=True)
    assert (done.outcome, done.url) == ("proposed", f"{hub.endpoint}/{new_repo}/discussions/1")
    assert list(remote.resolve(new_repo, None).repository.versions) == ["1.0.0"]
    assert remote.locate(new_repo, "refs/pr/1").version == "1.1.0"
    with pytest.raises(NotFoundError, match="to open a pull request on"):
        push(mine(), "alice/nothing-here", pr=True)
    hub.api("alice").merge_pull_request(new_repo, 1)
    login("alice")
    assert push(mine("1.1.0"), new_repo).outcome == "tagged"


def test_a_token_that_is_wrong_is_refused_and_not_repeated(mine: Make, new_repo, login):
    login("stranger")
    with pytest.raises(NetworkError, match="does not accept your login") as caught:
        push(mine(), new_repo)
    assert "hf_stranger" not in str(caught.value)


def test_yanking_is_noted_on_the_main_branch_and_can_be_taken_back(
    hub: Hub, mine: Make, new_repo, tmp_path: Path
):
    first = push(mine(), new_repo)
    assert yank(new_repo, "1.0.0", reason="shifted masks")
    assert not yank(new_repo, "1.0.0", reason="shifted masks")
    path = hub.api().hf_hub_download(new_repo, "yanked.json", cache_dir=tmp_path / "other")
    assert json.loads(Path(path).read_text()) == {"1.0.0": "shifted masks"}
    assert remote.resolve(new_repo, "1.0.0").commit == first.commit
    assert yank(new_repo, "1.0.0", reason="", undo=True)
    assert remote.resolve(new_repo, None).version == "1.0.0"
    with pytest.raises(NotFoundError, match=r"has no version 3\.0\.0; it has 1\.0\.0"):
        yank(new_repo, "3.0.0", reason="x")


def test_a_yank_survives_the_next_push(mine: Make, new_repo):
    push(mine(), new_repo)
    yank(new_repo, "1.0.0", reason="shifted masks")
    push(mine("1.0.1"), new_repo)
    assert remote.resolve(new_repo, "1.0.0").yanked == "shifted masks"


def test_a_query_in_memory_is_pushed_as_well(mine: Make, new_repo):
    done = Query.from_pretrained(mine()).push_to_hub(new_repo, private=True)
    assert done.outcome == "published"
    assert Query.from_pretrained(new_repo).manifest.digest == done.digest


@pytest.mark.parametrize("repo", ["mine", "alice/mine@1.0.0", "../mine", "alice/../bob"])
def test_what_names_no_repository_is_refused(mine: Make, repo):
    with pytest.raises(UsageError):
        push(mine(), repo)


def test_publishing_needs_the_hub(mine: Make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(NetworkError, match="HF_HUB_OFFLINE"):
        push(mine(), "alice/offline")


def test_a_grader_is_published_checked_and_pulled_with_its_attention(
    hub: Hub, tiny: Tiny, tmp_path: Path, new_repo
):
    folder = make_grader(tmp_path / "grade", backbone=tiny.backbone, pool="attention")
    push(folder, new_repo)
    pulled = Query.from_pretrained(f"{new_repo}@1.0.0")
    mine = Query.from_pretrained(folder)
    assert (pulled.attention[0] == mine.attention[0]).all()
    info = hub.api().model_info(new_repo)
    assert info.pipeline_tag == "image-classification"
    assert "retq-kind:classification" in info.tags
    raised = make_grader(
        tmp_path / "next", backbone=tiny.backbone, pool="attention", version="1.1.0", measured=False
    )
    planned = push(raised, new_repo, dry_run=True)
    assert "metrics removed" in planned.differences
