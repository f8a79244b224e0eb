"""The paper's recipe for a backbone that pads: learned and applied at the right places."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import SPEC, Tiny, write_spec

from retq_hub import datasets
from retq_hub.backbone import Backbone
from retq_hub.dataset import Dataset
from retq_hub.grids import logit_map
from retq_hub.heads import pixel_logits
from retq_hub.images import decode
from retq_hub.plans import assemble, plan
from retq_hub.progress import Silent
from retq_hub.recipe import Recipe
from retq_hub.replication import on_squares, solve_as_in_paper
from retq_hub.trainingset import TrainingSet

WIDTH, HEIGHT, RADIUS = 160, 90, 14


def draw(folder: Path, number: int) -> None:
    """Write a dark wide image, or a high one, with a spot that padding moves, and its mask."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    column, row = rng.uniform(RADIUS, WIDTH - RADIUS), rng.uniform(55, HEIGHT - RADIUS)
    spot = (x - column) ** 2 + (y - row) ** 2 < RADIUS**2
    pixels = np.where(spot[..., None], (250, 220, 140), (120, 50, 25)).astype(np.uint8)
    turned = number % 3 == 0
    for kind, one in (("images", pixels), ("masks", spot)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        one = np.rot90(one) if turned else one
        Image.fromarray(one).save(folder / kind / f"eye{number}.png")


@pytest.fixture
def spots(tmp_path: Path, cache: Path) -> Dataset:
    for number in range(6):
        draw(tmp_path / "data", number)
    folders = (tmp_path / "data/images", tmp_path / "data/masks")
    return datasets.from_folders(*folders, target="bright spot", name="spots")


@pytest.fixture
def padding(tiny: Tiny, registry_folder: Path) -> str:
    """The tiny backbone, padding, at twice its size; its id."""
    write_spec(
        registry_folder / "backbones",
        source=tiny.path.parent / "tiny.safetensors",
        id="tiny-pad",
        tokens=SPEC["tokens"] | {"grid": 8},
        preprocessing=SPEC["preprocessing"] | {"size_px": 128, "aspect": "pad", "unrounded": True},
    )
    return "tiny-pad"


@pytest.mark.parametrize("aspect", ["pad", "stretch"])
def test_masks_lie_on_what_they_mark(spots, tiny, aspect):
    how = replace(tiny.spec.preprocessing, aspect=aspect)
    data = TrainingSet([spots], seed=0, progress=Silent())
    images, masks = on_squares(data, how, 128, Silent())
    assert (images.shape, images.dtype) == ((6, 128, 128, 3), np.uint8)
    bright = images[..., 0] > 185
    assert (bright != masks[:, 0]).sum() < 0.1 * bright.sum()
    assert images[:, -1, -1].any() == (aspect == "stretch")


def test_a_query_of_a_padding_backbone_marks_the_right_places(spots, padding):
    """Trained on padded squares, applied on the images' own grids."""
    data = TrainingSet([spots], seed=0, progress=Silent())
    backbone = Backbone.asleep(padding)
    found = solve_as_in_paper(data, backbone, Recipe(kind="paper", epochs=12), Silent())
    for sample in spots.samples:
        tokens, _ = backbone.tokens(decode(sample.image), plan([found.basis]))
        (block,) = assemble(tokens, found.basis)
        logits = logit_map([block[None]], found.vector, found.bias)[0]
        margin = pixel_logits(found.head, logits, 64, 64, None)[0]
        mask = sample.mask(64)
        assert mask.flatten()[margin.argmax()]
