"""Tests of `retq_hub.dataset`, `retq_hub.datasets` and `retq_hub.published`."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from support_core import assert_clear, blob_mask, fundus, on_a_full_disk, write_pair

from retq_hub.dataset import Dataset, Sample, read_rows
from retq_hub.datasets import from_csv, from_folders, open_dataset
from retq_hub.errors import DatasetError, ImageError, MaskError, NotFoundError, UsageError
from retq_hub.images import area_mask, decode, read_mask
from retq_hub.manifest import Licence, Target
from retq_hub.progress import Silent
from retq_hub.published import PUBLISHED

SIZE = 12
TRAINING = "a. Training Set"
TRUTHS = f"2. All Segmentation Groundtruths/{TRAINING}"


def folders(root: Path, images: list[str], masks: list[str]) -> Dataset:
    for folder, names, pixels in (("images", images, fundus()), ("masks", masks, blob_mask())):
        (root / folder).mkdir()
        for name in names:
            Image.fromarray(pixels).save(root / folder / name)
    return from_folders(root / "images", root / "masks", target="Optic disc", name="mine")


def table(root: Path, text: str, *, split: str = "all") -> Dataset:
    (root / "index.csv").write_text(text)
    return from_csv(root / "index.csv", target="disc", split=split, name="mine")


def dataset(*samples: Sample) -> Dataset:
    return Dataset(
        id="mine",
        title="Mine",
        licence=Licence(id="CC0-1.0"),
        target=Target(name="disc", label="disc"),
        split="all",
        samples=samples,
    )


def idrid_like(root: Path) -> Path:
    """Two tiny images in IDRiD's layout, of which the second has no haemorrhages."""
    names = [f"1. Original Images/{TRAINING}/IDRiD_0{n}.jpg" for n in (1, 2)]
    names += [f"{TRUTHS}/5. Optic Disc/IDRiD_0{n}_OD.tif" for n in (1, 2)]
    names += [f"{TRUTHS}/2. Haemorrhages/IDRiD_01_HE.tif"]
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(fundus() if name.endswith("jpg") else blob_mask()).save(root / name)
    return root


def test_several_masks_are_united_and_none_means_nothing(tmp_path: Path, cache: Path):
    image, mask = write_pair(tmp_path, "eye")
    other = np.zeros_like(blob_mask())
    other[30:40, 50:60] = True
    Image.fromarray(other).save(tmp_path / "other.png")
    union = Sample("eye", image, (mask, tmp_path / "other.png")).mask(SIZE)
    np.testing.assert_array_equal(union, area_mask(blob_mask() | other, SIZE))
    assert not Sample("eye", image, ()).mask(SIZE).any()
    one = Sample("eye", image, (mask,)).mask(SIZE)
    np.testing.assert_array_equal(one, area_mask(blob_mask(), SIZE), strict=True)


@pytest.mark.parametrize("damage", [lambda blob: blob[:-3], lambda _: b"", lambda _: b"rubbish"])
def test_a_damaged_cache_of_masks_is_made_anew(tmp_path: Path, cache: Path, damage):
    image, mask = write_pair(tmp_path, "eye")
    sample = Sample("eye", image, (mask,))
    expected = sample.mask(SIZE)
    (kept,) = (cache / "masks").iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(damage(whole))
    np.testing.assert_array_equal(sample.mask(SIZE), expected)
    assert kept.read_bytes() == whole


def test_a_mask_follows_its_file_and_not_the_cache(tmp_path: Path, cache: Path):
    image, mask = write_pair(tmp_path, "eye")
    before = Sample("eye", image, (mask,)).mask(SIZE)
    Image.fromarray(~blob_mask()).save(mask)
    assert (Sample("eye", image, (mask,)).mask(SIZE) != before).any()


def test_a_full_disk_under_the_mask_cache_is_a_storage_error(tmp_path: Path, cache: Path):
    image, mask = write_pair(tmp_path, "eye")
    script = """
from retq_hub.dataset import Sample
from retq_hub.errors import StorageError
try:
    Sample("eye", Path(sys.argv[1]), (Path(sys.argv[2]),)).mask(392)
except StorageError as error:
    print(error.exit_code)
"""
    assert on_a_full_disk(script, image, mask, limit=1000) == "7\n"
    assert list((cache / "masks").iterdir()) == []


