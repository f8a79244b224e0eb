"""Tests of `retq_hub.twins`: the same photograph in another file."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support_core import manifest

from retq_hub import twins
from retq_hub.digest import file_digest
from retq_hub.embedded import REGISTRY
from retq_hub.progress import Silent


@dataclass(frozen=True)
class File:
    image: Path

    @property
    def image_digest(self) -> str:
        return file_digest(self.image)


def fundus(seed: int, size: tuple[int, int] = (450, 300)) -> Image.Image:
    """An orange disc on black with soft structures of its own."""
    draw = np.random.default_rng(seed)
    level = np.full((300, 450), 120.0)
    for rows, columns in ((8, 12), (20, 30), (40, 60)):
        noise = Image.fromarray(draw.normal(size=(rows, columns)).astype(np.float32))
        level += 25 * np.asarray(noise.resize((450, 300), Image.Resampling.BICUBIC))
    y, x = np.mgrid[:300, :450]
    level = np.clip(level, 0, 255) * (np.hypot(y - 150, x - 225) < 145)
    pixels = np.stack([level, level * 0.6, level * 0.2], axis=-1).astype(np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)


def written(folder: Path, name: str, image: Image.Image, **options: object) -> File:
    image.save(folder / name, **options)
    return File(folder / name)


def test_scaling_and_compression_do_not_hide_a_photograph(tmp_path: Path, cache: Path) -> None:
    files = [written(tmp_path, f"{seed}.png", fundus(seed)) for seed in range(4)]
    copies = [
        written(tmp_path, f"{seed}.jpg", fundus(seed, (300, 200)), quality=60) for seed in range(4)
    ]
    ours = twins.codes(files, progress=Silent())
    theirs = twins.codes(copies, progress=Silent())
    assert twins.alike(ours, theirs) == [[seed] for seed in range(4)]
    assert twins.pairs(ours) == []
    assert twins.pairs([*ours, ours[2]]) == [(2, 4)]
    assert twins.alike([], ours) == []
    assert twins.alike(ours[:1], []) == [[]]


def test_codes_are_kept_and_damage_is_mended(tmp_path: Path, cache: Path) -> None:
    file = written(tmp_path, "eye.png", fundus(1))
    (code,) = twins.codes([file], progress=Silent())
    (kept,) = (cache / "photographs").iterdir()
    assert kept.read_text() == code
    for damage in ("", "zz", code[:-1], code.upper()):
        kept.write_text(damage)
        assert twins.codes([file], progress=Silent()) == [code] or damage == code
    kept.write_text("0" * 64)
    assert twins.codes([file], progress=Silent()) == ["0" * 64]


def test_what_was_trained_on_is_told_by_the_manifest(tmp_path: Path, cache: Path) -> None:
    files = [written(tmp_path, f"{seed}.png", fundus(seed)) for seed in range(3)]
    small = written(tmp_path, "small.jpg", fundus(1, (225, 150)))
    bare = manifest()
    assert not twins.is_told(bare)
    assert twins.seen(bare, files, progress=Silent()) == []
    data = replace(bare.data[0], photographs=(twins.code(small.image),))
    told = manifest(data=(data,))
    assert twins.is_told(told)
    assert twins.seen(told, files, progress=Silent()) == [1]


def test_photographs_of_shipped_queries_are_told_by_a_table() -> None:
    table = json.loads((REGISTRY / "photographs.json").read_text())
    assert len(table) == 81
    document = json.loads((REGISTRY / "queries/idrid-lesions/1.0.0/retq.json").read_text())
    assert set(document["data"][0]["images"]) <= table.keys()


def test_the_two_parts_of_idrid(data: Path, cache: Path) -> None:
    """One that is in both, scaled to a fifth, and one that is not."""
    part_a = data / "IDRiD/A. Segmentation/1. Original Images/b. Testing Set"
    part_b = data / "IDRiD_grading/images"
    ours = [twins.code(part_a / f"IDRiD_{number}.jpg") for number in (58, 60)]
    names = ("train_IDRiD_356", "train_IDRiD_357", "test_IDRiD_001")
    theirs = [twins.code(part_b / f"{name}.jpg") for name in names]
    assert twins.alike(ours, theirs) == [[0], []]


@pytest.mark.parametrize("shape", [(1, 1), (5000, 20)])
def test_odd_images_have_a_code_too(shape: tuple[int, int]) -> None:
    assert len(twins.code(Image.new("RGB", shape, (90, 40, 20)))) == 64
