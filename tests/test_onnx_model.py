"""A pipeline as one ONNX model: run by ONNX Runtime, it says what the pipeline says."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from tiny import Tiny

from retq_hub.backbone import Backbone
from retq_hub.basis import Basis, Pass
from retq_hub.errors import UsageError
from retq_hub.onnx_model import Exported, export, feed
from retq_hub.pipeline import Pipeline
from retq_hub.query import Query
from retq_hub.tiling import PassKey, stitch, stitching

FINE = Basis(
    passes=(
        Pass(size_px=64, tiles=2, layers=(1, 0), overlap_px=16),
        Pass(size_px=96, tiles=1, layers=(2,)),
    ),
    norm=False,
    views=("plain", "mirrored"),
    pixels="retq-pixels-1",
)


@pytest.fixture(scope="module")
def pipeline(
    tiny: Tiny, make_query: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Pipeline:
    folder = tmp_path_factory.mktemp("queries")
    queries = [
        make_query(folder / "disc", name="disc"),
        make_query(folder / "fine", name="fine", basis=FINE, targets=2, seed=1),
    ]
    return Pipeline.from_pretrained(queries, backbone=tiny.backbone, embed=False)


@pytest.fixture(scope="module")
def done(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export(pipeline, tmp_path_factory.mktemp("exported") / "model.onnx")


def photograph(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((240, 180))


def test_it_says_what_the_pipeline_says_of_a_batch(pipeline: Pipeline, done: Exported):
    assert done.difference is not None and done.difference < 1e-5
    assert done.outputs == {"disc": ("B", 1, 4, 4), "fine": ("B", 2, 196, 196)}
    assert done.inputs["squares_64_2x2_overlap16_mirrored"] == ("B", 4, 64, 64, 3)
    prepared = [pipeline.prepare(photograph(seed)) for seed in range(3)]
    fed = [feed(one) for one in prepared]
    session = onnxruntime.InferenceSession(done.path)
    batch = {name: np.concatenate([one[name] for one in fed]) for name in fed[0]}
    assert {one.name for one in session.get_inputs()} == set(batch) == set(done.inputs)
    found = session.run(["disc", "fine"], batch)
    for name, logits in zip(("disc", "fine"), found, strict=True):
        expected = np.stack([result[name].logits for result in pipeline.apply(prepared)])
        np.testing.assert_allclose(logits, expected, atol=1e-4, rtol=1e-4)


def test_its_metadata_name_what_it_was_made_of(pipeline: Pipeline, done: Exported):
    model = onnx.load(done.path)
    onnx.checker.check_model(model)
    (about,) = (json.loads(one.value) for one in model.metadata_props if one.key == "retq")
    manifests = {name: query.manifest for name, query in pipeline.queries.items()}
    assert {name: one["digest"] for name, one in about["queries"].items()} == {
        name: manifest.digest for name, manifest in manifests.items()
    }
    assert about["queries"]["fine"]["head"]["thresholds"] == [0.5, 0.5]
    assert about["backbone"]["weights_digest"] == pipeline.backbone.weights_digest
    assert set(about["inputs"]) == set(done.inputs)


def test_the_same_pipeline_gives_the_same_bytes(
    tiny: Tiny, mine: Callable[..., Path], tmp_path: Path
):
    pipeline = Pipeline.from_pretrained([mine()], backbone=tiny.backbone, embed=False)
    first, second = (export(pipeline, tmp_path / name).path for name in ("a.onnx", "b.onnx"))
    assert first.read_bytes() == second.read_bytes()


def test_what_grades_whole_images_is_refused_by_name(
    tiny: Tiny, mine: Callable[..., Path], tmp_path: Path
):
    query = Query.from_pretrained(mine())
    query.manifest = replace(query.manifest, kind="text")
    pipeline = Pipeline(backbone=tiny.backbone, queries={"mine": Query.from_pretrained(mine())})
    pipeline.queries["words"] = query
    with pytest.raises(UsageError, match="words is of kind text: only what marks pixels"):
        export(pipeline, tmp_path / "model.onnx")
    assert list(tmp_path.glob("*.onnx*")) == []


def test_a_backbone_that_keeps_the_aspect_is_refused(
    tiny: Tiny, mine: Callable[..., Path], tmp_path: Path
):
    preprocessing = replace(tiny.spec.preprocessing, aspect="pad")
    spec = replace(tiny.spec, preprocessing=preprocessing)
    backbone = Backbone(spec=spec, state=tiny.state, weights_digest=tiny.backbone.weights_digest)
    pipeline = Pipeline(
        backbone=backbone, queries={"mine": Query.from_pretrained(mine())}, allow_mismatch=True
    )
    with pytest.raises(UsageError, match="tiny-vit keeps the aspect"):
        export(pipeline, tmp_path / "model.onnx")


@pytest.mark.parametrize("key", [PassKey(64, 1, True), PassKey(64, 3, True, overlap_px=32)])
def test_the_matrix_stitches_as_stitch_does(key: PassKey):
    tokens = torch.randn(key.tiles**2, 16, 5)
    matrix = stitching(key, 16)
    field = tokens.view(key.tiles, key.tiles, 4, 4, 5).permute(0, 2, 1, 3, 4)
    field = field.reshape(4 * key.tiles, 4 * key.tiles, 5)
    found = torch.einsum("yi,xj,ijd->yxd", matrix, matrix, field)
    torch.testing.assert_close(found, stitch(tokens, key, 16))