def test_all_unusable_files_are_named_at_once(tmp_path: Path, cache: Path):
    pairs = [write_pair(tmp_path, stem) for stem in ("one", "two", "three")]
    pairs[0][0].write_bytes(b"no image")
    pairs[2][1].write_bytes(b"")
    found = dataset(*(Sample(image.stem, image, (mask,)) for image, mask in pairs))
    with pytest.raises(DatasetError) as caught:
        found.masks(SIZE, progress=Silent())
    assert_clear(caught.value, 6, "2 of 3", str(pairs[0][0]), str(pairs[2][1]))


def test_one_unusable_file_keeps_its_own_error(tmp_path: Path, cache: Path):
    image, mask = write_pair(tmp_path, "eye")
    Image.fromarray(blob_mask(20, 20)).save(mask)
    with pytest.raises(MaskError) as caught:
        dataset(Sample("eye", image, (mask,))).masks(SIZE, progress=Silent())
    assert_clear(caught.value, 6, "20 x 20", "64 x 48")


def test_a_file_that_has_gone_is_an_image_error(tmp_path: Path, cache: Path):
    image, mask = write_pair(tmp_path, "eye")
    image.unlink()
    with pytest.raises(ImageError) as caught:
        Sample("eye", image, (mask,)).mask(SIZE)
    assert_clear(caught.value, 6, str(image))


def test_the_digest_sees_content_and_neither_names_nor_order(tmp_path: Path):
    seeds = {"a": 0, "b": 1, "x": 0, "y": 1, "z": 2}
    pairs = {stem: write_pair(tmp_path, stem, seed=seed) for stem, seed in seeds.items()}
    one = {stem: Sample(stem, image, (mask,)) for stem, (image, mask) in pairs.items()}
    bare = Sample("a", pairs["a"][0], ())
    digest = dataset(one["a"], one["b"]).digest
    assert digest == dataset(one["y"], one["x"]).digest
    for other in ((one["a"], one["z"]), (bare, one["b"]), (one["a"],)):
        assert dataset(*other).digest != digest


def test_folders_are_paired_by_stem(tmp_path: Path):
    images = ["eye1.jpg", "eye10.png", "eye1_left.tif"]
    found = folders(tmp_path, images, ["eye1_disc.png", "eye10.tif", "eye1_left-disc_v2.png"])
    pairs = {sample.image.name: [mask.name for mask in sample.masks] for sample in found.samples}
    assert pairs == {
        "eye1.jpg": ["eye1_disc.png"],
        "eye10.png": ["eye10.tif"],
        "eye1_left.tif": ["eye1_left-disc_v2.png"],
    }
    assert found.target == Target(name="optic-disc", label="Optic disc")
    assert found.split == "all"


def test_all_that_does_not_match_is_in_one_message(tmp_path: Path):
    images = ["a.png", "b.png", "c.png", "d.png"]
    with pytest.raises(DatasetError) as caught:
        folders(tmp_path, images, ["a.png", "a_2.png", "d.png", "x.png", "y.png"])
    wanted = ["2 images without a mask (b, c)", "1 images with several masks (a)"]
    assert_clear(caught.value, 6, *wanted, "2 masks without an image (x.png, y.png)")


@pytest.mark.parametrize("missing", ["images", "masks"])
def test_a_missing_folder_is_named(tmp_path: Path, missing: str):
    write_pair(tmp_path, "eye")
    (tmp_path / missing).rename(tmp_path / "elsewhere")
    with pytest.raises(DatasetError) as caught:
        from_folders(tmp_path / "images", tmp_path / "masks", target="disc", name="mine")
    assert_clear(caught.value, 6, str(tmp_path / missing))


def test_an_empty_folder_is_refused(tmp_path: Path):
    with pytest.raises(DatasetError) as caught:
        folders(tmp_path, [], [])
    assert_clear(caught.value, 6, "no images")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(target=st.text(max_size=12))
