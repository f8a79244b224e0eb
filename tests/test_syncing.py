"""From a lock to verified folders: fetched once, used without a network, refused if changed."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from lockers import NOWHERE, Listener, code_of, publish, use_hub

from retq_hub import artifact, index, registry, syncing, weights
from retq_hub.errors import (
    BackboneMismatch,
    DigestMismatch,
    IntegrityError,
    NetworkError,
    NotFoundError,
    RetqError,
)
from retq_hub.hub import reading
from retq_hub.lock import Lock
from retq_hub.pinning import pin
from retq_hub.progress import Silent
from retq_hub.storage import write_json

REPO = "alice/synced-disc"


@pytest.fixture(scope="module")
def publisher(tmp_path_factory, hub, registry_template, make_query) -> Path:
    """Publish a query on the Hub; give the cache of who did."""
    folder = tmp_path_factory.mktemp("publisher")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETQ_REGISTRY", str(registry_template))
        use_hub(patch, hub, folder / "hf")
        publish(make_query(folder / "shared", name="synced-disc", seed=5), REPO)
    return folder / "hf"


@pytest.fixture
def home(tmp_path, monkeypatch, cache, registry_folder, hub, publisher, make_query) -> Path:
    """A folder for a lock with a query below it; a fresh cache, and a Hub with another query."""
    use_hub(monkeypatch, hub, tmp_path / "hf")
    make_query(tmp_path / "home/queries/mine", name="mine")
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def lock(home, publisher, tmp_path, monkeypatch) -> Lock:
    """One member of each kind, pinned by somebody else, so that nothing is here yet."""
    with monkeypatch.context() as patch:
        patch.setenv("HF_HOME", str(publisher))
        patch.setenv("RETQ_CACHE", str(tmp_path / "other-cache"))
        return pin(["tiny-disc", f"{REPO}@1.0.0", "./queries/mine"], base=home, progress=Silent())


def damage(path: Path) -> None:
    """Turn the last bit of a file, of what a link leads to."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.resolve().write_bytes(data)


def states(lock: Lock, base: Path) -> dict[str, str]:
    return {one.name: one.state for one in syncing.sync(lock, base, progress=Listener())}


def emptied(folder: Path) -> None:
    """Take a registry's queries away; its backbones stay."""
    shutil.rmtree(folder / "queries")
    index.write(folder, index.build(folder))


def snapshot(lock: Lock) -> Path:
    return reading.snapshot_folder(REPO, str(lock.queries[1].origin.commit))


def test_what_is_missing_is_fetched_and_then_nothing_is_asked_for(
    home, lock, registry_folder, monkeypatch
):
    fetched = dict.fromkeys(("tiny-disc", "synced-disc", "tiny-vit"), "fetched")
    assert states(lock, home) == {**fetched, "mine": "here"}
    emptied(registry_folder)
    here = dict.fromkeys(("tiny-disc", "synced-disc", "mine", "tiny-vit"), "here")
    with monkeypatch.context() as patch:
        patch.setenv("HF_ENDPOINT", NOWHERE)
        assert states(lock, home) == here
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert states(lock, home) == here


def test_exactly_the_pinned_commit_is_fetched_whatever_came_after(home, lock, tmp_path, make_query):
    newer = make_query(tmp_path / "newer", name="synced-disc", version="1.0.1", seed=6)
    publish(newer, REPO)
    try:
        assert states(lock, home)["synced-disc"] == "fetched"
        member = syncing.find(lock.queries[1], home)
        assert member.found.manifest.version == "1.0.0"
        assert member.folder == snapshot(lock)
    finally:
        assert pin([REPO], base=home, progress=Silent()).queries[0].version == "1.0.1"


@pytest.mark.parametrize("name", [artifact.MANIFEST, artifact.QUERY, artifact.GOLDEN])
def test_a_damaged_copy_of_a_hubs_query_is_fetched_again_once(home, lock, name, monkeypatch):
    states(lock, home)
    damage(snapshot(lock) / name)
    assert states(lock, home)["synced-disc"] == "fetched again"
    monkeypatch.setenv("HF_ENDPOINT", NOWHERE)
    assert states(lock, home)["synced-disc"] == "here"


def test_a_damaged_copy_is_refused_with_both_digests_where_it_cannot_be_fetched(
    home, lock, monkeypatch
):
    states(lock, home)
    damage(snapshot(lock) / artifact.QUERY)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DigestMismatch) as caught:
        states(lock, home)
    assert code_of(caught.value) == 4
    assert caught.value.expected != caught.value.actual


@pytest.mark.parametrize("harm", ["changed", "missing", "no manifest"])
def test_a_damaged_copy_of_a_registrys_query_is_made_anew(home, lock, harm):
    states(lock, home)
    one = lock.queries[0]
    copy = registry.copy_folder(one.name, one.version, one.digest)
    if harm == "changed":
        (copy / artifact.GOLDEN).write_bytes(b"x")
    else:
        (copy / (artifact.QUERY if harm == "missing" else artifact.MANIFEST)).unlink()
    assert states(lock, home)["tiny-disc"] == "fetched again"
    assert states(lock, home)["tiny-disc"] == "here"


def test_syncs_side_by_side_do_not_take_each_others_copies_away(home, lock, cache):
    def synced(_: int) -> list[str]:
        return [one.state for one in syncing.sync_queries(lock, home, progress=Listener())]

    synced(0)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            shutil.rmtree(cache / "queries")
            for states in pool.map(synced, range(4)):
                assert {*states} <= {"here", "fetched", "fetched again"}


