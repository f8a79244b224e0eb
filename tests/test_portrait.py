"""The picture of a query shows its mask on the photograph, and the same one each time."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from graders import make_grader
from PIL import Image
from tiny import Tiny

from retq_hub import artifact
from retq_hub.embedded import EXAMPLE_IMAGE
from retq_hub.images import decode
from retq_hub.overlay import targets
from retq_hub.picture import about, subject
from retq_hub.pipeline import Pipeline
from retq_hub.portrait import draw
from retq_hub.query import Query


@pytest.fixture
def folder(tmp_path: Path, make_query: Callable[..., Path]) -> Path:
    return make_query(tmp_path / "disc", targets=2)


def opened(blob: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(blob)) as image:
        return np.asarray(image.convert("RGB"), dtype=int)


def test_it_is_the_example_with_what_the_query_marks(folder: Path, tiny: Tiny) -> None:
    blob = draw(folder, tiny.backbone)
    assert draw(folder, tiny.backbone) == blob
    query = Query.from_pretrained(folder)
    found = Pipeline(backbone=tiny.backbone, queries={"x": query})(EXAMPLE_IMAGE)["x"]
    expected = np.asarray(targets(decode(EXAMPLE_IMAGE), found, max_side_px=768), dtype=int)
    assert opened(blob).shape == expected.shape
    assert np.abs(opened(blob) - expected).mean() < 4
    said = about(blob)
    assert said.subject == subject(artifact.read_manifest(folder))
    assert said.example
    assert said.area == pytest.approx(found.area, abs=0.002)


def test_a_photograph_of_ones_own_is_not_the_example(
    folder: Path, tiny: Tiny, tmp_path: Path
) -> None:
    Image.new("RGB", (90, 60), (90, 40, 20)).save(tmp_path / "own.png")
    blob = draw(folder, tiny.backbone, image=tmp_path / "own.png")
    assert not about(blob).example
    assert opened(blob).shape[1] == 90


def test_a_grader_is_shown_with_its_bars_and_where_it_looked(tiny: Tiny, tmp_path: Path) -> None:
    whole = make_grader(tmp_path / "whole", backbone=tiny.backbone)
    looks = make_grader(tmp_path / "looks", backbone=tiny.backbone, pool="attention", scale=0.1)
    one, other = draw(whole, tiny.backbone), draw(looks, tiny.backbone)
    assert draw(looks, tiny.backbone) == other
    assert opened(one).shape[0] > opened(one).shape[1] == opened(other).shape[1] == 768
    said = about(one)
    query = Query.from_pretrained(whole)
    found = Pipeline(backbone=tiny.backbone, queries={"x": query})(EXAMPLE_IMAGE)["x"]
    assert said.area is None
    assert said.target == query.manifest.targets[int(found.probabilities.argmax())].name
    assert said.probability == pytest.approx(float(found.probabilities.max()), abs=1e-5)
    photograph = opened(one)[:768]
    assert (photograph.max(axis=2) - photograph.min(axis=2)).mean() > 40, "it is in colour"
    assert said.subject == subject(artifact.read_manifest(whole))
    assert said.subject != about(other).subject
