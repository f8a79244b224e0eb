"""The queries that ship with the package: intact, reproducible, and as good as they say."""

from pathlib import Path

import pytest

from retq_hub import artifact, cardfile, datasets, index, registry, stock
from retq_hub.backbone import Backbone
from retq_hub.demo import QUERIES
from retq_hub.embedded import REGISTRY
from retq_hub.evaluation import evaluate
from retq_hub.query import Query
from retq_hub.validation import validate

SPLITS = {
    "idrid-disc": ("idrid", "IDRiD", "disc"),
    "idrid-lesions": ("idrid", "IDRiD", "lesions"),
    "rop-ridge": ("hvdropdb", "HVDROPDB-RIDGE", "ridge"),
}
"""Data set, folder and target on whose test split each query was measured."""

LEAST = {
    "idrid-disc": {"auroc": 0.9999, "dice": 0.95, "dice_at_0.5": 0.95},
    "idrid-lesions": {"auroc": 0.93, "dice": 0.44, "dice_at_0.5": 0.44},
    "rop-ridge": {"auroc": 0.966, "dice": 0.48, "dice_at_0.5": 0.48},
}
"""What a shipped query must reach on its test split."""

FIRST = {
    "idrid-disc": "c191fde92189d0f69699225690be00a97a9e74d4f4627efe25b6e9a74e1e4892",
    "idrid-lesions": "53ab43132cf1df9cc2989a5c1014f8e5a53dc2200b9561bacf2c2b11ed37d9d8",
    "rop-ridge": "c18cd3acf34e92a0fb1e3019fdd883b9e0ad0014f40b4f3d8dfdcf470c25de59",
}
"""Digests of the versions 1.0.0, which were published before there were tiles and calibration."""

FOLDERS = sorted(path.parent for path in REGISTRY.glob("queries/*/*/retq.json"))


def test_the_index_is_in_step() -> None:
    assert index.findings(REGISTRY) == []
    assert set(QUERIES) <= {one.record.name for one in stock.entries()}


@pytest.mark.parametrize("name", FIRST)
def test_the_first_versions_are_read_as_they_were_published(name: str) -> None:
    manifest = artifact.read_manifest(REGISTRY / f"queries/{name}/1.0.0")
    assert manifest.digest == FIRST[name]
    assert manifest.basis.views is manifest.basis.pixels is None
    assert manifest.head.guided is manifest.head.calibration is None
    assert Query.from_pretrained(f"{name}@1.0.0").manifest == manifest


BASES = {artifact.read_manifest(folder).basis: folder for folder in FOLDERS}
"""A query for each basis: the backbone passes of one prove those of all."""


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: f"{path.parent.name}@{path.name}")
def test_every_query_is_intact(folder: Path) -> None:
    verdict = validate(folder)
    assert verdict.ok, verdict.findings
    assert cardfile.findings(folder) == []
    assert len((folder / artifact.PICTURE).read_bytes()) <= 80_000


@pytest.mark.parametrize(
    "folder", BASES.values(), ids=lambda path: f"{path.parent.name}@{path.name}"
)
def test_every_basis_reproduces(folder: Path, backbone: Backbone) -> None:
    assert backbone.spec.id == artifact.read_manifest(folder).backbone.id
    verdict = validate(folder, replay=True)
    assert verdict.ok, verdict.findings
    assert verdict.reproduces


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_reads_one_pass_of_at_most_six_layers(name: str) -> None:
    manifest = artifact.read_manifest(registry.locate(name))
    assert len(manifest.basis.passes) == 1
    assert len(manifest.basis.layers) <= (1 if name == "idrid-disc" else 6)


@pytest.mark.slow
@pytest.mark.parametrize("name", QUERIES)
def test_figures_are_measured_again(name: str, data: Path) -> None:
    dataset, folder, target = SPLITS[name]
    split = datasets.open_dataset(dataset, data / folder, target=target, split="test")
    found = evaluate(name, split)
    stated = artifact.read_manifest(registry.locate(name)).metrics[0]
    assert stated.split_digest == found.split_digest
    for metric, least in LEAST[name].items():
        assert found.metrics[metric].mean >= least
        assert found.metrics[metric].mean == pytest.approx(stated.values[metric].mean, abs=2e-3)
