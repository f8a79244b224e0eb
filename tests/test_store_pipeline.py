"""Queries over a store say what they say of the photographs, and load no backbone."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from kinds import make_classification, make_text, texted
from safetensors.torch import save_file
from stores import RICH, eyes, make_store
from support_core import assert_clear
from tiny import Tiny, random_state

from retq_hub import index
from retq_hub.application import Application
from retq_hub.backbone import Backbone
from retq_hub.basis import Basis, Pass
from retq_hub.errors import BackboneMismatch, UsageError
from retq_hub.manifest import Guided, Head, to_json
from retq_hub.pipeline import Pipeline
from retq_hub.result import Classification, Segmentation, ZeroShot
from retq_hub.storage import write_json
from retq_hub.store.pipeline import StoredPipeline
from retq_hub.store.store import Store

LED = Head(
    activation="sigmoid",
    thresholds=(0.4,),
    threshold_choice="given",
    guided=Guided(size_px=48, radius_px=2, epsilon=0.01),
)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return eyes(tmp_path_factory.mktemp("eyes"), 3)


@pytest.fixture(scope="module")
def pipeline(
    tiny: Tiny, make_query: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Pipeline:
    folder = tmp_path_factory.mktemp("queries")
    two = Basis(passes=(Pass(size_px=64, tiles=1, layers=(0, 2)),), norm=True)
    queries = [
        make_query(folder / "rich", name="rich", basis=RICH, head=LED),
        make_classification(folder / "grade", backbone=tiny.backbone, name="grade"),
        make_query(folder / "one", name="one"),
        make_query(folder / "more", name="more", targets=3, seed=5),
        make_classification(folder / "w", backbone=tiny.backbone, name="w", method="embedding"),
        make_query(folder / "two", name="two", basis=two),
    ]
    return Pipeline.from_pretrained(queries, backbone=tiny.backbone)


@pytest.fixture(scope="module")
def store(
    pipeline: Pipeline,
    images: list[Path],
    tiny: Tiny,
    tmp_path_factory: pytest.TempPathFactory,
) -> Store:
    return make_store(tmp_path_factory.mktemp("store"), images, tiny.backbone, pipeline.needs)


def test_all_kinds_say_the_same_as_with_the_backbone(
    pipeline: Pipeline, store: Store, images: list[Path]
) -> None:
    stored = StoredPipeline(store, pipeline.queries)
    results = list(stored.results())
    assert [Path(entry.image) for entry, _ in results] == images
    for image, (entry, result) in zip(images, results, strict=True):
        wanted = pipeline(image)
        assert list(result) == list(wanted)
        for name, found in result.items():
            assert type(found) is type(wanted[name])
            assert found.size == wanted[name].size == entry.size
            if isinstance(found, Segmentation):
                assert np.abs(found.logits - wanted[name].logits).max() < 5e-3
                assert (found.mask != wanted[name].mask).mean() < 1e-3
            else:
                assert isinstance(found, Classification)
                assert np.abs(found.scores - wanted[name].scores).max() < 5e-3
        single = stored(image)
        for name, found in single.segmentations.items():
            assert np.abs(found.logits - result[name].logits).max() < 1e-5
    assert np.array_equal(results[0][1].embedding, store.embedding(images[0]).numpy())


def test_without_rounding_there_is_no_difference(
    pipeline: Pipeline, store: Store, images: list[Path]
) -> None:
    """The naive way: one image at a time, by the application that pipelines have."""
    naive = Application(pipeline.queries, backbone=pipeline.backbone)
    stored = StoredPipeline(store, pipeline.queries)
    for image in images:
        batch = store.batch(image, stored.needs)
        wanted = naive(batch.scene(0), store.tokens(image), store.embedding(image))
        found = stored(image)
        for name, one in found.segmentations.items():
            assert np.abs(one.logits - wanted[name].logits).max() < 1e-5, name
        for name, one in found.classifications.items():
            assert np.abs(one.scores - wanted[name].scores).max() < 1e-5, name


def test_texts_of_a_dense_backbone_need_no_weights(images: list[Path], tmp_path: Path) -> None:
    backbone = texted(dense=True)
    check_texts(backbone, images, tmp_path)


def test_texts_of_another_read_one_matrix_of_the_weights(
    images: list[Path], tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = texted(dense=False)
    state = random_state(backbone.spec)
    save_file(state, tmp_path / "weights.safetensors")
    (tmp_path / "registry/backbones").mkdir(parents=True)
    document = to_json(backbone.spec) | {
        "weights_digest": None,
        "fingerprint": None,
        "sources": [{"kind": "file", "path": str(tmp_path / "weights.safetensors")}],
    }
    write_json(tmp_path / "registry/backbones/tiny-flair.json", document)
    index.write(tmp_path / "registry", index.build(tmp_path / "registry"))
    monkeypatch.setenv("RETQ_REGISTRY", str(tmp_path / "registry"))
    stored = check_texts(backbone, images, tmp_path)
    stored.store.contents = replace(stored.store.contents, weights_digest="1" * 64)
    other = StoredPipeline(stored.store, stored.queries, allow_mismatch=True)
    with pytest.raises(BackboneMismatch, match="the store is of weights 1111"):
        other(images[0])


def check_texts(backbone: Backbone, images: list[Path], folder: Path) -> StoredPipeline:
    text = make_text(folder / "text", backbone=backbone)
    pipeline = Pipeline.from_pretrained([text], backbone=backbone)
    store = make_store(folder / "store", images[:1], backbone, pipeline.needs)
    stored = StoredPipeline(store, pipeline.queries)
    (name,) = pipeline.queries
    found, wanted = stored(images[0])[name], pipeline(images[0])[name]
    assert isinstance(found, ZeroShot)
    assert np.abs(found.scores - wanted.scores).max() < 1e-4
    assert np.abs(found.logits - wanted.logits).max() < 5e-2
    return stored


def test_a_query_whose_basis_is_not_held_is_refused(
    store: Store, make_query: Callable[..., Path], tmp_path: Path
) -> None:
    other = make_query(tmp_path / "other", name="other", size_px=96)
    with pytest.raises(UsageError) as caught:
        StoredPipeline.from_pretrained(store.folder, [other])
    assert_clear(
        caught.value, 2, "other reads tokens 1x1@96:1, which", "retq embed IMAGES -q other"
    )


def test_a_query_of_another_backbone_is_refused(
    store: Store, pipeline: Pipeline, tiny: Tiny
) -> None:
    other = replace(store.contents, weights_digest="1" * 64)
    store = Store(store.folder)
    store.contents = replace(other, fingerprint=replace(other.fingerprint, values=tuple(range(64))))
    queries = {"one": pipeline.queries["one"]}
    with pytest.raises(BackboneMismatch, match="one: the query does not fit"):
        StoredPipeline(store, queries)
    assert "as you asked" in StoredPipeline(store, queries, allow_mismatch=True).notes[0]


def test_no_query_is_no_pipeline(store: Store) -> None:
    with pytest.raises(UsageError, match="at least one query"):
        StoredPipeline.from_pretrained(store, [])


def test_a_photograph_is_not_needed(pipeline: Pipeline, tiny: Tiny, tmp_path: Path) -> None:
    own = eyes(tmp_path, 1)
    wanted = [pipeline(image)["one"].logits for image in own]
    store = make_store(tmp_path / "store", own, tiny.backbone, pipeline.needs)
    for image in own:
        image.unlink()
    for (_, found), logits in zip(
        StoredPipeline(store, pipeline.queries).results(), wanted, strict=True
    ):
        assert torch.allclose(
            torch.from_numpy(found["one"].logits), torch.from_numpy(logits), atol=5e-3
        )
