"""The token cache: computed once, whole or made anew, equal to the direct tokens."""

import weakref
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load, load_file, save
from stores import RICH, make_store
from support_core import assert_clear
from tiny import SPEC, Tiny, write_spec

from retq_hub.backbone import Backbone
from retq_hub.basis import Basis, Pass
from retq_hub.channels import METHOD, pixel_channels
from retq_hub.digest import file_digest
from retq_hub.engines.eager import TorchEngine
from retq_hub.errors import (
    BackboneMismatch,
    ImageError,
    IntegrityError,
    RetqError,
    UsageError,
)
from retq_hub.features import CachedTokens, TokenCache
from retq_hub.images import decode
from retq_hub.photograph import Photograph
from retq_hub.plans import assemble, plan
from retq_hub.preparation import Needs, prepare
from retq_hub.probe import probe_image
from retq_hub.progress import Silent
from retq_hub.store.store import Store


@dataclass(frozen=True)
class Picture:
    image: Path

    @property
    def image_digest(self) -> str:
        return file_digest(self.image)


def basis(*layers: int, size_px: int = 64, tiles: int = 1, **members: object) -> Basis:
    one = Pass(size_px=size_px, tiles=tiles, layers=layers)
    return Basis(passes=(one,), norm=True, **members)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Picture]:
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    paths = [tmp_path / "images" / f"{number}.png" for number in range(3)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (70, 90, 3), dtype=np.uint8)).save(path)
    return [Picture(path) for path in paths]


@pytest.fixture
def loadable(tiny: Tiny, cache: Path) -> Backbone:
    lazy = Backbone.asleep(str(tiny.path))
    assert lazy.reference.name == "torch"
    return lazy


@pytest.fixture
def unloadable(tiny: Tiny, loadable: Backbone, cache: Path) -> Backbone:
    """The same backbone, known and not to be loaded any more, as its weights are gone."""
    lazy = Backbone.asleep(str(tiny.path))
    (weights,) = (cache / "weights").rglob("*.safetensors")
    weights.unlink()
    with pytest.raises(RetqError):
        _ = lazy.reference
    return lazy


