from dataclasses import replace

import pytest
from graders import GRADED
from support_core import manifest as small

from retq_hub import artifact
from retq_hub.difference import differences
from retq_hub.kinds import Estimate, Pooling
from retq_hub.manifest import QueryManifest


@pytest.fixture
def manifest(make_query, tmp_path) -> QueryManifest:
    return artifact.read_manifest(make_query(tmp_path / "mine"))


def with_dice(manifest: QueryManifest, mean: float, **changes: str) -> QueryManifest:
    measured = manifest.metrics[0]
    values = {**measured.values, "dice": replace(measured.values["dice"], mean=mean)}
    return replace(manifest, metrics=(replace(measured, values=values, **changes),))


def test_the_same_differs_in_nothing(manifest):
    assert differences(manifest, manifest) == []


def test_metrics_that_moved_come_with_their_change(manifest):
    assert differences(with_dice(manifest, 0.9357), with_dice(manifest, 0.9511)) == [
        "metrics dice 0.9357 -> 0.9511 (+0.0154)"
    ]


def test_metrics_of_several_splits_are_told_apart(manifest):
    here, there = with_dice(manifest, 0.5), with_dice(manifest, 0.25, split="holdout")
    assert differences(here, there) == [
        "metrics (nothing test t0) removed",
        "metrics (nothing holdout t0) added: auroc 0.5000, dice 0.2500",
    ]


def test_members_are_named_by_their_path(manifest):
    new = replace(
        manifest,
        version="1.1.0",
        citation="Somebody, 2026",
        head=replace(manifest.head, thresholds=(0.25,)),
        authors=("A", "B", "C", "D"),
    )
    assert differences(manifest, new) == [
        "version 1.0.0 -> 1.1.0",
        "head/thresholds 0.5 -> 0.25",
        "authors Nobody -> 4 entries",
        "citation added: Somebody, 2026",
    ]
    assert "citation removed" in differences(new, manifest)


def test_long_texts_begin_where_they_part(manifest):
    long = "It was made for colour fundus photographs of adults, "
    old = replace(manifest, limits=f"{long}and no others.")
    new = replace(manifest, limits=f"{long}and of children as well.")
    assert differences(old, new) == ["limits ...no others. -> ...of children as well."]


def test_lines_fit_80_columns(manifest):
    old, new = (replace(manifest, summary=letter * 300) for letter in "ab")
    assert max(map(len, differences(old, new))) <= 80


def test_figures_of_whole_images_are_compared_by_their_name():
    better = replace(GRADED, values=GRADED.values | {"auroc": Estimate(value=0.9, ci95=(0.8, 1))})
    old, new = (small(metrics=(), graded=(one,)) for one in (GRADED, better))
    assert differences(old, new) == ["metrics auroc 0.8750 -> 0.9000 (+0.0250)"]
    added = differences(small(metrics=()), old)
    assert added == ["metrics added: quadratic_kappa 0.6250, auroc 0.8750"]
    other = replace(small(metrics=()), pooling=Pooling(method="embedding"), kind="classification")
    assert differences(small(metrics=()), other) == [
        "kind added: classification",
        "pooling/method added: embedding",
    ]
