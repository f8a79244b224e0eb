"""Pipelines: one pass, many queries, the same answers as each query alone."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from problems import brought
from tiny import Tiny, random_state
from torch.nn import functional as F

from retq_hub import weights
from retq_hub.backbone import Backbone
from retq_hub.basis import Basis, Pass
from retq_hub.channels import METHOD, pixel_channels
from retq_hub.errors import BackboneMismatch, ImageError, NotFoundError, UsageError
from retq_hub.guided import Lead
from retq_hub.images import green
from retq_hub.manifest import Calibration, Guided, Head
from retq_hub.pipeline import Pipeline
from retq_hub.query import Query
from retq_hub.result import AREA_PX, Result
from retq_hub.runs import decode

VIEWS = ("plain", "mirrored", "upended", "turned")


TILES = Pass(size_px=64, tiles=2, layers=(2, 1), overlap_px=16)
HOME = Pass(size_px=64, tiles=1, layers=(0,))
RICH_HEAD = Head(
    activation="softmax",
    thresholds=(0.3, 0.4),
    threshold_choice="given",
    guided=Guided(size_px=98, radius_px=2, epsilon=1e-3),
    calibration=Calibration(
        method="platt", ece=(0.0, 0.0), ece_before=(0.0, 0.0), scale=(2.0, 0.5), offset=(0.5, -0.2)
    ),
)


@pytest.fixture(scope="module")
def image() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 120, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def queries(tmp_path_factory: pytest.TempPathFactory, make_query) -> dict[str, Query]:
    """Queries on the same basis, on other layers, at another size, on tiles, and so on."""
    kinds: dict[str, dict[str, object]] = {
        "disc": {"seed": 1},
        "spot": {"seed": 2},
        "deep": {"seed": 3, "layers": (2, 0)},
        "fine": {"seed": 4, "size_px": 96},
        "both": {"seed": 5, "targets": 2},
        "tiled": {"seed": 6, "basis": Basis(passes=(TILES, HOME), norm=True)},
        "flipped": {"seed": 7, "basis": Basis(passes=(HOME,), norm=True, views=VIEWS[:2])},
        "rich": {
            "seed": 8,
            "targets": 2,
            "basis": Basis(passes=(TILES, HOME), norm=True, views=VIEWS, pixels=METHOD),
            "head": RICH_HEAD,
        },
    }
    folder = tmp_path_factory.mktemp("queries")
    return {
        name: Query.from_pretrained(make_query(folder / name, name=name, **kind))
        for name, kind in kinds.items()
    }


@pytest.fixture
def compose(tiny: Tiny, queries: dict[str, Query]) -> Callable[..., Pipeline]:
    def compose(*names: str, **options: bool) -> Pipeline:
        chosen = {name: queries[name] for name in names}
        return Pipeline(backbone=tiny.backbone, queries=chosen, **options)

    return compose


@pytest.fixture
def passes(tiny: Tiny) -> Iterator[list[int]]:
    """Side in pixels of each pass that the encoder makes."""
    seen: list[int] = []
    encoder = tiny.backbone.graphs.encoder()
    hook = encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[-1]))
    yield seen
    hook.remove()


def logits(result: Result) -> dict[str, np.ndarray]:
    return {name: one.logits for name, one in result.items()}


def assert_same(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> None:
    assert list(one) == list(other)
    for name, values in one.items():
        np.testing.assert_allclose(values, other[name], atol=1e-5, err_msg=name)


def assert_equal(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> None:
    assert list(one) == list(other)
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


def test_queries_together_give_what_each_gives_alone(compose, queries, image):
    together = compose(*queries)(image)
    assert list(together) == list(queries)
    alone = {name: compose(name)(image)[name].logits for name in queries}
    assert_same(logits(together), alone)


@pytest.mark.parametrize(
    ("names", "sides"),
    [
        (["disc", "spot"], [64]),
        (["disc", "deep", "both", "spot"], [64]),
        (["disc", "fine", "deep"], [64, 96]),
        (["tiled", "disc"], [64, 64]),
        (["flipped", "disc", "deep"], [64, 64]),
        (["tiled", "flipped", "disc"], [64, 64, 64]),
        (["rich"], [64] * 8),
        (["rich", "tiled", "flipped", "deep"], [64] * 8),
    ],
)
def test_each_image_passes_once_for_all_bases_of_a_size(compose, image, passes, names, sides):
    pipe = compose(*names)
    pipe(image)
    assert sorted(passes) == sides
    pipe([image, image])
    assert len(passes) == 3 * len(sides)


def naive_blocks(tiny: Tiny, image: Image.Image) -> list[torch.Tensor]:
    """The blocks of the rich query, each view by itself, out of timm's model alone."""
    vit, found = tiny.vit(), []
    for one, side in ((TILES, 112), (HOME, 64)):
        square = np.asarray(image.resize((side, side), Image.Resampling.BICUBIC))
        views = []
        for axes in ((), (1,), (0,), (0, 1)):
            turned = np.flip(square, axes)
            starts = (0, 48) if one.tiles == 2 else (0,)
            g, G, step = 4, side // 16, 3
            field, counts = torch.zeros(G, G, 32 * len(one.layers)), torch.zeros(G, G, 1)
            ramp = torch.ones(2, 4)
            if one.tiles == 2:
                ramp[0, 3] = ramp[1, 0] = 0.5
            for down, y in enumerate(starts):
                for right, x in enumerate(starts):
                    tile = turned[y : y + 64, x : x + 64].astype(np.float32)
                    pixels = torch.from_numpy((tile / 255 - 0.5) / 0.25).permute(2, 0, 1)[None]
                    layers = vit.get_intermediate_layers(pixels, n=list(range(3)), norm=True)
                    tokens = torch.cat([layers[layer][0] for layer in one.layers], dim=1)
                    weight = (ramp[down][:, None] * ramp[right])[..., None]
                    rows = slice(down * step, down * step + g)
                    columns = slice(right * step, right * step + g)
                    field[rows, columns] += weight * tokens.view(g, g, -1)
                    counts[rows, columns] += weight
            torch.testing.assert_close(counts, torch.ones_like(counts))
            views.append(field.flip(axes).reshape(G * G, -1))
        found.append(torch.stack(views).mean(0))
    return [*found, torch.from_numpy(pixel_channels(image))]


