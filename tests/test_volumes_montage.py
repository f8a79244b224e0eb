from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scans
from PIL import Image
from tiny import Tiny

from retq_hub.pipeline import Pipeline
from retq_hub.query import Query
from retq_hub.volumes.montage import Montage
from retq_hub.volumes.opening import open_volume
from retq_hub.volumes.tally import Tally


@pytest.fixture
def pipeline(tmp_path: Path, tiny: Tiny, make_query: Callable[..., Path]) -> Pipeline:
    query = Query.from_pretrained(make_query(tmp_path / "query", seed=5))
    return Pipeline(backbone=tiny.backbone, queries={"query": query})


def sheet(pipeline: Pipeline, path: Path) -> tuple[Image.Image, Tally]:
    volume = open_volume(path)
    tally = Tally(pipeline.queries["query"].manifest, volume)
    montage = Montage(volume)
    for index, image in enumerate(volume):
        result = pipeline(image)
        tally.take(result["query"])
        montage.add(index, image, result)
    return montage.picture({"query": tally}), tally


@pytest.mark.parametrize(("n", "columns", "rows"), [(1, 1, 1), (3, 3, 1), (8, 4, 3), (30, 4, 3)])
def test_slices_lie_in_rows_above_a_legend(
    n: int, columns: int, rows: int, pipeline: Pipeline, tmp_path: Path
) -> None:
    path = scans.save_dicom(tmp_path / "scan.dcm", scans.phantom((n, 24, 32)))
    picture, _ = sheet(pipeline, path)
    width = (picture.width - 6) // columns - 6
    height = round(width * 24 / 32)
    assert width >= 390
    assert picture.height > rows * (height + 6)
    assert picture.getpixel((2, rows * (height + 6) + 3)) == (16, 20, 24)
    assert picture.getpixel((2, picture.height - 3)) == (255, 255, 255)


def test_what_is_marked_is_seen_from_the_front(pipeline: Pipeline, tmp_path: Path) -> None:
    path = scans.save_dicom(tmp_path / "scan.dcm", scans.phantom((12, 24, 32)))
    picture, tally = sheet(pipeline, path)
    assert tally.union is not None
    assert 0 < tally.union.en_face.mean() < 1
    tile = np.asarray(picture.crop((1200, 610, 1590, 900)), dtype=int)
    assert (np.abs(tile - (86, 180, 233)).sum(axis=2) < 60).any()
