"""Images into a store: what cannot be used is told, what is there is not run again."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from stores import eyes
from tiny import Tiny

from retq_hub.backbone import Backbone
from retq_hub.errors import IntegrityError, UsageError
from retq_hub.images import decode
from retq_hub.photograph import Photograph
from retq_hub.preparation import Needs, prepare
from retq_hub.segment import find_images
from retq_hub.store.intake import embed
from retq_hub.store.store import Store
from retq_hub.tiling import PassKey

NEEDS = Needs(plan={PassKey(64, 1, norm=True): (1,)})


def test_a_second_run_skips_and_bad_images_are_told(tiny: Tiny, tmp_path: Path) -> None:
    images = eyes(tmp_path)
    (images[0].parent / "bad.png").write_bytes(b"no image")
    jobs = find_images([str(images[0].parent)])
    first = embed(tiny.backbone, jobs, tmp_path / "store", NEEDS)
    assert (first.done, first.skipped) == (3, 0)
    assert [Path(one).name for one in first.failed] == ["bad.png"]
    again = embed(tiny.backbone, jobs, tmp_path / "store", NEEDS)
    assert (again.done, again.skipped, len(again.failed)) == (0, 3, 1)
    assert len(Store(tmp_path / "store")) == 3


def test_an_image_that_changed_is_run_again(tiny: Tiny, tmp_path: Path) -> None:
    images = eyes(tmp_path)
    jobs = find_images([str(one) for one in images])
    embed(tiny.backbone, jobs, tmp_path / "store", NEEDS)
    images[0].write_bytes(images[1].read_bytes())
    assert embed(tiny.backbone, jobs, tmp_path / "store", NEEDS).done == 1
    store = Store(tmp_path / "store")
    assert len(store) == 3
    assert torch.equal(store.embedding(images[0]), store.embedding(images[1]))


def test_an_image_that_vanished_is_told(tiny: Tiny, tmp_path: Path) -> None:
    images = eyes(tmp_path)
    jobs = find_images([str(one) for one in images])
    images[1].unlink()
    done = embed(tiny.backbone, jobs, tmp_path / "store", NEEDS)
    assert done.done == 2
    assert "there is no file" in str(done.failed[str(images[1])])


def test_a_layer_that_is_not_there_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    jobs = find_images([str(eyes(tmp_path)[0])])
    with pytest.raises(UsageError, match="layers 0-2"):
        embed(tiny.backbone, jobs, tmp_path / "s", Needs(plan={PassKey(64, 1, norm=True): (7,)}))


def test_tokens_that_are_no_numbers_are_refused(tiny: Tiny, tmp_path: Path) -> None:
    state = dict(tiny.state) | {"blocks.0.mlp.fc2.bias": torch.full((32,), torch.nan)}
    broken = Backbone(spec=tiny.spec, state=state, weights_digest="0" * 64)
    jobs = find_images([str(eyes(tmp_path)[0])])
    with pytest.raises(IntegrityError, match="no numbers"):
        embed(broken, jobs, tmp_path / "store", NEEDS)


def test_a_store_holds_what_its_decoding_gives(tiny: Tiny, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "large.jpg")
    backbone = tiny.backbone.with_decoding("scaled")
    embed(backbone, find_images([str(tmp_path / "large.jpg")]), tmp_path / "store", NEEDS)
    photograph = Photograph.opened(tmp_path / "large.jpg", decoding="scaled")
    needs = Needs(plan=NEEDS.plan, embed=True)
    _, expected = backbone.run([prepare(photograph, needs, backbone.spec)], needs)[0]
    _, full = tiny.backbone.tokens(decode(tmp_path / "large.jpg"), NEEDS.plan, embed=True)
    assert expected is not None
    assert full is not None
    found = Store(tmp_path / "store").embedding(tmp_path / "large.jpg")
    assert torch.equal(found, expected)
    assert not torch.equal(found, full)