def test_tiles_views_pixels_and_the_head_are_what_a_naive_computation_gives(
    compose, tiny, queries, image
):
    result = compose("rich", "disc")(image)["rich"]
    assert result.logits.shape == (2, 196, 196)
    query = queries["rich"]
    tokens = torch.cat([brought(block[None], 196)[0] for block in naive_blocks(tiny, image)], dim=1)
    grid = (tokens @ query.vector.T + query.bias).T.reshape(2, 196, 196)
    np.testing.assert_allclose(result.logits, grid.numpy(), atol=1e-3)
    sharp = torch.from_numpy(Lead(green(image, 98), radius_px=2, epsilon=1e-3)(grid.numpy()))
    logits = F.interpolate(sharp[None], (48, 120), mode="bilinear")[0]
    logits = logits * torch.tensor([2.0, 0.5])[:, None, None]
    logits += torch.tensor([0.5, -0.2])[:, None, None]
    expected = torch.cat([torch.zeros_like(logits[:1]), logits]).softmax(0)[1:]
    assert result.probability.shape == (2, 48, 120)
    np.testing.assert_allclose(result.probability, expected.numpy(), atol=1e-3)
    assert int(result.mask.sum(axis=0).max()) == 1


def test_what_is_marked_is_told_of_all_queries_at_once(compose, image):
    result = compose("rich", "both", "disc")(image)
    areas, markings = result.areas(), result.markings()
    assert list(areas) == list(markings) == ["rich", "both", "disc"]
    for name, one in result.segmentations.items():
        masks = one.mask_at(AREA_PX, AREA_PX)
        np.testing.assert_allclose(areas[name], masks.mean((1, 2)))
        assert areas[name] == tuple(marking.area for marking in markings[name])
        runs = one.runs_at(*one.size)
        assert np.array_equal(
            np.stack([decode(each, 48, 120) for each in runs]), one.mask_at(120, 48)
        )
        assert max(marking.highest for marking in markings[name]) == one.max_probability
    assert result["disc"].area == areas["disc"][0]


def test_the_image_is_kept_only_where_the_head_is_led_by_it(compose, image):
    result = compose("rich", "tiled")(image)
    assert result["rich"].guide is not None
    assert result["tiled"].guide is None


def test_blocks_that_nobody_reads_are_not_run_without_embedding(compose, tiny, image):
    run: list[int] = []
    hooks = [
        block.register_forward_hook(lambda *_, number=number: run.append(number))
        for number, block in enumerate(tiny.backbone.graphs.encoder().trunk.blocks)
    ]
    result = compose("disc", embed=False)(image)
    for hook in hooks:
        hook.remove()
    assert (run, result.embedding) == ([0, 1], None)


def test_adding_queries_composes_and_keeps_the_backbone(compose, queries, image):
    first = compose("disc")
    second = first.add(queries["deep"], queries["both"])
    assert second.backbone is first.backbone
    assert list(first.queries) == ["disc"]
    assert_same(logits(second(image)), logits(compose("disc", "deep", "both")(image)))