def test_a_target_becomes_a_name_that_the_schema_allows(tmp_path: Path, target: str):
    write_pair(tmp_path, "eye")
    try:
        found = from_folders(tmp_path / "images", tmp_path / "masks", target=target, name="mine")
    except UsageError as error:
        assert_clear(error, 2, "no target")
        assert not re.search("[a-z0-9]", target.lower())
    else:
        assert re.fullmatch("[a-z0-9][a-z0-9-]*", found.target.name)


def test_a_csv_gives_pairs_splits_ids_and_groups(tmp_path: Path):
    for stem in ("a", "b", "c"):
        write_pair(tmp_path, stem)
    text = (
        "\ufeffid,image,mask,split,camera\n"
        "first,images/a.png,masks/a.png;masks/b.png,train,Neo\n"
        ",images/b.png,,train,\n"
        "third,images/c.png,masks/c.png,test,RetCam\n"
    )
    found = table(tmp_path, text, split="train")
    root = tmp_path
    both = (root / "masks/a.png", root / "masks/b.png")
    assert found.samples == (
        Sample("first", root / "images/a.png", both, "Neo"),
        Sample("b", root / "images/b.png", ()),
    )
    assert len(table(tmp_path, text).samples) == 3


@pytest.mark.parametrize(
    ("text", "split", "words"),
    [
        ("", "all", ["none", "not image"]),
        ("picture,mask\na,b\n", "all", ["mask, picture", "not image"]),
        ("image,mask\n", "all", ["no rows"]),
        ("image,mask\na.png,b.png\n", "train", ["no column 'split'"]),
        ("image,mask,split\na.png,b.png,test\n", "train", ["no rows", "'train'"]),
        ("image,mask\na.png,b.png;c.png\n", "all", ["3 files", "a.png", "b.png", "c.png"]),
        ("image,mask\n\n,\n", "all", ["1 files"]),
    ],
    ids=["empty", "columns", "no rows", "no split", "other split", "missing files", "blank"],
)
def test_a_csv_that_cannot_be_used_is_refused(
    tmp_path: Path, text: str, split: str, words: list[str]
):
    with pytest.raises(DatasetError) as caught:
        table(tmp_path, text, split=split)
    assert_clear(caught.value, 6, "index.csv", *words)


def test_what_is_no_csv_is_refused(tmp_path: Path):
    with pytest.raises(NotFoundError) as missing:
        read_rows(tmp_path / "index.csv", ["image"])
    assert_clear(missing.value, 3, "there is no file", "index.csv")
    (tmp_path / "index.csv").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(DatasetError) as caught:
        read_rows(tmp_path / "index.csv", ["image"])
    assert_clear(caught.value, 6, "index.csv")


@pytest.mark.parametrize(
    ("name", "target", "split", "words"),
    [
        ("drive", "disc", "test", ["'drive'", "hvdropdb, idrid"]),
        ("idrid", "ridge", "test", ["'ridge'", "disc, ex, he, lesions, ma, se"]),
        ("hvdropdb", "ridge", "validation", ["'validation'", "train, test and all"]),
    ],
)
def test_an_unknown_name_target_or_split_is_a_usage_error(
    tmp_path: Path, name: str, target: str, split: str, words: list[str]
):
    with pytest.raises(UsageError) as caught:
        open_dataset(name, tmp_path, target=target, split=split)
    assert_clear(caught.value, 2, *words)


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("folder", ["empty", "none"])
def test_a_wrong_folder_is_refused(tmp_path: Path, name: str, folder: str):
    (tmp_path / "empty").mkdir()
    target = min(PUBLISHED[name][1])
    with pytest.raises(DatasetError) as caught:
        open_dataset(name, tmp_path / folder, target=target, split="all")
    assert_clear(caught.value, 6, str(tmp_path / folder))


def test_every_published_target_is_keyed_by_its_name():
    for _, targets in PUBLISHED.values():
        assert {name: target.name for name, target in targets.items()} == {
            name: name for name in targets
        }


def test_an_image_without_a_lesion_file_has_no_such_lesion(tmp_path: Path):
    found = open_dataset("idrid", idrid_like(tmp_path), target="he", split="train")
    assert [len(sample.masks) for sample in found.samples] == [1, 0]