def test_a_changed_query_of_a_registry_is_refused_with_both_digests(home, lock, registry_folder):
    one = lock.queries[0]
    manifest = registry_folder / "queries/tiny-disc/1.9.0/retq.json"
    document = json.loads(manifest.read_text())
    write_json(manifest, document | {"summary": "Another."})
    index.write(registry_folder, index.build(registry_folder))
    with pytest.raises(DigestMismatch) as caught:
        states(lock, home)
    assert code_of(caught.value) == 4
    assert caught.value.expected == one.files[artifact.MANIFEST].sha256
    assert caught.value.actual in str(caught.value)
    assert not registry.copy_folder(one.name, one.version, one.digest).exists()


def test_a_changed_folder_is_refused_with_both_digests(home, lock):
    damage(home / "queries/mine/query.safetensors")
    with pytest.raises(DigestMismatch) as caught:
        states(lock, home)
    assert caught.value.expected == lock.queries[2].files[artifact.QUERY].sha256
    assert code_of(caught.value) == 4


def test_members_that_are_gone_are_not_found(home, lock, registry_folder):
    (home / "queries").rename(home / "elsewhere")
    with pytest.raises(NotFoundError, match="which the lock names for mine") as caught:
        syncing.find(lock.queries[2], home)
    assert code_of(caught.value) == 3
    emptied(registry_folder)
    with pytest.raises(NotFoundError, match="tiny-disc") as caught:
        syncing.find(lock.queries[0], home)
    assert code_of(caught.value) == 3


@pytest.mark.parametrize("change", [{"commit": "0" * 40}, {"repo": "alice/nothing-there"}])
def test_a_commit_that_is_no_longer_there_is_not_found(home, lock, change):
    one = lock.queries[1]
    gone = replace(one, origin=replace(one.origin, **change))
    with pytest.raises(NotFoundError) as caught:
        syncing.find(gone, home)
    assert code_of(caught.value) == 3


def test_a_hub_that_is_down_is_a_network_error_if_something_is_missing(home, lock, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(NetworkError) as caught:
        states(lock, home)
    assert code_of(caught.value) == 5


def test_another_repository_with_other_bytes_is_refused(home, lock, tmp_path, make_query):
    commit = publish(make_query(tmp_path / "b", name="other-disc", seed=9), "alice/other-disc")
    one = lock.queries[1]
    lied = replace(one, origin=replace(one.origin, repo="alice/other-disc", commit=commit))
    with pytest.raises(DigestMismatch):
        syncing.find(lied, home)


def test_manifests_are_read_without_the_vectors(home, lock):
    found = [syncing.manifest(one, home) for one in lock.queries]
    assert [one.name for one in found] == ["tiny-disc", "synced-disc", "mine"]
    assert not (snapshot(lock) / artifact.QUERY).exists()


def test_queries_come_before_the_backbone(home, lock, registry_folder):
    path = registry_folder / "backbones/tiny-vit.json"
    document = json.loads(path.read_text())
    document["sources"] = [{"kind": "file", "path": str(home / "nothing.safetensors")}]
    write_json(path, document)
    done = []
    with pytest.raises(NotFoundError, match=r"nothing\.safetensors") as caught:
        for one in syncing.sync(lock, home, progress=Silent()):
            done.append(one.name)
    assert code_of(caught.value) == 3
    assert done == ["tiny-disc", "synced-disc", "mine"]


def test_damaged_weights_are_fetched_again(home, lock):
    states(lock, home)
    path = registry.weights_folder(registry.backbone_spec("tiny-vit")) / "weights.safetensors"
    damage(path)
    assert states(lock, home)["tiny-vit"] == "fetched again"
    assert states(lock, home)["tiny-vit"] == "here"


def test_other_weights_are_refused_with_both_digests(home, lock, tiny):
    pinned = replace(lock.backbone, weights_digest="0" * 64)
    with pytest.raises(DigestMismatch) as caught:
        syncing.sync_backbone(pinned, progress=Silent())
    assert code_of(caught.value) == 4
    assert (caught.value.expected, caught.value.actual) == ("0" * 64, weights.digest_of(tiny.state))


@pytest.mark.parametrize("member", ["weights_digest", "preprocessing_digest"])
def test_another_backbone_of_that_name_is_refused_with_both_digests(lock, member, tiny):
    shipped = registry.backbone_spec(registry.DEFAULT_BACKBONE)
    pinned = replace(
        lock.backbone,
        id=shipped.id,
        weights_digest=shipped.weights_digest,
        preprocessing_digest=shipped.preprocessing_digest,
    )
    assert syncing.pinned_spec(pinned) == shipped
    with pytest.raises(BackboneMismatch) as caught:
        syncing.pinned_spec(replace(pinned, **{member: "0" * 64}))
    assert code_of(caught.value) == 4
    assert "0" * 64 in str(caught.value)
    assert getattr(pinned, member) in str(caught.value)


def test_a_backbone_that_no_registry_has_is_not_found(lock):
    with pytest.raises(NotFoundError, match="tiny-vat"):
        syncing.pinned_spec(replace(lock.backbone, id="tiny-vat"))


def test_nothing_is_left_half_made_where_the_disk_refuses(home, lock, cache):
    cache.parent.mkdir(exist_ok=True)
    cache.write_text("a file stands in the way")
    with pytest.raises(RetqError) as caught:
        states(lock, home)
    assert caught.value.exit_code == 7
    assert not isinstance(caught.value, IntegrityError)