def test_probability_is_the_sigmoid_of_bilinear_upsampling_at_the_images_size(compose, image):
    disc = compose("disc")(image)["disc"]
    assert (disc.logits.shape, disc.logits.dtype) == ((1, 4, 4), np.float32)
    maps = torch.from_numpy(disc.logits)[None]
    reference = F.interpolate(maps, (48, 120), mode="bilinear").sigmoid()[0, 0]
    assert (disc.probability.shape, disc.probability.dtype) == ((48, 120), np.float32)
    np.testing.assert_allclose(disc.probability, reference.numpy(), atol=1e-6)
    assert 0 <= disc.probability.min() < disc.probability.max() <= 1
    at_392 = F.interpolate(maps, (392, 392), mode="bilinear").sigmoid()
    assert disc.max_probability == pytest.approx(float(at_392.max()), abs=1e-6)


@pytest.mark.parametrize("threshold", [0.25, 0.5, 0.6])
def test_the_mask_is_where_the_probability_exceeds_the_threshold(compose, image, threshold):
    disc = compose("disc")(image)["disc"]
    head = replace(disc.manifest.head, thresholds=(threshold,))
    disc = replace(disc, manifest=replace(disc.manifest, head=head))
    assert (disc.mask.shape, disc.mask.dtype) == ((48, 120), np.bool_)
    unsure = np.abs(disc.probability - threshold) < 1e-6
    assert ((disc.mask == (disc.probability > threshold)) | unsure).all()
    assert 0 < disc.mask.mean() < 1
    assert disc.area == pytest.approx(disc.mask.mean(), abs=0.02)


def test_several_targets_give_a_map_each(compose, image):
    both = compose("both")(image)["both"]
    assert both.logits.shape == (2, 4, 4)
    assert both.probability.shape == both.mask.shape == (2, 48, 120)
    assert both.area == pytest.approx(both.mask.any(axis=0).mean(), abs=0.02)


@pytest.mark.parametrize("names", [["disc"], ["fine"], ["fine", "disc"]])
def test_the_embedding_is_that_of_the_whole_model(compose, tiny, image, names):
    square = np.asarray(image.resize((64, 64), Image.Resampling.BICUBIC), dtype=np.float32)
    pixels = torch.from_numpy((square / 255 - 0.5) / 0.25).permute(2, 0, 1)[None]
    embedding = compose(*names)(image).embedding
    assert embedding is not None
    np.testing.assert_allclose(embedding, tiny.vit()(pixels)[0].numpy(), atol=1e-4)


def test_paths_images_and_arrays_give_the_same(compose, image, tmp_path):
    image.save(tmp_path / "eye.png")
    pipe = compose("disc", "both")
    expected = logits(pipe(image))
    for source in (tmp_path / "eye.png", str(tmp_path / "eye.png"), np.asarray(image)):
        assert_same(logits(pipe(source)), expected)


def test_a_list_gives_a_list_and_a_generator_is_read_lazily(compose, image, passes):
    pipe = compose("disc")
    expected = logits(pipe(image))
    assert [type(one) for one in pipe([image, image])] == [Result, Result]
    assert pipe([]) == []
    passes.clear()
    lazy = pipe(image for _ in range(100))
    assert passes == []
    assert_same(logits(next(lazy)), expected)
    assert len(passes) == 1


@pytest.mark.parametrize("workers", [None, 1, 3])
def test_many_images_give_what_each_gives_and_bad_ones_their_reason(
    compose, image, tmp_path, workers
):
    (tmp_path / "text.png").write_text("no image")
    images = [image, image.rotate(90), tmp_path / "text.png", image.rotate(180)] * 3
    pipe = compose("disc", "tiled")
    found = list(pipe.map(images, workers=workers))
    assert [one.source for one in found] == images
    for one in found:
        if isinstance(one.source, Path):
            assert one.result is None
            assert "no PNG" in str(one.error)
        else:
            assert one.error is None
            assert_equal(logits(one.result), logits(pipe(one.source)))


def test_many_images_are_asked_for_as_they_are_needed(compose, image):
    asked = []

    def endless():
        while True:
            asked.append(image)
            yield image

    found = compose("disc").map(endless())
    assert [next(found).error for _ in range(3)] == [None] * 3
    found.close()
    assert len(asked) < 20


@pytest.mark.parametrize("options", [{"pool": "boats"}, {"workers": 0}, {"cluster": "auto"}])
def test_pools_that_cannot_be_had_are_usage_errors(compose, image, options):
    with pytest.raises(UsageError, match=r"no pool 'boats'|0 workers|cluster auto is Ray's"):
        compose("disc").map([image], **options)


@pytest.mark.parametrize("one", ["eye.jpg", Path("eye.jpg"), np.zeros((9, 9, 3), np.uint8)])
def test_one_image_is_not_taken_for_many(compose, one):
    with pytest.raises(UsageError, match="one image is given, map takes many"):
        compose("disc").map(one)


