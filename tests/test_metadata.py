"""The head of a card is what the Hub's own client reads and would write."""

from dataclasses import replace

import pytest
from graders import GRADED
from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.errors import HFValidationError
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results
from huggingface_hub.utils import validate_repo_id
from support_core import manifest
from tiny import SPEC

from retq_hub import metadata
from retq_hub.kinds import CLASSIFICATION, TEXT
from retq_hub.manifest import Licence, from_json
from retq_hub.metrics import METRICS
from retq_hub.spec import BackboneSpec

BACKBONE = from_json(SPEC, BackboneSpec)


def head(**changes: object) -> dict[str, object]:
    return metadata.document(manifest(), replace(BACKBONE, **changes))


def test_the_members_that_the_hub_reads() -> None:
    found = head(hub_id="someone/tiny-vit", modality="colour-fundus")
    assert found["library_name"] == "retq"
    assert found["pipeline_tag"] == "image-segmentation"
    assert found["tags"] == [
        *("retq", "query-vector", f"retq-backbone:{'a' * 12}"),
        *("target:disc-0", "modality:colour-fundus"),
    ]
    assert found["license"] == "cc0-1.0"
    assert (found["base_model"], found["base_model_relation"]) == ("someone/tiny-vit", "adapter")
    assert found["datasets"] == ["made-up"]
    assert all(map(metadata.is_own_tag, found["tags"]))
    assert not metadata.is_own_tag("retina")


def test_the_hubs_client_reads_every_member_and_every_figure() -> None:
    found = metadata.document(manifest(targets=2), replace(BACKBONE, hub_id="someone/tiny-vit"))
    card = ModelCard(f"---\n{metadata.to_yaml(found)}---\n\n# text\n")
    assert isinstance(card.data, ModelCardData)
    name, results = model_index_to_eval_results(found["model-index"])
    assert name == "small-disc"
    assert [one.metric_type for one in results] == list(METRICS)
    for one in results:
        assert (one.task_type, one.dataset_type) == ("image-segmentation", "made-up")
        assert (one.dataset_name, one.dataset_split) == ("Made up", "test")
        assert (one.metric_value, one.metric_args["ci95"]) == (0.5, [0.375, 0.625])
        assert one.dataset_config == "disc-0"
    assert eval_results_to_model_index(name, results) == found["model-index"]
    written = card.data.to_dict()
    assert {member: written[member] for member in found} == found


def test_figures_of_several_targets_are_told_apart() -> None:
    made = manifest(targets=2)
    second = replace(made.metrics[0], target="disc-1", n_images=9)
    found = metadata.document(replace(made, metrics=(*made.metrics, second)), BACKBONE)
    name, results = model_index_to_eval_results(found["model-index"])
    assert eval_results_to_model_index(name, results) == found["model-index"]
    assert {one.dataset_config: one.metric_args["n_images"] for one in results} == {
        "disc-0": 2,
        "disc-1": 9,
    }


def test_a_query_without_figures_has_no_model_index() -> None:
    assert "model-index" not in metadata.document(manifest(metrics=()), BACKBONE)


@pytest.mark.parametrize("hub_id", [None, "./weights", "/data/vit.pth", "vit", "a/b/c", "a/b c"])
def test_a_base_model_is_a_repository_or_is_not_named(hub_id: str | None) -> None:
    assert not {"base_model", "base_model_relation"} & head(hub_id=hub_id).keys()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("CC-BY-4.0", {"license": "cc-by-4.0"}),
        ("GPL-3.0-or-later", {"license": "gpl-3.0"}),
        ("ODbL-1.0", {"license": "odbl"}),
        ("LicenseRef-unknown", {"license": "unknown"}),
        ("MIT AND Apache-2.0", {"license": "other", "license_name": "mit-and-apache-2.0"}),
        ("LicenseRef-My Own", {"license": "other", "license_name": "my-own"}),
    ],
)
def test_licences_are_named_as_the_hub_does(name: str, expected: dict[str, str]) -> None:
    made = metadata.document(manifest(licence=Licence(id=name)), BACKBONE)
    assert {key: one for key, one in made.items() if key.startswith("license")} == expected


def test_another_licence_is_linked_if_its_address_is_one_of_the_web() -> None:
    for url, linked in (("https://a.example/l", True), ("javascript:x", False)):
        licence = Licence(id="LicenseRef-own", url=url)
        made = metadata.document(manifest(licence=licence), BACKBONE)
        assert (made.get("license_link") == url) is linked


@pytest.mark.parametrize(
    "name",
    ["idrid", "ns/name", "n.s/na_me-1", "a", "a--b", "a..b", "x.git", "-a", "a-", "a/b/c", "", ".a",
     "a b", "ä", "a\n", "x" * 96, "x" * 97],
)  # fmt: skip
def test_a_repositorys_name_is_what_the_hubs_client_takes_for_one(name: str) -> None:
    try:
        validate_repo_id(name)
        valid = True
    except HFValidationError:
        valid = False
    assert metadata.is_repo_id(name) is valid


def test_the_same_head_gives_the_same_text_and_back() -> None:
    found = head()
    assert metadata.to_yaml(found) == metadata.to_yaml(head())
    assert metadata.from_yaml(metadata.to_yaml(found)) == found


@pytest.mark.parametrize(
    "text",
    ["- a list", "just text", "a: [", "!!python/object/apply:os.system ['true']",
     "day: 2024-99-99", "a: " + "[" * 5000, "? [a]\n: b",
     "a: &a {x: 1}\nb: {<<: [*a, *a]}", "a: &a [*a]", "a: " + "b" * 70_000],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_what_is_no_head_is_none(text: str) -> None:
    assert metadata.from_yaml(text) is None


def test_a_grader_is_an_image_classification_with_figures_of_its_own() -> None:
    made = manifest(kind=CLASSIFICATION, metrics=(), graded=(GRADED,))
    found = metadata.document(made, BACKBONE)
    assert found["pipeline_tag"] == "image-classification"
    assert "retq-kind:classification" in found["tags"]
    assert all(map(metadata.is_own_tag, found["tags"]))
    ModelCard(f"---\n{metadata.to_yaml(found)}---\n\n# text\n")
    _, results = model_index_to_eval_results(found["model-index"])
    assert [one.metric_type for one in results] == list(GRADED.values)
    assert {one.task_type for one in results} == {"image-classification"}
    assert results[0].metric_value == 0.625
    assert results[0].metric_args == {"ci95": [0.5, 0.75], "n_images": 20}


def test_texts_are_zero_shot_and_what_their_masks_gave_is_segmentation() -> None:
    found = metadata.document(manifest(kind=TEXT, graded=(GRADED,)), BACKBONE)
    assert found["pipeline_tag"] == "zero-shot-image-classification"
    tasks = [one["task"]["type"] for one in found["model-index"][0]["results"]]
    assert tasks == ["image-segmentation", "zero-shot-image-classification"]


def test_a_pipeline_of_graders_alone_is_a_classification() -> None:
    grader = manifest(kind=CLASSIFICATION)
    for members, task in (
        ((grader,), "image-classification"),
        ((grader, manifest()), "image-segmentation"),
    ):
        assert metadata.composed(members, BACKBONE, "a" * 64)["pipeline_tag"] == task