def test_idrid_without_the_folder_of_a_target_is_refused(tmp_path: Path):
    root = idrid_like(tmp_path)
    (root / TRUTHS / "5. Optic Disc").rename(root / "elsewhere")
    with pytest.raises(DatasetError) as caught:
        open_dataset("idrid", root, target="disc", split="train")
    assert_clear(caught.value, 6, "5. Optic Disc")


def test_idrid_has_its_published_split(data: Path):
    idrid = data / "IDRiD"
    counts = {"train": 54, "test": 27, "all": 81}
    for split, count in counts.items():
        found = open_dataset("idrid", idrid, target="disc", split=split)
        assert len({sample.id for sample in found.samples}) == count
        assert all(len(sample.masks) == 1 for sample in found.samples)
    inner = open_dataset("idrid", idrid / "A. Segmentation", target="disc", split="all")
    assert inner.samples == found.samples
    assert found.licence.id == "CC-BY-4.0"


@pytest.mark.parametrize(
    ("target", "split", "masks"),
    [
        ("se", "train", {1: 26, 0: 28}),
        ("se", "test", {1: 14, 0: 13}),
        ("he", "train", {1: 53, 0: 1}),
        ("ex", "all", {1: 81}),
        ("lesions", "train", {4: 26, 3: 27, 2: 1}),
    ],
)
def test_idrid_has_no_file_where_there_is_no_lesion(
    data: Path, target: str, split: str, masks: dict[int, int]
):
    found = open_dataset("idrid", data / "IDRiD", target=target, split=split)
    assert Counter(len(sample.masks) for sample in found.samples) == masks


@pytest.mark.parametrize("target", ["ex", "disc"])
def test_idrids_last_test_image_is_read_though_one_mask_is_rgba(data: Path, target: str):
    samples = open_dataset("idrid", data / "IDRiD", target=target, split="test").samples
    (last,) = (sample for sample in samples if sample.id == "IDRiD_81")
    with Image.open(last.masks[0]) as raw:
        assert raw.mode == {"ex": "RGBA", "disc": "P"}[target]
        plain = np.asarray(raw)
    expected = plain[..., 0] == 255 if target == "ex" else plain == 1
    np.testing.assert_array_equal(read_mask(last.masks[0], size=(4288, 2848)), expected)


@pytest.mark.parametrize(("split", "neo", "retcam"), [("train", 38, 37), ("test", 12, 13)])
def test_hvdropdb_has_the_projects_split(data: Path, split: str, neo: int, retcam: int):
    found = open_dataset("hvdropdb", data / "HVDROPDB-RIDGE", target="ridge", split=split)
    groups = Counter(sample.group for sample in found.samples)
    assert groups == {"Neo": neo, "RetCam": retcam}


def test_hvdropdb_is_split_alike_in_both_layouts(data: Path):
    original, index = data / "HVDROPDB_original_layout_sample", data / "HVDROPDB-RIDGE"
    for split in ("train", "test"):
        few = open_dataset("hvdropdb", original, target="ridge", split=split).samples
        many = open_dataset("hvdropdb", index, target="ridge", split=split).samples
        assert few
        assert {(one.id, one.group) for one in few} <= {(one.id, one.group) for one in many}
    both = open_dataset("hvdropdb", original, target="ridge", split="all").samples
    assert len(both) == 6
    nearer = next(original.rglob("HVDROPDB-RIDGE"))
    assert open_dataset("hvdropdb", nearer, target="ridge", split="all").samples == both


def test_hvdropdbs_masks_are_the_same_in_both_layouts(data: Path):
    """The copy is smaller, so the halos of the original are compared at a common size."""
    index = data / "HVDROPDB-RIDGE"
    many = open_dataset("hvdropdb", index, target="ridge", split="all").samples
    copies = {sample.id: sample for sample in many}
    original = data / "HVDROPDB_original_layout_sample"
    for sample in open_dataset("hvdropdb", original, target="ridge", split="all").samples[2:4]:
        one = area_mask(read_mask(sample.masks[0], size=decode(sample.image).size), 392)
        other = area_mask(read_mask(copies[sample.id].masks[0]), 392)
        assert 2 * (one & other).sum() / (one.sum() + other.sum()) > 0.97