def test_the_cache_holds_float32_tokens_whatever_runs_the_backbone(
    loadable: Backbone, pictures: list[Picture], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = TorchEngine(loadable.graphs.encoder(), precision="bfloat16")
    plain = TokenCache(backbone=loadable).blocks(pictures[0], basis(1))
    monkeypatch.setenv("RETQ_CACHE", str(tmp_path / "other"))
    cached = TokenCache(backbone=loadable.with_engine(half)).blocks(pictures[0], basis(1))
    for one, other in zip(plain, cached, strict=True):
        assert torch.equal(one, other)


def stored(cache: Path) -> list[Path]:
    return sorted((cache / "tokens").rglob("*.safetensors"))


def tokens_of(cache: TokenCache, files: list[Picture], what: Basis) -> torch.Tensor:
    """The tokens of a basis of one block: (n, N, D)."""
    return torch.stack([cache.blocks(file, what)[0] for file in files])


def direct(tiny: Tiny, picture: Picture, what: Basis) -> list[torch.Tensor]:
    """The blocks without any cache."""
    image = decode(picture.image)
    blocks = assemble(tiny.backbone.tokens(image, plan([what]))[0], what)
    return [*blocks, torch.from_numpy(pixel_channels(image))] if what.pixels else blocks


def test_cached_tokens_are_the_direct_ones_in_half_precision(tiny, loadable, pictures):
    cache = TokenCache(backbone=loadable)
    for picture in pictures:
        (found,) = cache.blocks(picture, basis(2, 0))
        assert (found.shape, found.dtype) == ((16, 64), torch.float32)
        (expected,) = direct(tiny, picture, basis(2, 0))
        assert torch.equal(found, expected.half().float())


def test_blocks_of_several_passes_views_and_pixels_are_the_direct_ones(tiny, loadable, pictures):
    cache = TokenCache(backbone=loadable)
    for _ in range(2):
        found = cache.blocks(pictures[0], RICH)
        assert [tuple(block.shape) for block in found] == [(49, 64), (16, 32), (196**2, 20)]
        for one, expected in zip(found, direct(tiny, pictures[0], RICH), strict=True):
            torch.testing.assert_close(one, expected, atol=5e-3, rtol=2e-3)


def test_the_probe_is_unrounded_and_kept(tiny, loadable, unloadable):
    image = Image.fromarray(probe_image(112))
    expected = assemble(tiny.backbone.tokens(image, plan([RICH]))[0], RICH)
    expected.append(torch.from_numpy(pixel_channels(image)))
    for backbone in (loadable, unloadable):
        found = TokenCache(backbone=backbone).probe(RICH)
        assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
    with pytest.raises(RetqError):
        TokenCache(backbone=unloadable).probe(basis(1))


def test_the_second_time_the_backbone_is_not_needed(pictures, loadable, unloadable):
    first = TokenCache(backbone=loadable)
    assert first.missing(pictures, basis(1)) == pictures
    first.fill(pictures[:2], basis(1), progress=Silent())
    second = TokenCache(backbone=unloadable)
    assert second.missing(pictures, basis(1)) == pictures[2:]
    second.fill(pictures[:2], basis(1), progress=Silent())
    for picture in pictures[:2]:
        assert torch.equal(second.blocks(picture, basis(1))[0], first.blocks(picture, basis(1))[0])
    with pytest.raises(RetqError):
        second.blocks(pictures[2], basis(1))


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


def last_bit(blob: bytes) -> bytes:
    return blob[:-1] + bytes([blob[-1] ^ 1])


def one_value(blob: bytes) -> bytes:
    """Change a number in the middle of the tokens, as a disk that forgets a bit would."""
    place = len(blob) - 500
    return blob[:place] + bytes([blob[place] ^ 64]) + blob[place + 1 :]


def no_numbers(blob: bytes) -> bytes:
    tensors = {name: one.fill_(float("nan")) for name, one in load(blob).items()}
    return save(tensors, metadata={"crc32": "00000000"})


def without_check_sum(blob: bytes) -> bytes:
    return save(load(blob))


def without_the_layer(blob: bytes) -> bytes:
    return save({"0": load(blob)["1"]})


DAMAGES = [half, nothing, zeros, last_bit, one_value, no_numbers, without_check_sum]


@pytest.mark.parametrize("damage", [*DAMAGES, without_the_layer])
def test_a_file_that_is_damaged_is_made_anew(pictures, loadable, cache, damage):
    tokens = TokenCache(backbone=loadable)
    tokens.fill(pictures, basis(1), progress=Silent())
    expected = tokens_of(tokens, pictures, basis(1))
    broken = stored(cache)[0]
    whole = broken.read_bytes()
    broken.write_bytes(damage(whole))
    assert len(tokens.missing(pictures, basis(1))) == 1
    tokens.fill(pictures, basis(1), progress=Silent())
    assert torch.equal(tokens_of(tokens, pictures, basis(1)), expected)
    assert {"1"} <= set(load_file(broken)) <= {"0", "1"}
    if damage is not without_the_layer:
        assert broken.read_bytes() == whole


def test_a_probe_that_is_damaged_is_made_anew(loadable, cache):
    tokens = TokenCache(backbone=loadable)
    expected = tokens.probe(basis(1))
    (path,) = (cache / "tokens/probe").iterdir()
    for damage in (half, nothing, zeros):
        path.write_bytes(damage(path.read_bytes()))
        assert torch.equal(tokens.probe(basis(1))[0], expected[0])


def test_pixel_channels_that_are_damaged_are_made_anew(pictures, loadable, cache):
    what = basis(1, pixels=METHOD)
    tokens = TokenCache(backbone=loadable)
    expected = tokens.blocks(pictures[0], what)[1]
    (path,) = (cache / "tokens" / METHOD).iterdir()
    for damage in (half, nothing, zeros):
        path.write_bytes(damage(path.read_bytes()))
        assert torch.equal(tokens.blocks(pictures[0], what)[1], expected)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_a_backbone_that_gives_no_numbers_is_refused(pictures, loadable, cache, value):
    hook = (
        loadable.graphs.encoder()
        .trunk.blocks[1]
        .register_forward_hook(lambda *_: torch.full((1, 17, 32), value))
    )
    plain = Basis(passes=basis(1).passes, norm=False)
    with hook, pytest.raises(IntegrityError) as caught:
        TokenCache(backbone=loadable).fill(pictures, plain, progress=Silent())
    assert_clear(caught.value, 4, "layer 1 of tiny-vit", pictures[0].image.name, "verify")
    assert stored(cache) == []


def test_more_layers_extend_the_file(pictures, loadable, unloadable, cache):
    first = TokenCache(backbone=loadable)
    first.fill(pictures, basis(1), progress=Silent())
    first.fill(pictures, basis(2, 0), progress=Silent())
    assert len(stored(cache)) == 3
    assert all(set(load_file(path)) == {"0", "1", "2"} for path in stored(cache))
    assert TokenCache(backbone=unloadable).missing(pictures, basis(1, 0, 2)) == []


def test_other_sizes_lie_beside_each_other(pictures, loadable, cache):
    tokens = TokenCache(backbone=loadable)
    assert tokens_of(tokens, pictures, basis(1)).shape == (3, 16, 32)
    assert tokens_of(tokens, pictures, basis(1, size_px=96)).shape == (3, 36, 32)
    assert tokens_of(tokens, pictures, basis(1, tiles=2)).shape == (3, 64, 32)
    mirrored = tokens_of(tokens, pictures, basis(1, views=("mirrored",)))
    assert not torch.equal(mirrored, tokens_of(tokens, pictures, basis(1)))
    assert len({path.parent for path in stored(cache)}) == 4


def test_other_weights_do_not_share_a_cache(tiny, pictures, loadable, tmp_path, cache):
    TokenCache(backbone=loadable).fill(pictures, basis(1), progress=Silent())
    loadable.weights_digest = "0" * 64
    assert TokenCache(backbone=loadable).missing(pictures, basis(1)) == pictures


def test_nothing_half_written_is_left_when_an_image_cannot_be_read(pictures, loadable, cache):
    pictures[1].image.write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"1\.png"):
        TokenCache(backbone=loadable).fill(pictures, basis(1), progress=Silent())
    kept = {path.stem for path in stored(cache)}
    # The third one is read while the backbone has the first: it may be done, and then it is kept.
    assert pictures[0].image_digest in kept
    assert kept <= {pictures[0].image_digest, pictures[2].image_digest}
    assert [path for path in (cache / "tokens").rglob("*") if path.suffix == ".part"] == []


