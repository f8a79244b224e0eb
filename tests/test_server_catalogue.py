"""The rows that a gallery and a search read: they follow `main`, and know nothing private."""

import json
from collections.abc import Iterator

import pytest
from hubs import ARTIFACT, Hub, artifact_operations

from retq_hub.errors import NotFoundError
from retq_hub.server.blobs import Blobs
from retq_hub.server.catalogue import Catalogue, Wanted
from retq_hub.server.services import open_database

OTHER = ARTIFACT.parent.parent / "idrid-lesions" / "1.0.0"
REPOS = ("alice/c-disc", "alice/c-lesions", "alice/c-gated", "alice/c-private", "alice/c-broken")


@pytest.fixture(scope="module")
def catalogue(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    """A second reader of a served hub, which five queries were pushed to."""
    alice = hub.api("alice")
    for repo in REPOS:
        alice.create_repo(repo, private=repo.endswith("private"))
        if repo.endswith("lesions"):
            alice.upload_folder(repo_id=repo, folder_path=OTHER)
        else:
            alice.create_commit(repo, artifact_operations(), commit_message="one")
    alice.create_tag("alice/c-disc", tag="v1.0.0")
    alice.create_tag("alice/c-disc", tag="draft")
    alice.update_repo_settings("alice/c-gated", gated="auto")
    alice.delete_file("golden.safetensors", "alice/c-broken")
    database = open_database(hub.data)
    scratch = tmp_path_factory.mktemp("scratch")
    yield Catalogue(database, Blobs(hub.data / "blobs", scratch))
    database.close()


def found(catalogue: Catalogue, **wanted: object) -> list[str]:
    rows = catalogue.search(Wanted(size=100, **wanted)).rows
    return [one.repo for one in rows if one.repo in REPOS]


def test_public_queries_are_found_newest_first(catalogue):
    assert found(catalogue) == [
        "alice/c-broken",
        "alice/c-gated",
        "alice/c-lesions",
        "alice/c-disc",
    ]


def test_a_row_says_what_the_manifest_says(catalogue):
    row = catalogue.get("alice/c-disc")
    manifest = json.loads((ARTIFACT / "retq.json").read_bytes())
    assert (row.name, row.version, row.summary) == ("idrid-disc", "1.0.0", manifest["summary"])
    assert row.targets == ("optic disc",)
    assert row.weights_digest == manifest["backbone"]["weights_digest"]
    assert row.dice == manifest["metrics"][0]["values"]["dice"]["mean"]
    assert (row.floats, row.licence, row.findings) == (384, "CC-BY-4.0", ())


def test_a_broken_one_carries_its_findings(catalogue):
    row = catalogue.get("alice/c-broken")
    assert [str(one) for one in row.findings] == [
        "golden.safetensors: golden.safetensors is missing"
    ]


def test_searches_narrow(catalogue):
    assert found(catalogue, words="LESIONS diabetic") == ["alice/c-lesions"]
    assert found(catalogue, words="diabetic nonsense") == []
    assert "alice/c-lesions" not in found(catalogue, target="optic disc")
    assert len(found(catalogue, backbone="dinov2-small-saliency", licence="CC-BY-4.0")) == 4
    assert "alice/c-lesions" not in found(catalogue, min_dice=0.8)
    assert found(catalogue, dataset="no such data") == []
    assert found(catalogue, sort="dice")[-1] == "alice/c-lesions"
    names = found(catalogue, sort="name")
    assert names.index("alice/c-disc") < names.index("alice/c-lesions")


def test_facets_count_what_was_found(catalogue):
    page = catalogue.search(Wanted(words="idrid-lesions", size=1))
    assert page.total == sum(count for _, count in page.facets["backbone"])
    assert set(page.facets) == {"kind", "target", "backbone", "dataset", "licence"}
    second = catalogue.search(Wanted(size=2, page=2))
    first = catalogue.search(Wanted(size=2))
    assert not {one.repo for one in first.rows} & {one.repo for one in second.rows}
    assert first.total == second.total


def test_versions_are_the_tags_of_versions(catalogue):
    (version,) = catalogue.versions("alice/c-disc")
    assert version.tag == "v1.0.0"
    assert version.findings == ()
    assert catalogue.versions("alice/c-lesions") == []


def test_card_manifest_and_files_are_given_by_commit(catalogue):
    assert catalogue.card("alice/c-disc", "v1.0.0") == (ARTIFACT / "README.md").read_text()
    assert catalogue.manifest("alice/c-disc", "main")["name"] == "idrid-disc"
    path = catalogue.path("alice/c-disc", "main", "query.safetensors")
    assert path.read_bytes() == (ARTIFACT / "query.safetensors").read_bytes()
    assert set(catalogue.files("alice/c-disc", "main")) == {one.name for one in ARTIFACT.iterdir()}


def test_gated_ones_show_their_card_and_keep_their_files(catalogue):
    assert catalogue.get("alice/c-gated").gated
    assert catalogue.card("alice/c-gated", "main")
    with pytest.raises(NotFoundError):
        catalogue.path("alice/c-gated", "main", "query.safetensors")


@pytest.mark.parametrize("repo", ["alice/c-private", "alice/none", "none", ""])
def test_what_is_private_does_not_exist(catalogue, repo):
    for ask in (
        catalogue.get,
        catalogue.versions,
        lambda name: catalogue.card(name, "main"),
        lambda name: catalogue.manifest(name, "main"),
        lambda name: catalogue.files(name, "main"),
    ):
        with pytest.raises(NotFoundError):
            ask(repo)


def test_rows_follow_main(hub, catalogue):
    alice = hub.api("alice")
    alice.create_repo("alice/c-moving")
    alice.create_branch("alice/c-moving", branch="dev")
    alice.upload_folder(repo_id="alice/c-moving", folder_path=ARTIFACT, revision="dev")
    with pytest.raises(NotFoundError):
        catalogue.get("alice/c-moving")
    alice.upload_folder(repo_id="alice/c-moving", folder_path=ARTIFACT)
    assert catalogue.get("alice/c-moving").version == "1.0.0"
    alice.delete_file("retq.json", "alice/c-moving")
    with pytest.raises(NotFoundError):
        catalogue.get("alice/c-moving")
    alice.delete_repo("alice/c-moving")
