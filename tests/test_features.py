"""The token cache: computed once, whole or made anew, equal to the direct tokens."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny import Tiny

from retq_hub.backbone import LazyBackbone, assemble, plan
from retq_hub.digest import file_digest
from retq_hub.errors import ImageError, RetqError
from retq_hub.features import TokenCache
from retq_hub.images import decode
from retq_hub.manifest import Basis, Pass
from retq_hub.progress import Silent


@dataclass(frozen=True)
class Picture:
    image: Path

    @property
    def image_digest(self) -> str:
        return file_digest(self.image)


def basis(*layers: int, size_px: int = 64) -> Basis:
    return Basis(passes=(Pass(size_px=size_px, tiles=1, layers=layers),), norm=True)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Picture]:
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    paths = [tmp_path / "images" / f"{number}.png" for number in range(3)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (70, 90, 3), dtype=np.uint8)).save(path)
    return [Picture(path) for path in paths]


@pytest.fixture
def loadable(tiny: Tiny, cache: Path) -> LazyBackbone:
    lazy = LazyBackbone(str(tiny.path))
    lazy()
    return lazy


@pytest.fixture
def unloadable(tiny: Tiny, loadable: LazyBackbone, cache: Path) -> LazyBackbone:
    """The same backbone, known and not to be loaded any more, as its weights are gone."""
    lazy = LazyBackbone(str(tiny.path))
    (weights,) = (cache / "weights").rglob("*.safetensors")
    weights.unlink()
    with pytest.raises(RetqError):
        lazy()
    return lazy


def stored(cache: Path) -> list[Path]:
    return sorted((cache / "tokens").rglob("*.safetensors"))


def test_cached_tokens_are_the_direct_ones_in_half_precision(tiny, loadable, pictures):
    found = TokenCache(backbone=loadable).tokens(pictures, basis(2, 0))
    assert (found.shape, found.dtype) == ((3, 16, 64), torch.float16)
    for picture, one in zip(pictures, found, strict=True):
        direct, _ = tiny.backbone.tokens(decode(picture.image), plan([basis(0, 2)]))
        assert torch.equal(one, assemble(direct, basis(2, 0)).half())


def test_the_second_time_the_backbone_is_not_needed(pictures, loadable, unloadable):
    first = TokenCache(backbone=loadable)
    assert first.missing(pictures, basis(1)) == pictures
    first.fill(pictures[:2], basis(1), progress=Silent())
    second = TokenCache(backbone=unloadable)
    assert second.missing(pictures, basis(1)) == pictures[2:]
    second.fill(pictures[:2], basis(1), progress=Silent())
    assert torch.equal(second.tokens(pictures[:2], basis(1)), first.tokens(pictures[:2], basis(1)))
    with pytest.raises(RetqError):
        second.tokens(pictures, basis(1))


def test_copies_of_an_image_share_their_tokens(pictures, loadable, unloadable, tmp_path):
    TokenCache(backbone=loadable).fill(pictures, basis(1), progress=Silent())
    copy = tmp_path / "copy.png"
    copy.write_bytes(pictures[0].image.read_bytes())
    assert TokenCache(backbone=unloadable).missing([Picture(copy)], basis(1)) == []


def half(blob: bytes) -> bytes:
    return blob[: len(blob) // 2]


def nothing(blob: bytes) -> bytes:
    return b""


def zeros(blob: bytes) -> bytes:
    return bytes(len(blob))


@pytest.mark.parametrize("damage", [half, nothing, zeros])
def test_a_file_that_cannot_be_read_is_made_anew(pictures, loadable, cache, damage):
    tokens = TokenCache(backbone=loadable)
    expected = tokens.tokens(pictures, basis(1))
    broken = stored(cache)[0]
    whole = broken.read_bytes()
    broken.write_bytes(damage(whole))
    assert len(tokens.missing(pictures, basis(1))) == 1
    assert torch.equal(tokens.tokens(pictures, basis(1)), expected)
    assert broken.read_bytes() == whole


def test_more_layers_extend_the_file(pictures, loadable, unloadable, cache):
    first = TokenCache(backbone=loadable)
    first.fill(pictures, basis(1), progress=Silent())
    first.fill(pictures, basis(2, 0), progress=Silent())
    assert len(stored(cache)) == 3
    assert all(set(load_file(path)) == {"0", "1", "2"} for path in stored(cache))
    assert TokenCache(backbone=unloadable).missing(pictures, basis(1, 0, 2)) == []


def test_other_sizes_lie_beside_each_other(pictures, loadable, cache):
    tokens = TokenCache(backbone=loadable)
    assert tokens.tokens(pictures, basis(1)).shape == (3, 16, 32)
    assert tokens.tokens(pictures, basis(1, size_px=96)).shape == (3, 36, 32)
    assert len({path.parent for path in stored(cache)}) == 2


def test_other_weights_do_not_share_a_cache(tiny, pictures, loadable, tmp_path, cache):
    TokenCache(backbone=loadable).fill(pictures, basis(1), progress=Silent())
    loadable.weights_digest = "0" * 64
    assert TokenCache(backbone=loadable).missing(pictures, basis(1)) == pictures


def test_nothing_half_written_is_left_when_an_image_cannot_be_read(pictures, loadable, cache):
    pictures[1].image.write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"1\.png"):
        TokenCache(backbone=loadable).fill(pictures, basis(1), progress=Silent())
    assert [path.stem for path in stored(cache)] == [pictures[0].image_digest]
    assert [path for path in (cache / "tokens").rglob("*") if path.suffix == ".part"] == []