def test_a_backbone_that_decodes_at_a_fraction_has_tokens_of_its_own(tiny, tmp_path, cache):
    preprocessing = SPEC["preprocessing"] | {"decoding": "scaled"}
    path = write_spec(
        tmp_path,
        source=tiny.path.parent / "tiny.safetensors",
        id="tiny-scaled",
        preprocessing=preprocessing,
    )
    scaled = TokenCache(backbone=Backbone.asleep(str(path)))
    full = TokenCache(backbone=Backbone.asleep(str(tiny.path)))
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    photograph = Image.fromarray(pixels).resize((1280, 1200), Image.Resampling.BICUBIC)
    photograph.save(tmp_path / "eye.jpg", quality=95)
    file, what = Picture(tmp_path / "eye.jpg"), basis(1, pixels=METHOD)
    scaled.fill([file], what, progress=Silent())
    found, plain = scaled.blocks(file, what), full.blocks(file, what)
    for one, other in zip(found, plain, strict=True):
        assert not torch.equal(one, other), "tokens and pixel channels"
        assert torch.nn.functional.cosine_similarity(one, other).mean() > 0.98
    backbone = Backbone.asleep(str(path))
    needs = Needs(plan=plan([what]), channels=True)
    ready = prepare(Photograph.opened(file.image, decoding="scaled"), needs, backbone.spec)
    direct = assemble(backbone.run([ready], needs)[0][0], what)[0]
    torch.testing.assert_close(found[0], direct.half().float())
    assert np.allclose(found[1], ready.scene.channels, atol=1e-3)


BYTES = 4 * 3 * (49 * 64 + 16 * 32 + 196**2 * 20)
"""What three images of the rich basis take as float32."""


@pytest.fixture
def filled(pictures, loadable) -> TokenCache:
    tokens = TokenCache(backbone=loadable)
    tokens.fill(pictures, RICH, progress=Silent())
    return tokens


