"""Tests of `retq_hub.assessment.pointing`: a grader's maps against masks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from eyes import make_csv
from kinds import make_classification
from sklearn.metrics import average_precision_score, roc_auc_score
from support_core import assert_clear, edit_manifest
from tiny import Tiny

from retq_hub import datasets, schema
from retq_hub.assessment.pointing import point
from retq_hub.errors import DatasetError, UsageError
from retq_hub.images import area_mask, decode, read_mask
from retq_hub.pipeline import Pipeline
from retq_hub.query import Query


@pytest.fixture
def spots(tmp_path: Path, cache: Path, registry_folder: Path) -> datasets.Dataset:
    table = make_csv(tmp_path / "data", count=4, n_test=3)
    return datasets.from_csv(table, target="spot", split="test", name="eyes")


@pytest.fixture
def grader(tiny: Tiny, tmp_path: Path) -> Callable[..., Path]:
    def make(**options: object) -> Path:
        return make_classification(tmp_path / "grade", backbone=tiny.backbone, **options)

    return make


def test_maps_are_those_of_the_pipeline(
    spots: datasets.Dataset, grader: Callable[..., Path], tiny: Tiny
) -> None:
    folder = grader(activation="ordinal", maps=2)
    found = point(Query.from_pretrained(folder), spots)
    pipe = Pipeline.from_pretrained([folder], backbone=tiny.backbone)
    areas, precisions = [], []
    for sample in spots.samples:
        square = decode(sample.image).resize((392, 392))
        size = decode(sample.image).size
        mask = area_mask(read_mask(sample.masks[0], size=size), 392)
        weights = pipe(sample.image)["tiny-grade"].weights.mean(axis=0)
        assert square.size == mask.shape[::-1]
        assert abs(weights.sum() - 1) < 1e-5
        attention = scaled(weights)
        areas.append(roc_auc_score(mask.ravel(), attention.ravel()))
        precisions.append(average_precision_score(mask.ravel(), attention.ravel()))
    assert found.auroc["attention"].mean == pytest.approx(np.mean(areas), abs=5e-3)
    assert found.auprc["attention"].mean == pytest.approx(np.mean(precisions), abs=5e-3)
    assert set(found.auroc) == {"attention", "evidence", "fundus"}
    # These pictures have no dark frame: knowing the field is knowing nothing.
    assert found.pooled["fundus"] == pytest.approx(0.5, abs=0.01)
    assert (len(found.images), found.left_out) == (3, ())
    assert 0 < found.chance < 0.2


def scaled(grid: np.ndarray) -> np.ndarray:
    """Bilinear upsampling to 392 x 392, by Pillow."""
    from PIL import Image

    return np.asarray(Image.fromarray(grid).resize((392, 392), Image.Resampling.BILINEAR))


def test_images_that_were_trained_on_are_left_out(
    spots: datasets.Dataset, grader: Callable[..., Path]
) -> None:
    folder = grader()
    document = schema.read_json(folder / "retq.json")
    seen = [spots.samples[1].image_digest[:12]]
    edit_manifest(folder, data=[document["data"][0] | {"images": seen}])
    found = point(Query.from_pretrained(folder), spots)
    assert found.left_out == (spots.samples[1].id,)
    assert len(found.images) == 2
    every = sorted(one.image_digest[:12] for one in spots.samples)
    edit_manifest(folder, data=[document["data"][0] | {"images": every}])
    with pytest.raises(DatasetError) as caught:
        point(Query.from_pretrained(folder), spots)
    assert_clear(caught.value, 6, "had no part in training")


def test_what_has_no_map_is_refused(spots: datasets.Dataset, grader: Callable[..., Path]) -> None:
    with pytest.raises(UsageError) as caught:
        point(Query.from_pretrained(grader(method="embedding")), spots)
    assert_clear(caught.value, 2, "does not pool by attention")
