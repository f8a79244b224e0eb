"""From names to a lock: each kind of member, one backbone, no place of this machine."""

import os
from pathlib import Path

import pytest
import tiny as tiny_vit
from lockers import Listener, code_of, publish, use_hub

from retq_hub import artifact, contribution, stock, syncing, weights
from retq_hub.backbone import Backbone
from retq_hub.errors import BackboneMismatch, DigestMismatch, NotFoundError, UsageError
from retq_hub.lock import Origin
from retq_hub.manifest import from_json
from retq_hub.pinning import pin
from retq_hub.spec import BackboneSpec


@pytest.fixture
def home(tmp_path, monkeypatch, registry_folder, make_query) -> Path:
    """A folder for a lock, with a query below it and one beside it."""
    make_query(tmp_path / "home/queries/mine", name="mine")
    make_query(tmp_path / "beside", name="beside")
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


def pinned(*queries, base=Path(), **options):
    return pin(queries, base=base, progress=Listener(), **options)


def test_members_are_pinned_in_the_order_in_which_they_are_named(home, tiny):
    lock = pinned("tiny-spot", "./queries/mine", "tiny-disc@1.0.0", base=home)
    assert [(one.name, one.version) for one in lock.queries] == [
        ("tiny-spot", "0.1.0"),
        ("mine", "1.0.0"),
        ("tiny-disc", "1.0.0"),
    ]
    assert [one.origin for one in lock.queries] == [
        Origin(kind="registry"),
        Origin(kind="folder", path="queries/mine"),
        Origin(kind="registry"),
    ]
    assert lock.backbone.id == "tiny-vit"
    assert lock.backbone.weights_digest == tiny.backbone.weights_digest
    assert lock.backbone.preprocessing_digest == tiny.spec.preprocessing_digest


def test_a_hubs_query_is_pinned_by_its_commit(home, hub, make_query, tmp_path, monkeypatch):
    use_hub(monkeypatch, hub, tmp_path / "hf")
    folder = make_query(tmp_path / "shared", name="pinned-disc")
    commit = publish(folder, "alice/pinned-disc")
    for name in ("alice/pinned-disc", "alice/pinned-disc@1.0.0", f"alice/pinned-disc@{commit}"):
        (one,) = pinned(name).queries
        assert one.origin == Origin(kind="hub", repo="alice/pinned-disc", commit=commit)
        assert one.digest == artifact.read_manifest(folder).digest


def test_what_a_registry_lists_of_a_hub_is_pinned_by_its_commit_there(
    home, hub, make_query, tmp_path, monkeypatch, cache
):
    use_hub(monkeypatch, hub, tmp_path / "hf")
    commit = publish(make_query(tmp_path / "listed", name="listed-disc"), "alice/listed-disc")
    (tmp_path / "contributed").mkdir()
    contribution.add("alice/listed-disc", tmp_path / "contributed")
    monkeypatch.setenv("RETQ_REGISTRY", os.pathsep.join(
        [str(tmp_path / "contributed"), os.environ["RETQ_REGISTRY"]]
    ))  # fmt: skip
    lock = pinned("listed-disc")
    assert lock.queries[0].origin == Origin(kind="hub", repo="alice/listed-disc", commit=commit)
    monkeypatch.delenv("RETQ_REGISTRY")
    (one,) = syncing.sync_queries(lock, home, progress=Listener())
    assert (one.name, one.state) == ("listed-disc", "here")


def test_the_newest_version_that_is_not_yanked_is_pinned(home):
    assert pinned("tiny-disc").queries[0].version == "1.9.0"


@pytest.mark.parametrize("name", ["../beside", "/", "."])
def test_a_folder_that_is_not_below_the_lock_is_refused(home, name):
    named = str(home.parent / "beside") if name == "/" else name
    with pytest.raises(UsageError, match="does not lie below") as caught:
        pinned(named)
    assert code_of(caught.value) == 2
    assert "retq pull" in caught.value.hint


def test_a_link_does_not_bring_a_folder_below(home):
    (home / "queries/linked").symlink_to(home.parent / "beside")
    with pytest.raises(UsageError, match="does not lie below"):
        pinned("./queries/linked")


def test_no_query_and_two_of_one_name_are_refused(home):
    with pytest.raises(UsageError, match="at least one query"):
        pinned()
    with pytest.raises(UsageError, match="two queries are named 'tiny-disc'"):
        pinned("tiny-disc", "tiny-spot", "tiny-disc@1.0.0")


def test_unknown_names_are_not_found(home):
    with pytest.raises(NotFoundError, match="tiny-dics"):
        pinned("tiny-dics")
    with pytest.raises(NotFoundError):
        pinned("tiny-disc", backbone="tiny-vat")


def other_backbone(**changes) -> Backbone:
    """The same architecture with other weights or another preprocessing."""
    document = tiny_vit.SPEC | {"id": "tiny-other"} | changes
    spec = from_json(document, BackboneSpec)
    state = tiny_vit.random_state(spec, seed=0 if changes else 1)
    return Backbone(spec=spec, state=state, weights_digest=weights.digest_of(state))


def test_queries_of_different_weights_are_refused_with_both_digests(home, tiny):
    other = other_backbone()
    tiny_vit.make_query(home / "other", backbone=other, name="other")
    with pytest.raises(BackboneMismatch) as caught:
        pinned("tiny-disc", "./other")
    assert code_of(caught.value) == 4
    assert str(caught.value).startswith("other: ")
    for digest in (other.weights_digest, tiny.backbone.weights_digest):
        assert digest in str(caught.value)
    assert "--allow-mismatch" not in str(caught.value)


def test_queries_of_different_preprocessing_are_refused_with_both_digests(home, tiny):
    preprocessing = tiny_vit.SPEC["preprocessing"] | {"mean": [0.4, 0.4, 0.4]}
    other = other_backbone(preprocessing=preprocessing)
    tiny_vit.make_query(home / "other", backbone=other, name="other")
    with pytest.raises(BackboneMismatch) as caught:
        pinned("tiny-disc", "./other")
    for spec in (other.spec, tiny.spec):
        assert spec.preprocessing_digest in str(caught.value)


def test_weights_that_compute_the_same_are_let_in_with_a_note(home, tiny):
    nearly = {name: tensor * (1 + 1e-6) for name, tensor in tiny.state.items()}
    other = Backbone(spec=tiny.spec, state=nearly, weights_digest=weights.digest_of(nearly))
    tiny_vit.make_query(home / "other", backbone=other, name="other")
    heard = Listener()
    lock = pin(["tiny-disc", "./other"], base=home, progress=heard)
    assert lock.backbone.weights_digest == tiny.backbone.weights_digest
    (note,) = heard.notes
    assert note.startswith("other: ")
    assert "compute the same" in note


def test_the_specs_own_digest_is_pinned_where_it_has_one(home, tiny, registry_folder):
    tiny_vit.write_spec(registry_folder / "backbones", weights_digest="0" * 64, fingerprint=None)
    with pytest.raises(BackboneMismatch, match="0" * 64):
        pinned("tiny-disc")


def test_a_damaged_artifact_is_not_pinned(home):
    path = home / "queries/mine/query.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DigestMismatch):
        pinned("./queries/mine")


def test_a_shipped_query_is_pinned_as_its_registry_lists_it():
    (one,) = pinned("idrid-disc").queries
    assert one.digest == stock.find("idrid-disc").record.digest