def test_tokens_held_in_memory_and_tokens_streamed_are_equal(filled, pictures):
    sources = [
        CachedTokens(filled, pictures, [RICH], in_memory_bytes=size)
        for size in (BYTES, BYTES // 2, 0)
    ]
    for source in sources:
        assert (len(source), source.widths, source.grids) == (3, (64, 32, 20), (7, 4, 196))
    for number in (2, 0, 1, 2):
        full, rounded, streamed = (source[number] for source in sources)
        assert {block.dtype for block in rounded} == {torch.float16}
        assert all(torch.equal(*pair) for pair in zip(full, streamed, strict=True))
        for one, other in zip(full, rounded, strict=True):
            assert torch.equal(one.half(), other)


def test_what_is_held_is_read_once_and_what_is_streamed_each_time(filled, pictures, monkeypatch):
    read: list[str] = []
    blocks = filled.blocks
    monkeypatch.setattr(
        filled, "blocks", lambda file, what: read.append(file.image.stem) or blocks(file, what)
    )
    held, streamed = (
        CachedTokens(filled, pictures, [RICH], in_memory_bytes=size) for size in (BYTES, 0)
    )
    read.clear()
    for _ in range(3):
        held[1]
    assert read == ["1"]
    read.clear()
    for _ in range(3):
        streamed[1]
    assert read == ["1", "1", "1"]


def test_streaming_many_images_takes_the_memory_of_one(loadable, tmp_path):
    """Ten images of 3 MB each; what is left behind by each pass over them is counted."""
    rng = np.random.default_rng(0)
    pictures = [Picture(tmp_path / f"{number}.png") for number in range(10)]
    for one in pictures:
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(one.image)
    tokens = TokenCache(backbone=loadable)
    what = basis(1, pixels=METHOD)
    tokens.fill(pictures, what, progress=Silent())
    source = CachedTokens(tokens, pictures, [what], in_memory_bytes=0)
    alive = []
    for number in range(10):
        alive += [weakref.ref(block) for block in source[number]]
    assert sum(one() is not None for one in alive) == 0


def test_variants_follow_each_other_image_by_image(filled, pictures):
    plain, mirrored = basis(1), basis(1, views=("mirrored",))
    source = CachedTokens(filled, pictures, [plain, mirrored])
    assert len(source) == 6
    for number, picture in enumerate(pictures):
        assert torch.equal(source[number][0], filled.blocks(picture, plain)[0])
        assert torch.equal(source[3 + number][0], filled.blocks(picture, mirrored)[0])


def stored_rich(tiny: Tiny, pictures: list[Picture], folder: Path) -> Store:
    needs = Needs(plan=plan([RICH]), channels=True)
    return make_store(folder, [one.image for one in pictures], tiny.backbone, needs)


def test_a_store_serves_in_the_place_of_the_backbone(
    unloadable: Backbone, tiny: Tiny, pictures: list[Picture], tmp_path: Path, cache: Path
) -> None:
    store = stored_rich(tiny, pictures, tmp_path / "store")
    cache_of = TokenCache(backbone=unloadable, store=store)
    assert cache_of.missing(pictures, RICH) == []
    cache_of.fill(pictures, RICH, progress=Silent())
    for picture in pictures:
        image = decode(picture.image)
        tokens, embedding = tiny.backbone.tokens(image, plan([RICH]), embed=True)
        wanted = assemble({place: one.half().float() for place, one in tokens.items()}, RICH)
        wanted.append(torch.from_numpy(pixel_channels(image)).half().float())
        for ours, theirs in zip(cache_of.blocks(picture, RICH), wanted, strict=True):
            assert torch.equal(ours, theirs)
        assert torch.equal(cache_of.embedding(picture), embedding)
    assert stored(cache) == []


def test_what_a_store_lacks_is_computed(
    loadable: Backbone, tiny: Tiny, pictures: list[Picture], tmp_path: Path, cache: Path
) -> None:
    store = stored_rich(tiny, pictures[:1], tmp_path / "store")
    cache_of = TokenCache(backbone=loadable, store=store)
    assert cache_of.missing(pictures, RICH) == pictures[1:]
    both = Basis(passes=(*RICH.passes, Pass(size_px=64, tiles=3, layers=(1,))), norm=True)
    assert [len(block) for block in cache_of.blocks(pictures[0], both)] == [49, 16, 144]
    assert len(stored(cache)) == 1


def test_a_store_of_something_else_is_refused(
    loadable: Backbone, tiny: Tiny, pictures: list[Picture], tmp_path: Path
) -> None:
    store = stored_rich(tiny, pictures[:1], tmp_path / "store")
    right = store.contents
    store.contents = replace(right, weights_digest="1" * 64)
    with pytest.raises(BackboneMismatch) as mismatch:
        TokenCache(backbone=loadable, store=store)
    assert_clear(mismatch.value, 4, "is of weights 1111", "make a store with this backbone")
    store.contents = replace(right, engine="openvino bfloat16")
    with pytest.raises(UsageError, match="was made by openvino bfloat16"):
        TokenCache(backbone=loadable, store=store)
