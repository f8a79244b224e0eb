"""What is refused in an artifact that classifies, or whose vectors are texts'."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from kinds import make_classification, make_text, texted
from numpy.typing import NDArray
from safetensors.numpy import load_file
from support_core import edit_manifest, repack
from tiny import Tiny

from retq_hub import artifact
from retq_hub.inspection import MAX_MAPS
from retq_hub.manifest import to_json

Floats = NDArray[np.float32]


def said(folder: Path) -> str:
    return "; ".join(map(str, artifact.findings(folder)))


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"pooling": {"method": "attention"}}, "pooling/weighting"),
        ({"pooling": {"method": "embedding", "weighting": "softmax"}}, "pooling/weighting"),
        ({"kind": "text"}, "text"),
        ({"graded": []}, "graded"),
        ({"kind": "nothing"}, "kind"),
    ],
)
def test_members_that_do_not_belong_together(
    tiny: Tiny, tmp_path: Path, members: dict[str, object], words: str
):
    folder = make_classification(tmp_path / "grade", backbone=tiny.backbone)
    edit_manifest(folder, **members)
    assert words in said(folder)


def test_thresholds_of_a_most_probable_class(tiny: Tiny, tmp_path: Path):
    folder = make_classification(tmp_path / "grade", backbone=tiny.backbone)
    head = {"activation": "softmax", "thresholds": [0.5] * 3, "threshold_choice": "half"}
    edit_manifest(folder, head=head)
    assert "3 thresholds for 3 targets, of which the most probable counts" in said(folder)


def test_a_segmentation_query_is_not_ordinal(tmp_path: Path, make_query: Callable[..., Path]):
    folder = make_query(tmp_path / "disc")
    head = {"activation": "ordinal", "thresholds": [0.5], "threshold_choice": "half"}
    edit_manifest(folder, head=head)
    assert "head/activation" in said(folder)


@pytest.mark.parametrize(
    ("name", "shape"), [("attention", (1, 31)), ("query", (3, 31)), ("attention_bias", (2,))]
)
def test_tensors_of_another_shape(tiny: Tiny, tmp_path: Path, name: str, shape: tuple[int, ...]):
    folder = make_classification(tmp_path / "grade", backbone=tiny.backbone)
    repack(folder, {name: np.zeros(shape, dtype=np.float32)})
    assert said(folder)


def test_scores_that_are_not_the_querys(tiny: Tiny, tmp_path: Path):
    folder = make_classification(tmp_path / "grade", backbone=tiny.backbone)
    repack(folder, {"bias": np.zeros(3, dtype=np.float32)})
    assert "a score deviates" in said(folder)


def test_texts_need_prompts_for_each_target(tmp_path: Path):
    folder = make_text(tmp_path / "text", backbone=texted())
    text = {
        "encoder": "random numbers",
        "prompts": [["hard exudates"]],
        "template": "{}",
        "averaging": "none",
        "tokenizer": "0" * 64,
    }
    edit_manifest(folder, text=text)
    assert "prompts for 1 of 2 targets" in said(folder)


def zeros(*shape: int) -> Floats:
    return np.zeros(shape, dtype=np.float32)


def stored(folder: Path) -> dict[str, Floats]:
    return {**load_file(folder / artifact.QUERY), **load_file(folder / artifact.GOLDEN)}


@pytest.mark.parametrize("whole", [False, True])
def test_attention_without_vectors(tiny: Tiny, tmp_path: Path, whole: bool):
    folder = make_classification(tmp_path / "grade", backbone=tiny.backbone, whole=whole)
    width = stored(folder)["attention"].shape[1]
    repack(
        folder,
        {"attention": zeros(0, width), "attention_bias": zeros(0), "logits": zeros(0, 4, 4)},
    )
    assert "is empty: (0" in said(folder)


def test_attention_with_more_vectors_than_an_image_can_have_maps_of(tiny: Tiny, tmp_path: Path):
    folder = make_classification(tmp_path / "grade", backbone=tiny.backbone)
    A, was = MAX_MAPS + 1, stored(folder)
    width = was["attention"].shape[1]
    repack(
        folder,
        {
            "attention": zeros(A, width),
            "attention_bias": zeros(A),
            "logits": zeros(A, 1, 1),
            "positions": np.zeros(1, dtype=np.int32),
            "tokens": was["tokens"][:1],
            "query": zeros(3, A * width),
            "pooled": zeros(1, A * width),
            "scores": was["bias"][None],
        },
    )
    assert f"attention: has {A} vectors, at most {MAX_MAPS} are read" in said(folder)


def test_grades_whose_probabilities_would_be_negative(tiny: Tiny, tmp_path: Path):
    folder = make_classification(
        tmp_path / "grade", backbone=tiny.backbone, method="embedding", activation="ordinal"
    )
    was, bias = stored(folder), np.array([-5, 5], dtype=np.float32)
    repack(folder, {"bias": bias, "scores": was["pooled"] @ was["query"].T + bias})
    assert "bias: rises" in said(folder)


def test_numbers_whose_products_are_none(tiny: Tiny, tmp_path: Path):
    folder = make_classification(tmp_path / "grade", backbone=tiny.backbone, method="embedding")
    was = stored(folder)
    pooled = np.full_like(was["pooled"], 3e38)
    pooled[:, ::2] *= -1
    repack(folder, {"query": np.full_like(was["query"], 3e38), "pooled": pooled})
    assert "a score deviates by nan" in said(folder)


def test_one_class_alone_is_no_answer(tiny: Tiny, tmp_path: Path):
    folder = make_classification(tmp_path / "grade", backbone=tiny.backbone, classes=("any",))
    assert "head/activation" in said(folder)
    text = make_text(tmp_path / "text", backbone=texted(), classes=("drusen",))
    assert "head/activation" in said(text)


def test_texts_read_one_layer_of_one_pass(tmp_path: Path):
    folder = make_text(tmp_path / "text", backbone=texted())
    basis = to_json(artifact.read_manifest(folder).basis)
    edit_manifest(folder, basis=basis | {"pixels": "retq-pixels-1"})
    assert "retq.json/basis" in said(folder)
    tiled = {"size_px": 32, "tiles": 2, "layers": [0]}
    edit_manifest(folder, basis=basis | {"passes": [*basis["passes"], tiled]})
    assert "retq.json/basis" in said(folder)


def test_attention_has_no_similarity(tiny: Tiny, tmp_path: Path):
    folder = make_classification(tmp_path / "grade", backbone=tiny.backbone)
    text = artifact.read_manifest(make_text(tmp_path / "text", backbone=texted())).text
    head = to_json(artifact.read_manifest(folder).head)
    similar = head | {"similarity": {"scale": 10.0, "per": "image"}}
    edit_manifest(folder, head=similar, text=to_json(text) | {"prompts": [["one"]] * 3})
    assert "head/similarity" in said(folder)


@pytest.mark.parametrize(
    ("name", "value"), [("quadratic_kappa", -1.5), ("auroc", 7.0), ("accuracy", -0.25)]
)
def test_figures_that_cannot_be(tiny: Tiny, tmp_path: Path, name: str, value: float):
    folder = make_classification(tmp_path / "grade", backbone=tiny.backbone)
    graded = {
        "dataset": "eyes",
        "split": "test",
        "split_digest": "0" * 64,
        "n_images": 9,
        "values": {name: {"value": value, "ci95": [0.1, 0.2]}},
    }
    edit_manifest(folder, graded=[graded])
    assert f"graded/0/values/{name}: is {value:g}" in said(folder)


def test_masks_have_no_figures_of_whole_images(tmp_path: Path, make_query: Callable[..., Path]):
    folder = make_query(tmp_path / "disc")
    values = {"accuracy": {"value": 0.5, "ci95": [0.4, 0.6]}}
    graded = {"dataset": "a", "split": "b", "split_digest": "0" * 64, "n_images": 1}
    edit_manifest(folder, graded=[graded | {"values": values}])
    assert "retq.json/graded" in said(folder)
