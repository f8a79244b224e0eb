import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from eyes import make_csv, make_folders
from PIL import Image

from retq_hub import artifact, datasets, registry
from retq_hub.backbone import LazyBackbone
from retq_hub.dataset import Dataset
from retq_hub.embedded import REGISTRY
from retq_hub.errors import DatasetError, ManifestError, UsageError
from retq_hub.training import Recipe, Trained, train
from retq_hub.validation import validate


@pytest.fixture
def spots(tmp_path: Path, cache: Path) -> Dataset:
    images, masks = make_folders(tmp_path / "data")
    return datasets.from_folders(images, masks, target="bright spot", name="spots")


def run(dataset: Dataset, folder: Path, **recipe: object) -> Trained:
    return train(
        dataset,
        folder,
        name="spot",
        recipe=Recipe(**recipe),
        backbone=LazyBackbone("tiny-vit"),
    )


def test_training_writes_an_intact_artifact_that_reproduces(
    spots: Dataset, registry_folder: Path, tmp_path: Path
) -> None:
    done = run(spots, tmp_path / "spot")
    verdict = validate(done.folder, replay=True)
    assert verdict.ok
    assert verdict.reproduces
    assert done.manifest.targets[0].name == "bright-spot"
    assert done.decrement < 1e-8


def test_the_same_data_gives_the_same_bytes(
    spots: Dataset, registry_folder: Path, tmp_path: Path
) -> None:
    first, second = run(spots, tmp_path / "a"), run(spots, tmp_path / "b")
    assert first.manifest.digest == second.manifest.digest
    for name in (artifact.QUERY, artifact.GOLDEN, artifact.MANIFEST, artifact.CARD):
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes()


def test_the_search_looks_at_every_candidate_and_keeps_the_best(
    spots: Dataset, registry_folder: Path, tmp_path: Path
) -> None:
    done = run(spots, tmp_path / "q", max_layers=2, l2=1e-3)
    tried = {trial.layers for trial in done.choice.trials}
    assert {(0,), (1,), (2,)} <= tried
    assert len(tried) == 5
    assert done.choice.best.dice == max(trial.dice for trial in done.choice.trials)
    assert done.manifest.basis.layers == done.choice.best.layers


def test_given_layers_and_l2_are_taken_as_they_are(
    spots: Dataset, registry_folder: Path, tmp_path: Path
) -> None:
    done = run(spots, tmp_path / "q", layers=(2, 0), l2=0.01)
    assert done.manifest.basis.layers == (2, 0)
    assert done.manifest.training.l2 == 0.01
    assert done.manifest.training.selection == "given"
    assert len(done.choice.trials) == 1


@pytest.mark.parametrize("layers", [(), (3,), (-1,), (1, 1)])
def test_layers_that_cannot_be_read_are_refused(
    layers: tuple[int, ...], spots: Dataset, registry_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="cannot be read from tiny-vit; name some of 0-2"):
        run(spots, tmp_path / "q", layers=layers)
    assert not (tmp_path / "q").exists()


def test_a_target_on_no_image_is_refused(
    cache: Path, registry_folder: Path, tmp_path: Path
) -> None:
    images, masks = make_folders(tmp_path / "data", 3)
    for path in masks.iterdir():
        Image.new("1", (120, 96)).save(path)
    empty = datasets.from_folders(images, masks, target="spot", name="spots")
    with pytest.raises(DatasetError, match="none of the 3 masks marks spot"):
        run(empty, tmp_path / "q")


def test_one_image_is_refused(cache: Path, registry_folder: Path, tmp_path: Path) -> None:
    images, masks = make_folders(tmp_path / "data", 1)
    single = datasets.from_folders(images, masks, target="spot", name="spots")
    with pytest.raises(DatasetError, match="has one image"):
        run(single, tmp_path / "q")


def test_all_bad_masks_are_named_at_once(
    cache: Path, registry_folder: Path, tmp_path: Path
) -> None:
    images, masks = make_folders(tmp_path / "data", 4)
    Image.new("1", (10, 10)).save(masks / "eye0_spot.png")
    (masks / "eye2_spot.png").write_bytes(b"")
    found = datasets.from_folders(images, masks, target="spot", name="spots")
    with pytest.raises(DatasetError, match=r"2 of 4 .*eye0_spot.*10 x 10.*eye2_spot.*empty"):
        run(found, tmp_path / "q")


def test_a_killed_run_carries_on(cache: Path, registry_folder: Path, tmp_path: Path) -> None:
    table = make_csv(tmp_path / "data", 60)
    command = [sys.executable, "-m", "retq_hub.cli", "train", "--csv", str(table)]
    command += ["--target", "spot", "--backbone", "tiny-vit", "--layers", "1", "--l2", "0.001"]
    command += ["-o", str(tmp_path / "q")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=dict(os.environ))
    deadline = time.monotonic() + 60
    while len(list((cache / "tokens").rglob("*.safetensors"))) < 3:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "q").exists()
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert validate(tmp_path / "q").ok


def same_vector(folder: Path, shipped: Path) -> float:
    one, other = artifact.read(folder).vector, artifact.read(shipped).vector
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dataset", "place", "target"),
    [
        ("idrid-disc", "idrid", "IDRiD", "disc"),
        ("idrid-lesions", "idrid", "IDRiD", "lesions"),
        ("rop-ridge", "hvdropdb", "HVDROPDB-RIDGE", "ridge"),
    ],
)
def test_a_shipped_query_is_trained_again(
    name: str, dataset: str, place: str, target: str, data: Path, tmp_path: Path
) -> None:
    shipped = artifact.read_manifest(registry.locate(name))
    split = datasets.open_dataset(dataset, data / place, target=target, split="train")
    assert split.digest == shipped.data[0].split_digest
    recipe = Recipe(layers=shipped.basis.layers, l2=shipped.training.l2)
    done = train(split, tmp_path / name, name=name, recipe=recipe)
    assert same_vector(done.folder, REGISTRY / f"queries/{name}/{shipped.version}") < 1e-3
    assert done.manifest.head.thresholds == pytest.approx(shipped.head.thresholds, abs=0.01)
    if name == "idrid-disc":
        again = train(split, tmp_path / "again", name=name, recipe=recipe)
        assert again.manifest.digest == done.manifest.digest


def test_a_folder_that_holds_something_else_is_not_overwritten(
    spots: Dataset, registry_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/draft.txt").write_text("years of work")
    with pytest.raises(UsageError, match="holds no artifact: nothing in it is overwritten"):
        run(spots, tmp_path / "thesis", layers=(1,), l2=1e-3)
    assert (tmp_path / "thesis/draft.txt").read_text() == "years of work"


def test_an_artifact_is_replaced_and_other_files_beside_it_stay(
    spots: Dataset, registry_folder: Path, tmp_path: Path
) -> None:
    run(spots, tmp_path / "q", layers=(1,), l2=1e-3)
    (tmp_path / "q/notes.txt").write_text("mine")
    done = run(spots, tmp_path / "q", layers=(2,), l2=1e-3)
    assert done.manifest.basis.layers == (2,)
    assert (tmp_path / "q/notes.txt").read_text() == "mine"


def test_a_name_that_cannot_be_is_refused_before_anything_is_computed(
    spots: Dataset, registry_folder: Path, cache: Path, tmp_path: Path
) -> None:
    with pytest.raises(ManifestError, match=r"2 findings: name: .*Optic.*; version: "):
        train(
            spots,
            tmp_path / "q",
            name="Optic disc",
            version="one",
            backbone=LazyBackbone("tiny-vit"),
        )
    assert not (cache / "tokens").exists()
