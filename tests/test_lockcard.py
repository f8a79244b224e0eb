"""The card of a composed pipeline: its head, its table, and no way in for what members say."""

import re
from dataclasses import replace

import pytest
from graders import make_grader

from retq_hub import artifact, lockcard, metadata
from retq_hub.lock import Lock, Origin, PinnedBackbone, pinned
from retq_hub.manifest import Licence, QueryManifest

HUB = Origin(kind="hub", repo="someone/spot", commit="0123456789abcdef" * 2 + "01234567")
NC = Licence(id="CC-BY-NC-4.0", commercial_use=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory, make_query, tiny) -> tuple[Lock, list[QueryManifest]]:
    folder = tmp_path_factory.mktemp("members")
    disc = make_query(folder / "disc", targets=2)
    spot = make_query(folder / "spot", name="tiny-spot", measured=False)
    members = [artifact.read_manifest(disc), artifact.read_manifest(spot)]
    ref = members[0].backbone
    lock = Lock(
        backbone=PinnedBackbone(
            id=ref.id,
            weights_digest=ref.weights_digest,
            preprocessing_digest=ref.preprocessing_digest,
        ),
        queries=(pinned(disc, Origin(kind="registry")), pinned(spot, HUB)),
        name="clinic-set",
        version="1.0.0",
        summary="What we use.",
    )
    return lock, members


def head(card: str) -> dict:
    found = metadata.from_yaml(card.split("---\n")[1])
    assert found is not None
    return found


def test_members_are_listed_with_what_they_are(made, tiny):
    lock, members = made
    card = lockcard.render(lock, members, tiny.spec)
    assert (
        "| `tiny-disc` | 1.0.0 | target 0, target 1 | Dice 0.5000 (nothing, test) | CC0-1.0 "
        "| registry |"
    ) in card
    assert (
        "| `tiny-spot` | 1.0.0 | target 0 | not measured | CC0-1.0 | `someone/spot@0123456789ab` |"
    ) in card
    assert lock.backbone.weights_digest in card
    assert 'Pipeline.from_lock("./clinic-set")' in card


def test_the_hub_filters_by_backbone_and_targets(made, tiny):
    lock, members = made
    found = head(lockcard.render(lock, members, tiny.spec))
    assert found["tags"] == [
        "retq",
        "retq-pipeline",
        f"retq-backbone:{lock.backbone.weights_digest[:12]}",
        "target:t0",
        "target:t1",
    ]
    assert (found["library_name"], found["pipeline_tag"]) == ("retq", "image-segmentation")
    assert (found["license"], found["datasets"]) == ("cc0-1.0", ["nothing"])
    assert "base_model" not in found
    with_hub = replace(tiny.spec, hub_id="someone/tiny")
    found = head(lockcard.render(lock, members, with_hub))
    assert (found["base_model"], found["base_model_relation"]) == ("someone/tiny", "adapter")


def test_licences_are_combined(made, tiny):
    lock, (disc, spot) = made
    card = lockcard.render(lock, [disc, replace(spot, licence=NC)], tiny.spec)
    assert "no commercial use (Apache-2.0, CC0-1.0, CC-BY-NC-4.0)" in card
    found = head(card)
    assert found["license"] == "other"
    assert found["license_name"] == "cc0-1.0-and-cc-by-nc-4.0"


def test_the_repository_is_named_where_it_is_known(made, tiny):
    lock, members = made
    card = lockcard.render(lock, members, tiny.spec, repo="me/clinic-set")
    assert 'Pipeline.from_lock("me/clinic-set@v1.0.0")' in card
    assert "retq sync me/clinic-set@v1.0.0" in card


def test_what_members_say_comes_out_as_text(made, tiny):
    lock, (disc, spot) = made
    evil = "a|b <script>x</script> [c](javascript:d) `e`"
    target = replace(spot.targets[0], label=evil)
    licence = Licence(id=evil, url="javascript:alert(1)")
    spot = replace(spot, targets=(target,), licence=licence)
    card = lockcard.render(replace(lock, summary=f"# {evil}"), [disc, spot], tiny.spec)
    assert "<script>" not in card
    assert not re.search(r"(?<!\\)\]\(javascript", card)
    rows = [line for line in card.splitlines() if line.startswith("| `tiny-spot`")]
    assert [row.replace("\\|", "").count("|") for row in rows] == [7]
    assert "\n# a" not in card
    assert head(card)["license"] == "other"


def test_the_same_lock_gives_the_same_card(made, tiny):
    lock, members = made
    assert lockcard.render(lock, members, tiny.spec) == lockcard.render(lock, members, tiny.spec)


def test_a_grader_is_listed_with_its_kappa_and_read_as_one(made, tiny, tmp_path):
    lock, (_, spot) = made
    grader = artifact.read_manifest(make_grader(tmp_path / "grade", backbone=tiny.backbone))
    card = lockcard.render(lock, [grader, spot], tiny.spec)
    assert "| kappa 0.6250 (nothing, test) |" in card
    assert "found.prediction, found.probabilities\n" in card
    assert head(card)["pipeline_tag"] == "image-segmentation"
