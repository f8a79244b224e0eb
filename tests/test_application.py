"""Queries of all kinds in one pass, and what their results say."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from kinds import SCALE, make_classification, make_text, texted
from support_core import assert_clear, fundus, repack
from tiny import Tiny

from retq_hub import Pipeline, Query, artifact
from retq_hub.basis import Basis, Pass
from retq_hub.errors import BackboneMismatch, UsageError
from retq_hub.result import Classification, Result, Segmentation, ZeroShot

IMAGE = fundus(48, 80)
FINE = Basis(passes=(Pass(size_px=64, tiles=2, layers=(0, 2)),), norm=True)


def read(tiny: Tiny, *folders: Path) -> Result:
    queries = {folder.name: Query.from_pretrained(folder) for folder in folders}
    return Pipeline(backbone=tiny.backbone, queries=queries, embed=False)(IMAGE)


def test_one_pass_segments_and_grades(tiny: Tiny, tmp_path: Path, make_query: Callable[..., Path]):
    disc = make_query(tmp_path / "disc")
    grade = make_classification(tmp_path / "grade", backbone=tiny.backbone)
    probe = make_classification(tmp_path / "probe", backbone=tiny.backbone, method="embedding")
    found = read(tiny, grade, disc, probe)
    assert list(found) == ["grade", "disc", "probe"]
    assert list(found.segmentations) == ["disc"]
    assert list(found.classifications) == ["grade", "probe"]
    alone = read(tiny, disc)["disc"]
    assert isinstance(alone, Segmentation)
    np.testing.assert_allclose(found.segmentations["disc"].logits, alone.logits, atol=1e-5)


def test_attention_is_the_explanation(tiny: Tiny, tmp_path: Path):
    folder = make_classification(tmp_path / "grade", backbone=tiny.backbone, whole=True, maps=2)
    found = read(tiny, folder)["grade"]
    assert isinstance(found, Classification)
    assert found.weights is not None and found.evidence is not None
    assert found.weights.shape == (2, 4, 4)
    np.testing.assert_allclose(found.weights.sum((1, 2)), 1, rtol=1e-5)
    bias = artifact.read(folder).bias
    np.testing.assert_allclose(found.evidence.sum((1, 2)) + bias, found.scores, atol=1e-4)
    attention = found.attention
    assert attention is not None
    assert attention.shape == (48, 80)
    assert float(attention.mean()) == pytest.approx(1, abs=0.1)


def test_scores_are_those_of_a_plain_computation(tiny: Tiny, tmp_path: Path):
    folder = make_classification(
        tmp_path / "grade", backbone=tiny.backbone, reads=FINE, weighting="sigmoid"
    )
    found, query = read(tiny, folder)["grade"], Query.from_pretrained(folder)
    assert isinstance(found, Classification)
    given = Pipeline(backbone=tiny.backbone, queries={"q": query})
    from PIL import Image

    from retq_hub.plans import assemble

    tokens, _ = tiny.backbone.tokens(Image.fromarray(IMAGE), given.needs.plan)
    (fine,), (plain,) = assemble(tokens, FINE), assemble(tokens, query.manifest.basis)
    assert query.attention is not None
    logits = fine @ query.attention[0][0] + query.attention[1][0]
    weights = (logits.sigmoid() / logits.sigmoid().sum()).reshape(8, 8)
    coarse = weights.reshape(4, 2, 4, 2).sum((1, 3)).flatten()
    wanted = query.vector @ (coarse @ plain) + query.bias
    np.testing.assert_allclose(found.scores, wanted.numpy(), atol=1e-4)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "ordinal"])
@pytest.mark.parametrize("method", ["attention", "embedding"])
def test_what_an_artifact_gave_on_the_probe_it_gives_again(
    tiny: Tiny, tmp_path: Path, method: str, activation: str
):
    from retq_hub.probe import probe_image

    folder = make_classification(
        tmp_path / "grade", backbone=tiny.backbone, method=method, activation=activation
    )
    assert artifact.findings(folder) == []
    query = Query.from_pretrained(folder)
    found = Pipeline(backbone=tiny.backbone, queries={"q": query})(probe_image(64))["q"]
    assert isinstance(found, Classification)
    golden = artifact.read(folder).golden
    assert golden.scores is not None
    np.testing.assert_allclose(found.scores, golden.scores[0], atol=1e-4)
    again = Query.from_pretrained(query.save(tmp_path / "again"))
    assert again.manifest.digest == query.manifest.digest
    assert (again.attention is None) == (method == "embedding")


def test_predictions_are_named(tiny: Tiny, tmp_path: Path):
    folder = make_classification(tmp_path / "grade", backbone=tiny.backbone, activation="ordinal")
    found = read(tiny, folder)["grade"]
    assert isinstance(found, Classification)
    sure = replace(found, scores=np.array([9.0, -9.0], dtype=np.float32))
    assert (sure.grade, sure.prediction) == (1, "mild")
    median = replace(found, scores=np.array([0.2, 0.1], dtype=np.float32))
    assert (median.grade, median.prediction) == (2, "severe")
    assert int(median.probabilities.argmax()) == 2 or median.probabilities[0] < 0.5


def test_several_targets_may_be_there_and_then_there_is_no_grade(tiny: Tiny, tmp_path: Path):
    folder = make_classification(tmp_path / "signs", backbone=tiny.backbone, activation="sigmoid")
    found = read(tiny, folder)["signs"]
    assert isinstance(found, Classification)
    sure = replace(found, scores=np.array([9.0, -9.0, 1.0], dtype=np.float32))
    assert sure.prediction == ("none", "severe")
    with pytest.raises(UsageError) as caught:
        _ = sure.grade
    assert_clear(caught.value, 2, "tiny-grade", "no grade")


def test_texts_speak_of_pixels_and_of_the_whole(tmp_path: Path):
    backbone = texted()
    folder = make_text(tmp_path / "text", backbone=backbone)
    assert artifact.findings(folder) == []
    query = Query.from_pretrained(folder)
    found = Pipeline(backbone=backbone, queries={"t": query}, embed=False)(IMAGE)["t"]
    assert isinstance(found, ZeroShot)
    assert found.probability.shape == (2, 48, 80)
    np.testing.assert_allclose(found.probability.sum(0), 1, atol=1e-5)
    assert float(found.probabilities.sum()) == pytest.approx(1)
    assert found.prediction in {"hard-exudates", "haemorrhages"}
    assert np.abs(found.scores).max() <= SCALE


def test_where_the_embedding_is_the_tokens_mean_the_map_has_the_images_logits(tmp_path: Path):
    backbone = texted(dense=False)
    folder = make_text(tmp_path / "text", backbone=backbone, per="image")
    query = Query.from_pretrained(folder)
    found = Pipeline(backbone=backbone, queries={"t": query})(IMAGE)["t"]
    assert isinstance(found, ZeroShot)
    np.testing.assert_allclose(found.logits.mean((1, 2)), found.scores, atol=1e-5)


def test_a_backbone_without_text_says_so(tiny: Tiny):
    with pytest.raises(UsageError) as caught:
        tiny.backbone.shared(torch.zeros(32))
    assert_clear(caught.value, 2, "tiny-vit", "no space with text")


def test_vectors_of_another_width_are_refused(tiny: Tiny, tmp_path: Path):
    folder = make_classification(tmp_path / "grade", backbone=tiny.backbone)
    query = Query.from_pretrained(folder)
    assert query.attention is not None
    query.attention = (query.attention[0][:, :16], query.attention[1])
    with pytest.raises(BackboneMismatch) as caught:
        Pipeline(backbone=tiny.backbone, queries={"grade": query})
    assert_clear(caught.value, 4, "grade", "16 floats")


def test_vectors_of_too_many_means_do_not_fit(tiny: Tiny, tmp_path: Path):
    """Twice the floats of the one mean there is: wide enough for two."""
    folder = make_classification(tmp_path / "grade", backbone=tiny.backbone)
    was = artifact.read(folder)
    width = 2 * was.vector.shape[1]
    pooled, vector = np.zeros((1, width), np.float32), np.zeros((3, width), np.float32)
    repack(folder, {"query": vector, "pooled": pooled, "scores": was.bias[None]})
    assert artifact.findings(folder) == []
    with pytest.raises(BackboneMismatch, match=f"{width} floats a vector"):
        read(tiny, folder)
