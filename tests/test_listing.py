"""What listings say, from a real hub: cards written by anybody."""

import pytest
from hubs import Hub

from retq_hub.errors import Unreachable
from retq_hub.listing import search

CARD = """---
library_name: retq
tags:
- retq
- query-vector
- retq-backbone:{backbone}
- target:{target}
license: {licence}
datasets:
- {dataset}
model-index:
{index}
---

# A query
"""

INDEX = """- name: eyes
  results:
  - task:
      type: image-segmentation
    dataset:
      name: Eyes of Everywhere
      type: {dataset}
    metrics:
    - type: auroc
      value: 0.99
    - type: dice
      value: 0.75"""


GRADES = """- name: grades
  results:
  - task:
      type: image-classification
    dataset:
      name: Eyes
      type: eyes
    metrics:
    - type: quadratic_kappa
      value: 0.5
    - type: auroc
      value: 0.875"""


@pytest.fixture(scope="module")
def listed(hub: Hub) -> None:
    """Three queries and a model that is none."""
    api = hub.api("bob")
    cards = {
        "bob/disc": ("a" * 12, "disc", "cc-by-4.0", "idrid", INDEX.format(dataset="idrid")),
        "bob/drusen": ("b" * 12, "drusen", "mit", "amd", INDEX.format(dataset="amd")),
        "bob/grade": ("d" * 12, "grade\n- retq-kind:classification", "cc0-1.0", "eyes", GRADES),
        "bob/lies": ("e" * 12, "lies\n- retq-kind:nonsense", "cc0-1.0", "eyes", "- name: x"),
        "bob/odd": ("c" * 12, "odd", "mit", "amd", "- name: x\n  results: 5"),
    }
    for repo, (backbone, target, licence, dataset, index) in cards.items():
        api.create_repo(repo)
        text = CARD.format(
            backbone=backbone, target=target, licence=licence, dataset=dataset, index=index
        )
        api.upload_file(repo_id=repo, path_in_repo="README.md", path_or_fileobj=text.encode())
    api.create_repo("bob/llm")


@pytest.fixture(autouse=True)
def online(login: object, listed: None) -> None:
    """Ask the hub, as alice."""


def repos(*words: str, **filters: str) -> set[str]:
    """Find what bob published; the hub has what other tests published, too."""
    found = {one.repo for one in search(words, limit=50, **filters)}
    return {repo for repo in found if repo.startswith("bob/")}


def test_a_listing_says_what_the_card_says():
    (one,) = search(["bob/disc"], limit=5)
    assert (one.targets, one.backbone, one.licence) == (("disc",), "a" * 12, "cc-by-4.0")
    assert (one.dice, one.gated, one.private) == (0.75, False, False)
    assert "Eyes of Everywhere" in one.datasets
    assert len(one.commit) == 40


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({"target": "drusen"}, {"bob/drusen"}),
        ({"weights_digest": "a" * 64}, {"bob/disc"}),
        ({"licence": "MIT"}, {"bob/drusen", "bob/odd"}),
        ({"dataset": "amd", "licence": "mit"}, {"bob/drusen", "bob/odd"}),
        ({"target": "nothing"}, set()),
    ],
)
def test_filters_narrow(filters, wanted):
    assert repos(**filters) == wanted


def test_all_words_must_occur_in_any_case():
    assert repos("EVERYWHERE", "disc") >= {"bob/disc"}
    assert "bob/drusen" not in repos("EVERYWHERE", "target:disc")


def test_a_misshapen_card_is_listed_without_figures():
    (odd,) = search(["bob/odd"], limit=5)
    assert odd.dice is None


def test_what_is_no_query_is_not_listed():
    assert "bob/llm" not in repos()


def test_the_limit_counts_what_is_found():
    assert len(search(["bob/"], limit=2)) == 2


def test_without_a_network_it_says_so(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(Unreachable, match="HF_HUB_OFFLINE"):
        search([], limit=5)


def test_a_kind_is_what_a_tag_says_and_a_segmentation_has_none():
    assert repos(kind="classification") == {"bob/grade"}
    (grade,) = search(["bob/grade"], limit=5)
    assert (grade.kind, grade.kappa, grade.auroc, grade.dice) == (
        "classification",
        0.5,
        0.875,
        None,
    )
    assert [one.kind for one in search(["bob/disc"], limit=5)] == ["segmentation"]
    assert [one.kind for one in search(["bob/lies"], limit=5)] == ["segmentation"]
