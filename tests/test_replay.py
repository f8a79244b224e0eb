"""What an artifact recorded of the probe comes out again, or is found not to."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from graders import make_grader
from kinds import make_classification, make_text, texted
from support_core import repack
from tiny import Tiny

from retq_hub import artifact
from retq_hub.basis import Basis, Pass
from retq_hub.errors import BackboneMismatch
from retq_hub.query import Query
from retq_hub.replay import replay


@pytest.mark.parametrize(
    ("pool", "activation"),
    [("embedding", "softmax"), ("attention", "ordinal"), ("attention", "sigmoid")],
)
def test_scores_come_out_again(pool: str, activation: str, tmp_path: Path, tiny: Tiny):
    folder = make_grader(
        tmp_path / "grade", backbone=tiny.backbone, pool=pool, activation=activation, heads=2
    )
    golden = artifact.read(folder).golden
    found, said = replay(Query.from_pretrained(folder), golden, tiny.backbone)
    assert found == []
    assert ("of the attention lies elsewhere" in said) == (pool == "attention")
    other = replace(golden, scores=golden.scores + 0.1)
    (finding,) = replay(Query.from_pretrained(folder), other, tiny.backbone)[0]
    assert "a score deviates by 0.1, at most 0.05 is allowed" in finding.what


def test_attention_that_moved_is_found(tmp_path: Path, tiny: Tiny):
    folder = make_grader(tmp_path / "grade", backbone=tiny.backbone, pool="attention")
    golden = artifact.read(folder).golden
    moved = replace(golden, logits=golden.logits[:, ::-1].copy())
    (finding,) = replay(Query.from_pretrained(folder), moved, tiny.backbone)[0]
    assert "of the attention lies elsewhere, at most 1% may" in finding.what


def test_maps_of_texts_come_out_again(tmp_path: Path):
    backbone = texted()
    folder = make_text(tmp_path / "text", backbone=backbone)
    golden = artifact.read(folder).golden
    found, said = replay(Query.from_pretrained(folder), golden, backbone)
    assert (found, said[:31]) == ([], "largest deviation of a logit 0,")


def test_each_basis_has_a_probe_of_its_own_size(tmp_path: Path, tiny: Tiny):
    larger = Basis(passes=(Pass(size_px=96, tiles=1, layers=(0,)),), norm=True)
    folder = make_classification(tmp_path / "grade", backbone=tiny.backbone, reads=larger)
    found, _ = replay(Query.from_pretrained(folder), artifact.read(folder).golden, tiny.backbone)
    assert found == []


def test_another_grid_than_the_recorded_one_is_a_finding(tmp_path: Path, tiny: Tiny):
    folder = make_grader(tmp_path / "grade", backbone=tiny.backbone, pool="attention")
    golden = artifact.read(folder).golden
    coarse = replace(golden, logits=golden.logits[:, ::2, ::2].copy())
    (finding,) = replay(Query.from_pretrained(folder), coarse, tiny.backbone)[0]
    assert "100.00% of the attention lies elsewhere" in finding.what
    text = make_text(tmp_path / "text", backbone=texted())
    golden = artifact.read(text).golden
    coarse = replace(golden, logits=golden.logits[:, ::2, ::2].copy())
    found, _ = replay(Query.from_pretrained(text), coarse, texted())
    assert "a logit deviates by inf" in found[0].what


def test_vectors_that_the_backbone_cannot_serve_are_refused(tmp_path: Path, tiny: Tiny):
    folder = make_classification(tmp_path / "grade", backbone=tiny.backbone, method="embedding")
    was = artifact.read(folder)
    vector, pooled = np.zeros((3, 5), np.float32), np.zeros((1, 5), np.float32)
    repack(folder, {"query": vector, "pooled": pooled, "scores": was.bias[None]})
    assert artifact.findings(folder) == []
    with pytest.raises(BackboneMismatch, match="5 floats a vector"):
        replay(Query.from_pretrained(folder), was.golden, tiny.backbone)
