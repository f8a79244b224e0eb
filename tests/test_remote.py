"""Names on a Hub, resolved, fetched and verified, against a real hub of our own."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hubs import Hub
from proxies import Fault, Proxy

from retq_hub import artifact, registry, remote
from retq_hub.errors import (
    DigestMismatch,
    IntegrityError,
    NetworkError,
    NotFoundError,
    RetqError,
    Unreachable,
    UsageError,
)
from retq_hub.hub import reading
from retq_hub.pipeline import Pipeline
from retq_hub.publication import push, yank
from retq_hub.query import Query

Make = Callable[..., Path]


VERSIONS = ("1.0.0", "1.2.0", "2.0.0-rc.1")


def publish(repo: str, make: Make) -> dict[str, str]:
    return {version: str(push(make(version), repo).commit) for version in VERSIONS}


@pytest.fixture(scope="module")
def published(
    hub: Hub,
    tmp_path_factory: pytest.TempPathFactory,
    make_query: Make,
    registry_template: Path,
) -> dict[str, str]:
    """The commits of three published versions of ``alice/eyes``, which no test changes."""
    folder = tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("HF_HUB_OFFLINE", raising=False)
        patch.setenv("HF_ENDPOINT", hub.endpoint)
        patch.setenv("HF_HOME", str(folder / "hf"))
        patch.setenv("HF_TOKEN", hub.tokens["alice"])
        patch.setenv("RETQ_REGISTRY", str(registry_template))
        return publish("alice/eyes", lambda one: make_query(folder / one, name="mine", version=one))


@pytest.fixture
def repo(login: object, published: dict[str, str]) -> str:
    """The repository that no test changes."""
    return "alice/eyes"


@pytest.fixture
def versions(published: dict[str, str]) -> dict[str, str]:
    """The commits of its versions."""
    return published


def test_without_a_pin_the_newest_version_that_is_no_prerelease_is_meant(versions, repo):
    found = remote.resolve(repo, None)
    assert (found.version, found.commit, found.yanked) == ("1.2.0", versions["1.2.0"], None)


def test_a_pin_is_a_version_tag_branch_or_commit(versions, repo):
    commit = versions["1.0.0"]
    for pin in ("1.0.0", "v1.0.0", commit, commit[:7]):
        found = remote.resolve(repo, pin)
        assert (found.commit, found.version) == (commit, "1.0.0"), pin
    assert remote.resolve(repo, "main").commit == versions["2.0.0-rc.1"]


@pytest.mark.parametrize("pin", ["9.9.9", "nowhere", "refs/pr/9", "0123456", "f" * 40])
def test_a_pin_that_is_not_there_is_not_found(versions, repo, pin):
    with pytest.raises(NotFoundError, match=pin):
        remote.locate(repo, pin)


def test_where_there_are_only_prereleases_the_newest_is_meant(login, mine, new_repo):
    repo = new_repo
    for version in ("1.0.0-rc.2", "1.0.0-rc.10"):
        push(mine(version), repo)
    assert remote.resolve(repo, None).version == "1.0.0-rc.10"


def test_without_versions_the_main_branch_is_meant_and_that_is_said(hub, login, mine, new_repo):
    push(mine(), new_repo)
    hub.api("alice").delete_tag(new_repo, tag="v1.0.0")
    found = remote.locate(new_repo, None)
    assert found.version == "1.0.0"
    assert "no version yet" in found.notes[0]


def test_a_yanked_version_comes_by_its_pin_only_and_with_a_warning(login, mine, new_repo):
    repo = new_repo
    publish(repo, mine)
    yank(repo, "1.2.0", reason="the masks were shifted")
    assert remote.locate(repo, None).version == "1.0.0"
    found = remote.locate(repo, "1.2.0")
    assert found.yanked == "the masks were shifted"
    assert found.notes == (f"{repo} 1.2.0 is yanked: the masks were shifted",)
    with pytest.warns(UserWarning, match=r"1\.2\.0 is yanked: the masks"):
        registry.locate(f"{repo}@1.2.0")
    for version in ("1.0.0", "2.0.0-rc.1"):
        yank(repo, version, reason="all")
    with pytest.raises(NotFoundError, match="are yanked"):
        remote.resolve(repo, None)


def test_a_located_query_is_the_one_that_was_pushed(versions, repo, mine):
    found = remote.locate(repo, "1.0.0")
    assert artifact.read(found.folder).manifest == artifact.read(mine()).manifest
    assert (found.commit, found.folder.name) == (versions["1.0.0"], versions["1.0.0"])


def test_only_the_manifest_is_downloaded_for_its_sake(versions, repo, proxy: Proxy):
    manifest, found = remote.manifest(repo, "1.0.0")
    assert (manifest.version, found.commit) == ("1.0.0", versions["1.0.0"])
    assert {path.name for path in reading.snapshot_folder(repo, found.commit).iterdir()} == {
        "retq.json"
    }
    assert not any("safetensors" in line for line in proxy.log)


def test_what_is_cached_is_not_asked_for_again(versions, repo, proxy: Proxy):
    remote.locate(repo, "1.0.0")
    proxy.log.clear()
    remote.fetch(repo, versions["1.0.0"])
    assert proxy.log == []
    remote.locate(repo, "1.0.0")
    assert sorted(line.split("?")[0] for line in proxy.log) == [
        f"GET /api/models/{repo}",
        f"GET /api/models/{repo}/refs",
    ]


def test_a_pull_asks_once_for_each_thing(versions, repo, proxy: Proxy):
    remote.locate(repo, "main")
    assert len(proxy.log) == len(set(proxy.log)) <= 2 + 2 * 4 + 2


def test_a_damaged_file_in_the_cache_is_fetched_again(versions, repo):
    folder = remote.locate(repo, "1.0.0").folder
    (folder / "query.safetensors").resolve().write_bytes(b"damaged")
    again = remote.locate(repo, "1.0.0").folder
    assert again == folder
    assert artifact.findings(folder) == []


def test_a_file_that_stays_damaged_is_refused_with_both_digests(
    versions, repo, monkeypatch: pytest.MonkeyPatch
):
    path = remote.locate(repo, "1.0.0").folder / "retq.json"
    expected = path.resolve().name
    path.resolve().write_bytes(b"damaged")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DigestMismatch) as caught:
        remote.fetch(repo, versions["1.0.0"])
    assert caught.value.expected == expected
    assert caught.value.actual != expected
    assert expected in str(caught.value)


def test_what_the_hub_delivers_damaged_does_not_stay_in_the_cache(
    versions, repo, hub: Hub, proxy: Proxy
):
    proxy.faults = [Fault("garble", r"GET .*/retq\.json", times=9)]
    with pytest.raises(DigestMismatch):
        remote.locate(repo, "1.0.0")
    proxy.faults = []
    assert artifact.findings(remote.locate(repo, "1.0.0").folder) == []


def test_a_tag_that_holds_another_version_is_refused(login, mine, new_repo, hub: Hub):
    repo = new_repo
    hub.api("alice").create_tag(repo, tag="v1.1.0", revision=push(mine(), repo).commit)
    with pytest.raises(IntegrityError, match=r"tag v1\.1\.0 of .* holds version 1\.0\.0"):
        remote.locate(repo, "1.1.0")


def test_a_repository_that_holds_no_query_says_so(hub: Hub, login, new_repo):
    repo, api = new_repo, hub.api("alice")
    api.create_repo(repo)
    api.upload_file(repo_id=repo, path_in_repo="notes.txt", path_or_fileobj=b"nothing")
    with pytest.raises(NotFoundError, match=r"has no retq\.json .*; this is no query"):
        remote.locate(repo, None)


def test_without_a_network_the_cache_serves_and_that_is_said(
    versions, repo, monkeypatch: pytest.MonkeyPatch
):
    for version in ("1.0.0", "1.2.0"):
        remote.locate(repo, version)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for pin, version in ((None, "1.2.0"), ("1.0.0", "1.0.0"), (versions["1.0.0"][:8], "1.0.0")):
        found = remote.locate(repo, pin)
        assert found.version == version
        assert "taken from the local cache, for HF_HUB_OFFLINE is set" in found.notes[0]
    with pytest.raises(NotFoundError, match=r"has no 2\.0\.0"):
        remote.locate(repo, "2.0.0")
    with pytest.raises(Unreachable, match="is not in the local cache"):
        remote.locate("alice/never-seen", None)


def test_what_was_only_proposed_is_no_version_without_a_network(
    login, mine, new_repo, monkeypatch: pytest.MonkeyPatch
):
    push(mine("1.0.0"), new_repo)
    remote.locate(new_repo, "1.0.0")
    proposed = push(mine("1.1.0"), new_repo, pr=True)
    remote.locate(new_repo, "refs/pr/1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert remote.locate(new_repo, None).version == "1.0.0"
    assert remote.locate(new_repo, "1.1.0").commit == proposed.commit


def test_what_is_broken_in_the_cache_hides_nothing_else_of_it(
    versions, repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folders = {version: remote.locate(repo, version).folder for version in ("1.0.0", "1.2.0")}
    manifest = folders["1.2.0"] / artifact.MANIFEST
    manifest.unlink()
    manifest.write_text("{}")
    refs = tmp_path / "hf/hub/models--alice--eyes/refs"
    (refs / "v1.2.0").write_text("")
    (refs / "v1.3.0").write_bytes(b"\xff")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert remote.locate(repo, None).version == "1.0.0"


def test_a_file_that_is_larger_than_it_may_be_is_not_taken(versions, repo, tmp_path: Path):
    commit = versions["1.0.0"]
    with pytest.raises(NetworkError, match="larger than 10 bytes"):
        reading.download(repo, revision=commit, filename=artifact.MANIFEST, max_bytes=10)
    assert reading.cached(repo, commit, artifact.MANIFEST) is None


def test_a_yank_is_remembered_without_a_network(login, mine, new_repo, monkeypatch):
    repo = new_repo
    publish(repo, mine)
    remote.locate(repo, "1.0.0")
    remote.locate(repo, "1.2.0")
    yank(repo, "1.2.0", reason="shifted")
    remote.resolve(repo, None)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert remote.locate(repo, None).version == "1.0.0"


def test_a_hub_that_is_down_is_replaced_by_the_cache(versions, repo, monkeypatch):
    remote.locate(repo, "1.2.0")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    found = remote.locate(repo, "1.2.0")
    assert "taken from the local cache, for http://127.0.0.1:9 did not deliver" in found.notes[0]


def test_what_the_stock_client_downloaded_serves_as_well(
    versions, repo, hub: Hub, tmp_path: Path, monkeypatch
):
    hub.api().snapshot_download(repo, revision="v1.0.0", cache_dir=tmp_path / "hf" / "hub")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert remote.locate(repo, None).version == "1.0.0"


@pytest.mark.parametrize(
    "fault",
    [
        Fault("busy", "GET .*/refs", times=2, status=429, headers={"Retry-After": "0"}),
        Fault("busy", "GET /api/models", times=2),
        Fault("busy", "HEAD .*retq.json", times=1, status=500),
        Fault("silent", "GET .*/refs"),
        Fault("silent", "GET .*resolve.*/README.md"),
        Fault("cut", "GET .*resolve.*/retq.json", times=1),
        Fault("cut", "GET .*/refs", times=1),
    ],
    ids=lambda fault: f"{fault.kind} {fault.status}",
)
def test_a_hub_that_misbehaves_for_a_while_is_asked_again(
    versions, repo, proxy: Proxy, fault: Fault, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "1")
    proxy.faults = [fault]
    found = remote.locate(repo, "1.0.0")
    assert artifact.findings(found.folder) == []
    assert fault.times == 0


def test_a_hub_that_stays_busy_is_reported_in_bounded_time(versions, repo, proxy: Proxy):
    proxy.faults = [
        Fault("busy", ".", times=99, status=429, headers={"Retry-After": "3600"}),
    ]
    with pytest.raises(Unreachable, match="429 Too Many Requests and asks to wait 3600 s"):
        remote.locate("alice/never-seen", None)
    assert len(proxy.log) <= 2


def test_a_private_repository_is_only_there_for_its_owner(hub: Hub, login, new_repo, mine):
    repo = new_repo
    push(mine(), repo, private=True)
    assert remote.locate(repo, None).version == "1.0.0"
    login("bob")
    with pytest.raises(NotFoundError, match="or your login may not see it"):
        remote.resolve(repo, None)
    login("nobody")
    with pytest.raises(NetworkError, match="does not accept your login"):
        remote.resolve(repo, None)


def test_a_gated_repository_says_where_to_accept_its_terms(hub: Hub, login, new_repo, mine):
    repo = new_repo
    push(mine(), repo)
    hub.api("alice").update_repo_settings(repo, gated="manual")
    login("bob")
    with pytest.raises(NetworkError, match=f"{repo} is gated; accept its terms at http"):
        remote.locate(repo, None)


def test_pulls_side_by_side_lose_nothing(versions, repo, hub: Hub, tmp_path: Path):
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: remote.locate(repo, "1.0.0").folder, range(32)))
    assert set(found) == {found[0]}
    assert artifact.findings(found[0]) == []


def test_a_pipeline_names_the_result_as_the_query_is_named(versions, repo, tiny):
    pipeline = Pipeline.from_pretrained([f"{repo}@v1.0.0"], backbone=tiny.backbone)
    assert list(pipeline.queries) == ["mine"]
    with pytest.raises(UsageError, match="two queries are named 'mine'"):
        pipeline.add(repo)
    again = pipeline.queries["mine"].push_to_hub(repo, dry_run=True)
    assert again.outcome == "unchanged"
    assert Query.from_pretrained(repo).manifest.version == "1.2.0"


def test_pulling_into_a_folder_gives_a_copy(versions, repo, tmp_path: Path):
    assert registry.pull(repo, into=tmp_path / "out") == tmp_path / "out" / "mine"
    assert artifact.findings(tmp_path / "out" / "mine") == []
    assert registry.is_published(registry.pull(repo))


def test_pulling_needs_no_torch(versions, repo):
    script = (
        f"import sys; from retq_hub import registry; registry.pull({repo!r}); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"


def test_a_cache_that_cannot_be_written_is_said(versions, repo, tmp_path: Path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "file"))
    shutil.rmtree(tmp_path / "hf", ignore_errors=True)
    with pytest.raises(Exception, match="cannot be written"):
        remote.locate(repo, None)


@pytest.mark.parametrize("body", [b"[]", b"not json", b'{"1.0.0": "\\u001b[2J"}', b"x" * 2**21])
def test_a_broken_note_of_yanks_does_no_harm(hub: Hub, login, mine, new_repo, body):
    push(mine(), new_repo)
    hub.api("alice").upload_file(repo_id=new_repo, path_in_repo="yanked.json", path_or_fileobj=body)
    try:
        notes = remote.locate(new_repo, "1.0.0").notes
    except RetqError as error:
        notes = (str(error),)
    assert all(line.isprintable() for line in notes)
