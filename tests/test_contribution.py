"""A record for a pull request, and collecting a Hub: against a served hub."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hubs import Hub, running_hub
from lockers import NOWHERE, Listener, publish, use_hub
from tiny import Tiny

from retq_hub import artifact, collection, contribution, discovery, index, publication, registry
from retq_hub import stock as stocked
from retq_hub.cli.app import cli
from retq_hub.errors import DigestMismatch, NetworkError, NotFoundError, UsageError
from retq_hub.wish import Wish

SPEC = registry.DEFAULT_BACKBONE


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub")) as served:
        yield served


@pytest.fixture
def online(hub: Hub, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """The hub, with a user's login and a client's cache of the test's own."""
    use_hub(monkeypatch, hub, tmp_path / "home")
    return hub


@pytest.fixture
def empty(tmp_path: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A registry that knows the tiny backbone and no queries, in front of the embedded one."""
    folder = tmp_path / "empty"
    (folder / "backbones").mkdir(parents=True)
    shutil.copy(tiny.path, folder / "backbones")
    index.write(folder, index.build(folder))
    monkeypatch.setenv("RETQ_REGISTRY", str(folder))
    return folder


@pytest.fixture
def put(
    online: Hub, empty: Path, make_query: Callable[..., Path], tmp_path: Path
) -> Callable[..., str]:
    """Publishes a query and gives the commit."""

    def make(repo: str, version: str = "1.0.0", **query: object) -> str:
        name = repo.partition("/")[2]
        folder = make_query(tmp_path / f"{name}-{version}", name=name, version=version, **query)
        return publish(folder, repo)

    return make


def test_a_published_version_is_recorded_and_found(put, empty, monkeypatch):
    commit = put("alice/add-me", seed=3)
    path = contribution.add("alice/add-me", empty)
    assert path == empty / "records/add-me/1.0.0.json"
    document = json.loads(path.read_text())
    assert (document["repo"], document["commit"]) == ("alice/add-me", commit)
    assert index.findings(empty) == []
    before = path.read_bytes()
    assert contribution.add("alice/add-me@v1.0.0", empty).read_bytes() == before
    copy = registry.pull("add-me")
    assert artifact.read(copy).manifest.digest == document["digest"]


def test_what_is_not_published_yanked_or_taken_is_not_recorded(put, empty, online, make_query):
    put("alice/taken", seed=4)
    contribution.add("alice/taken", empty)
    put("alice/withdrawn")
    publication.yank("alice/withdrawn", "1.0.0", reason="Wrong.")
    online.api("alice").create_branch("alice/taken", branch="draft")
    cases = {
        "taken": UsageError, "alice/withdrawn@1.0.0": UsageError, "alice/absent": NotFoundError,
        "alice/taken@7.0.0": NotFoundError,
    }  # fmt: skip
    for name, kind in cases.items():
        with pytest.raises(kind):
            contribution.add(name, empty)
    document = json.loads((empty / "records/taken/1.0.0.json").read_text())
    (empty / "records/taken/1.0.0.json").write_text(json.dumps(document | {"repo": "bob/taken"}))
    with pytest.raises(UsageError, match="taken is bob/taken in this registry, not alice/taken"):
        contribution.add("alice/taken", empty)
    changed = document | {"digest": "0" * 64}
    (empty / "records/taken/1.0.0.json").write_text(json.dumps(changed))
    with pytest.raises(UsageError, match="a published version never moves"):
        contribution.add("alice/taken", empty)


def test_a_record_whose_digest_the_hub_does_not_have_is_refused(put, empty, monkeypatch):
    put("alice/liar", seed=5)
    path = contribution.add("alice/liar", empty)
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"digest": "0" * 64}))
    index.write(empty, index.build(empty))
    with pytest.raises(DigestMismatch) as caught:
        registry.pull("liar")
    assert {caught.value.expected, caught.value.actual} == {"0" * 64, document["digest"]}


def test_all_versions_of_a_hub_are_collected_checked_and_compared(put, empty, online):
    put("alice/first", seed=11)
    put("alice/first", "1.1.0", seed=12)
    put("alice/second", seed=11, targets=2)
    put("alice/copy-of-first", seed=11)
    publication.yank("alice/first", "1.0.0", reason="Marks too much.")
    api = online.api("alice")
    card = b"---\ntags: [retq]\n---\n"
    api.create_repo("alice/hollow")
    api.upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id="alice/hollow")
    api.create_repo("alice/torn")
    for name, body in (("README.md", card), ("retq.json", b'{"spec": 1}')):
        api.upload_file(path_or_fileobj=body, path_in_repo=name, repo_id="alice/torn")
    api.create_tag("alice/torn", tag="v1.0.0")
    said = Listener()
    made = collection.collect(empty, progress=said)
    records = {one.key: one for one in made.records}
    assert {"alice/first@1.0.0", "alice/first@1.1.0", "alice/second@1.0.0"} <= records.keys()
    assert records["alice/first@1.0.0"].yanked == "Marks too much."
    assert [(one.name, one.cosine) for one in records["alice/copy-of-first@1.0.0"].near] == [
        ("alice/first@1.0.0", 1.0),
        ("alice/second@1.0.0", 1.0),
    ]
    assert records["alice/first@1.1.0"].near is None
    reasons = {one.repo: (one.version, one.reason) for one in made.broken}
    assert reasons["alice/hollow"][0] is None
    assert "has no version" in reasons["alice/hollow"][1]
    assert reasons["alice/torn"][0] == "1.0.0"
    assert "has no" in reasons["alice/torn"][1]
    index.write(empty, made)
    assert index.findings(empty) == []


def test_what_is_known_is_not_fetched_again(put, empty, online, monkeypatch, tmp_path):
    put("alice/known", seed=21)
    index.write(empty, collection.collect(empty))
    before = (empty / "index.json").read_bytes()
    use_hub(monkeypatch, online, tmp_path / "another-home")
    index.write(empty, collection.collect(empty))
    assert (empty / "index.json").read_bytes() == before
    assert not list((tmp_path / "another-home").rglob("query.safetensors"))


def test_a_hub_that_cannot_be_asked_changes_nothing(put, empty, monkeypatch):
    put("alice/steady", seed=22)
    index.write(empty, collection.collect(empty))
    before = (empty / "index.json").read_bytes()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(NetworkError):
        collection.collect(empty)
    assert (empty / "index.json").read_bytes() == before


def test_a_search_finds_queries_of_the_hub_once(put, empty, online, monkeypatch, tiny):
    put("alice/seek-one", seed=31)
    put("alice/seek-two", seed=32)
    contribution.add("alice/seek-one", empty)
    spec = discovery.at_hand(registry.backbone_spec(SPEC))
    found = discovery.search(Wish(words=("seek",)), spec)
    assert [(one.name, one.fits) for one in found] == [
        ("seek-one", False),
        ("alice/seek-two", False),
    ]
    assert found[1].dice == 0.5
    assert [one.name for one in discovery.search(Wish(words=("seek",)), spec, on_hub=False)] == [
        "seek-one"
    ]
    wish = Wish(words=("seek",), target="T", min_dice=0.4)
    assert len(discovery.search(wish, spec)) == 2
    assert discovery.search(Wish(words=("seek",), min_dice=0.6), spec) == []
    assert len(discovery.search(Wish(words=("seek",)), spec, limit=1)) == 1


def test_without_the_hub_the_registries_are_searched_and_that_is_said(cache, monkeypatch):
    monkeypatch.setattr(discovery, "_PATIENCE_S", 0.1)
    monkeypatch.setenv("HF_ENDPOINT", NOWHERE)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    said = Listener()
    spec = discovery.at_hand(registry.backbone_spec(SPEC))
    found = discovery.search(Wish(words=("disc",)), spec, progress=said)
    assert "idrid-disc" in [one.name for one in found]
    assert [line for line in said.notes if line.startswith("the Hub ")]


def test_commands_do_it_all(put, empty, online, capsys, monkeypatch):
    put("alice/by-command", seed=41)

    def run(*arguments: object) -> str:
        cli.main([str(one) for one in arguments], standalone_mode=False)
        return capsys.readouterr().out

    assert "records/by-command/1.0.0.json" in run("index", "add", "alice/by-command", empty)
    assert "the index is in step" in run("index", "check", empty)
    run("index", "yank", "by-command@1.0.0", empty, "--reason", "Wrong.")
    assert stocked.find("by-command@1.0.0").record.yanked == "Wrong."
    run("index", "yank", "by-command@1.0.0", empty, "--undo")
    assert "records, " in run("index", "build", empty, "--from-hub")
    found = json.loads(run("search", "by-command", "--json"))
    assert [one["name"] for one in found] == ["by-command"]
    assert "by-command" in run("search", "--target", "target 0", "--min-dice", "0.1", "--no-hub")
