"""What each kind does, in words."""

import pytest
from support_core import manifest

from retq_hub.basis import Basis, Pass
from retq_hub.kinds import CLASSIFICATION, KINDS, SEGMENTATION, TEXT, Pooling
from retq_hub.tasks import TASKS, answers, kind_of, runs, verb


def test_every_kind_has_a_task_and_an_answer():
    assert set(TASKS) == set(KINDS)
    assert kind_of(manifest()) == SEGMENTATION
    for kind, word in ((None, "marks"), (TEXT, "marks"), (CLASSIFICATION, "tells")):
        assert verb(manifest(kind=kind)) == word
    assert answers(manifest()).endswith("found.area")
    looking = manifest(kind=CLASSIFICATION, pooling=Pooling(method="attention"))
    assert answers(looking).endswith("found.attention")
    assert "mask" not in answers(looking)


@pytest.mark.parametrize(
    ("method", "tiles", "count"), [("embedding", 3, 1), ("attention", 3, 10), ("attention", 1, 1)]
)
def test_passes_are_counted_once_and_an_embedding_takes_one(method: str, tiles: int, count: int):
    whole = Basis(passes=(Pass(size_px=42, tiles=1, layers=(1,)),), norm=True)
    tiled = Basis(passes=(Pass(size_px=42, tiles=tiles, layers=(2,)),), norm=True)
    pooling = Pooling(method=method, weighting="softmax", basis=tiled)
    assert runs(manifest(kind=CLASSIFICATION, pooling=pooling, basis=whole)) == count
