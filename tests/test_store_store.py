"""A store gives back what the backbone gave, up to the rounding of tokens to float16."""

from pathlib import Path

import numpy as np
import pytest
import torch
from stores import RICH_NEEDS, eyes, make_store
from support_core import assert_clear
from tiny import Tiny

from retq_hub.digest import file_digest
from retq_hub.errors import NotFoundError, UsageError
from retq_hub.images import decode
from retq_hub.preparation import Needs, scene
from retq_hub.store.store import Store
from retq_hub.tiling import PassKey

HALF = 2.0**-11
"""The largest relative error of rounding to float16."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return eyes(tmp_path_factory.mktemp("eyes"), 4)


@pytest.fixture(scope="module")
def store(images: list[Path], tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("store"), images, tiny.backbone, RICH_NEEDS)


def test_tokens_and_embedding_are_the_backbones(
    store: Store, images: list[Path], tiny: Tiny
) -> None:
    tokens, embedding = tiny.backbone.tokens(decode(images[1]), RICH_NEEDS.plan, embed=True)
    stored = store.tokens(images[1])
    assert stored.keys() == tokens.keys()
    for place, wanted in tokens.items():
        assert torch.equal(stored[place], wanted.half().float())
    assert torch.equal(store.embedding(images[1]), embedding)
    assert torch.equal(store.embedding(file_digest(images[1])), embedding)


def test_scenes_are_those_of_the_photograph(store: Store, images: list[Path]) -> None:
    wanted = scene(decode(images[2]), RICH_NEEDS)
    found = store.batch(images[2], RICH_NEEDS).scene(0)
    assert found.size == wanted.size
    assert np.array_equal(found.guides[48], wanted.guides[48])
    assert np.allclose(found.channels, wanted.channels, rtol=HALF, atol=1e-7)
    assert np.array_equal(found.channels, store.channels(images[2]).numpy())


@pytest.mark.parametrize("size", [1, 3, 4, 9])
def test_batches_go_through_all_images_in_order(
    size: int, store: Store, images: list[Path]
) -> None:
    batches = list(store.batches(RICH_NEEDS, size=size))
    assert [Path(entry.image) for batch in batches for entry in batch.entries] == images
    assert all(len(batch.entries) <= size for batch in batches)
    place = (PassKey(64, 1, norm=True), 2)
    tokens = torch.cat([batch.tokens[place] for batch in batches])
    assert tokens.dtype == torch.float16
    assert torch.equal(tokens[3].float(), store.tokens(images[3])[place])
    assert torch.equal(batches[0].single(0)[place], store.tokens(images[0])[place])


def test_some_images_of_a_store(store: Store, images: list[Path]) -> None:
    wanted = {str(images[0]), str(images[2]), str(images[3])}
    batches = store.batches(Needs(plan={}), size=4, images=wanted)
    assert [len(batch.entries) for batch in batches] == [1, 2]


def test_what_is_not_there_is_said(store: Store) -> None:
    with pytest.raises(NotFoundError, match=r"has no image nothing\.png"):
        store.embedding("nothing.png")
    with pytest.raises(UsageError) as caught:
        store.batches(Needs(plan={PassKey(64, 3, norm=True): (0,)}), size=1).__next__()
    assert_clear(caught.value, 2, "does not hold tokens 3x3@64:0: it holds embeddings and tokens")


def test_a_store_of_embeddings_has_no_tokens(
    images: list[Path], tiny: Tiny, tmp_path: Path
) -> None:
    store = make_store(tmp_path / "store", images, tiny.backbone, Needs(plan={}))
    assert store.contents.text == "embeddings"
    assert store.tokens(images[0]) == {}
    assert store.embedding(images[0]).shape == (32,)
    with pytest.raises(UsageError, match="does not hold channels"):
        store.channels(images[0])
