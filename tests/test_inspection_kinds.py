"""What is refused in an artifact that classifies, or whose vectors are texts'."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from kinds import make_classification, make_text, texted
from support_core import edit_manifest, repack
from tiny import Tiny

from retq_hub import artifact


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