def test_decoding_is_full_or_scaled(compose):
    backbone = compose("disc").backbone
    scaled = backbone.with_decoding("scaled")
    assert scaled.spec.preprocessing_digest != backbone.spec.preprocessing_digest
    assert scaled.with_decoding("full").spec == backbone.spec
    assert scaled.engine is backbone.engine
    with pytest.raises(UsageError, match="full or scaled"):
        backbone.with_decoding("half")


def test_an_image_that_cannot_be_used_is_named(compose, tmp_path):
    (tmp_path / "eye.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"eye\.png"):
        compose("disc")(tmp_path / "eye.png")


@pytest.fixture
def stranger(tiny: Tiny) -> Backbone:
    """Other weights of the same architecture."""
    state = random_state(tiny.spec, seed=9)
    return Backbone(spec=tiny.spec, state=state, weights_digest=weights.digest_of(state))


def test_a_query_for_other_weights_is_refused_with_both_digests(queries, stranger):
    with pytest.raises(BackboneMismatch) as caught:
        Pipeline(backbone=stranger, queries={"disc": queries["disc"]})
    line = str(caught.value)
    assert line.startswith("disc: ")
    assert stranger.weights_digest in line
    assert queries["disc"].manifest.backbone.weights_digest in line


def test_a_mismatch_is_accepted_and_noted_where_the_user_insists(queries, stranger, image):
    pipe = Pipeline(backbone=stranger, queries={"disc": queries["disc"]}, allow_mismatch=True)
    assert len(pipe.notes) == 1
    assert "as you asked" in pipe.notes[0]
    assert pipe(image)["disc"].logits.shape == (1, 4, 4)
    assert len(pipe.add(queries["spot"]).notes) == 2


def test_a_query_of_another_width_is_refused_even_then(tiny, queries, make_query, tmp_path):
    folder = make_query(tmp_path / "wide", layers=(0, 1))
    wide = Query.from_pretrained(folder)
    wide.manifest = replace(wide.manifest, basis=queries["disc"].manifest.basis)
    with pytest.raises(BackboneMismatch, match=r"has 64 floats a vector, its layers .* give 32"):
        Pipeline(backbone=tiny.backbone, queries={"wide": wide}, allow_mismatch=True)


def test_equivalent_weights_are_used_with_a_note(tiny, queries, image):
    state = {name: one.bfloat16().float() for name, one in tiny.state.items()}
    digest = weights.digest_of(state)
    rounded = Backbone(spec=tiny.spec, state=state, weights_digest=digest)
    pipe = Pipeline(backbone=rounded, queries={"disc": queries["disc"]})
    (note,) = pipe.notes
    assert "they compute the same" in note
    assert digest in note


def test_names_folders_and_the_backbone_are_loaded(registry_folder, cache, make_query, tmp_path):
    mine = make_query(tmp_path / "mine", name="my-disc", seed=7)
    pipe = Pipeline.from_pretrained(["tiny-disc", "tiny-spot@0.1.0", mine])
    assert list(pipe.queries) == ["tiny-disc", "tiny-spot", "my-disc"]
    assert pipe.queries["tiny-disc"].manifest.version == "1.9.0"
    assert pipe.backbone.spec.id == "tiny-vit"
    assert (cache / "weights" / "tiny-vit" / "weights.safetensors").is_file()


@pytest.mark.parametrize("add", [False, True])
def test_two_queries_of_one_name_are_refused(tiny, queries, add):
    again = [queries["disc"], queries["spot"], queries["disc"]]
    with pytest.raises(UsageError, match="two queries are named 'disc'"):
        if add:
            Pipeline.from_pretrained(again[:2], backbone=tiny.backbone).add(again[2])
        else:
            Pipeline.from_pretrained(again, backbone=tiny.backbone)


def test_a_pipeline_without_queries_is_a_usage_error():
    with pytest.raises(UsageError, match="at least one query"):
        Pipeline.from_pretrained([])


def test_one_name_instead_of_a_list_is_one_query(registry_folder, tiny, cache):
    pipe = Pipeline.from_pretrained("tiny-disc", backbone=tiny.backbone)
    assert list(pipe.queries) == ["tiny-disc"]


def test_an_unknown_query_is_not_found_before_any_backbone_is_loaded(registry_folder, cache):
    with pytest.raises(NotFoundError, match="did you mean tiny-disc"):
        Pipeline.from_pretrained(["tiny-dsic"])
    assert not (cache / "weights").exists()


def test_the_default_backbone_runs_a_query_end_to_end(backbone, make_query, tmp_path: Path, image):
    query = make_query(tmp_path / "real", layers=(7,), size_px=392, backbone=backbone)
    result = Pipeline.from_pretrained([query], backbone=backbone, embed=False)(image)
    assert result["tiny-disc"].logits.shape == (1, 28, 28)
    assert result["tiny-disc"].probability.shape == (48, 120)
