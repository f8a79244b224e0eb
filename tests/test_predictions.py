from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from eyes import draw

from retq_hub.backbone import Backbone
from retq_hub.errors import DatasetError, ImageError
from retq_hub.features import TokenCache
from retq_hub.heads import probabilities
from retq_hub.manifest import Calibration, Head
from retq_hub.predictions import pixel_maps, predict, unlabelled
from retq_hub.progress import Silent
from retq_hub.query import Query

PRIOR = Calibration(
    method="prior", ece=(0.1,), ece_before=(0.2,), scale=(2.0,), offset=(3.0,), shift=(2.5,)
)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    (folder / "more").mkdir(parents=True)
    for number in range(6):
        draw(number)[0].save(folder / f"{number}.png")
    (folder / "more/again.png").write_bytes((folder / "2.png").read_bytes())
    return folder


@pytest.fixture
def query(make_query: Callable[..., Path], registry_folder: Path, tmp_path: Path) -> Query:
    head = Head(
        activation="sigmoid", thresholds=(0.4,), threshold_choice="given", calibration=PRIOR
    )
    return Query.from_pretrained(make_query(tmp_path / "q", head=head))


def test_each_content_counts_once(images: Path) -> None:
    found = unlabelled(images)
    assert [one.id for one in found] == [f"{number}.png" for number in range(6)]


def test_goals_are_frequencies_and_masks_are_at_the_threshold(
    images: Path, query: Query, cache: Path
) -> None:
    tokens = TokenCache(backbone=Backbone.asleep("tiny-vit"))
    samples = unlabelled(images)
    found = predict(query, samples, cache=tokens, seed=0, progress=Silent())
    logits = torch.stack([pixel_maps(query, tokens, sample) for sample in samples])
    assert found.masks.equal(logits.sigmoid() > 0.4)
    wanted = probabilities(query.manifest.head, logits[1] - 2.5)
    assert found.goals[1].float().allclose(wanted, atol=1e-3)
    assert sorted(number for part in found.parts for number in part) == list(range(6))


def test_a_part_is_of_its_own_images(images: Path, query: Query, cache: Path) -> None:
    tokens = TokenCache(backbone=Backbone.asleep("tiny-vit"))
    whole = predict(query, unlabelled(images), cache=tokens, seed=0, progress=Silent())
    part = whole.part([1, 4])
    assert part.digests == [whole.digests[1], whole.digests[4]]
    assert part.goals.equal(whole.goals[[1, 4]])
    assert part.digest != whole.digest


def test_all_images_that_cannot_be_used_are_named(images: Path, query: Query, cache: Path) -> None:
    tokens = TokenCache(backbone=Backbone.asleep("tiny-vit"))
    (images / "1.png").write_bytes(b"none")
    with pytest.raises(ImageError, match=r"1\.png"):
        predict(query, unlabelled(images), cache=tokens, seed=0, progress=Silent())
    (images / "4.png").write_bytes(b"nor this")
    with pytest.raises(DatasetError, match=r"2 of 6 images cannot be used: .*1\.png.*4\.png"):
        predict(query, unlabelled(images), cache=tokens, seed=0, progress=Silent())
