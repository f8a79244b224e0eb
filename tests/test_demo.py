from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retq_hub.backbone import Backbone
from retq_hub.demo import QUERIES, demo
from retq_hub.errors import ImageError
from retq_hub.progress import Silent

DISC_PX = (225, 655)
"""Where the optic disc of the example photograph is, about."""


def test_the_demo_finds_the_disc_of_the_example(tmp_path: Path, backbone: Backbone) -> None:
    done = demo(tmp_path / "demo", progress=Silent())
    rows = {row.query: row for row in done.rows}
    assert set(rows) == set(QUERIES)
    disc = rows["idrid-disc"]
    assert (disc.centroid_x, disc.centroid_y) == pytest.approx(DISC_PX, abs=60)
    assert 0.005 < disc.area < 0.04
    with Image.open(tmp_path / "demo" / disc.mask) as mask:
        assert mask.size == (1411, 1411)
        assert np.asarray(mask).max() == 255
    page = done.report.read_text()
    assert all(name in page for name in QUERIES)
    assert "not a medical device" in page
    assert backbone.spec.id in page


def test_the_demo_takes_another_photograph(tmp_path: Path, backbone: Backbone) -> None:
    Image.new("RGB", (300, 200), (120, 50, 20)).save(tmp_path / "plain.png")
    done = demo(tmp_path / "demo", image=tmp_path / "plain.png", progress=Silent())
    assert {row.image for row in done.rows} == {str(tmp_path / "plain.png")}
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(ImageError):
        demo(tmp_path / "other", image=tmp_path / "text.png", progress=Silent())
    assert not (tmp_path / "other" / "report.html").exists()
