import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from eyes import make_csv, make_folders
from numpy.typing import NDArray
from PIL import Image, ImageOps
from support_core import assert_clear

from retq_hub import artifact, cardfile, datasets, registry, twins
from retq_hub.backbone import Backbone
from retq_hub.channels import METHOD
from retq_hub.dataset import Dataset
from retq_hub.embedded import REGISTRY
from retq_hub.errors import BadInputError, DatasetError, ManifestError, UsageError
from retq_hub.evaluation import EVALUATION_PX, evaluate
from retq_hub.features import TokenCache
from retq_hub.heads import pixel_logits, probabilities
from retq_hub.losses import CrossEntropy, SoftDice, SoftmaxEntropy
from retq_hub.notation import written
from retq_hub.picture import about
from retq_hub.pipeline import Pipeline
from retq_hub.progress import Silent
from retq_hub.query import Query
from retq_hub.recipe import Recipe
from retq_hub.training import Trained, train
from retq_hub.validation import validate


@pytest.fixture
def spots(tmp_path: Path, cache: Path) -> Dataset:
    images, masks = make_folders(tmp_path / "data")
    return datasets.from_folders(images, masks, target="bright spot", name="spots")


def run(dataset: Dataset | list[Dataset], folder: Path, **recipe: object) -> Trained:
    return train(
        dataset,
        folder,
        name="spot",
        recipe=Recipe(**recipe),
        backbone=Backbone.asleep("tiny-vit"),
    )


def test_training_writes_an_intact_artifact_that_reproduces(
    spots: Dataset, registry_folder: Path, tmp_path: Path
) -> None:
    done = run(spots, tmp_path / "spot")
    verdict = validate(done.folder, replay=True)
    assert verdict.ok
    assert verdict.reproduces
    assert done.manifest.targets[0].name == "bright-spot"
    assert done.manifest.data[0].photographs == twins.photographs(spots.samples, progress=Silent())
    assert done.curve.rows[-1].gauge < 1e-8


def test_the_same_data_gives_the_same_bytes_whatever_is_cached(
    spots: Dataset, registry_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(spots, tmp_path / "a")
    again = run(spots, tmp_path / "again")
    assert again.manifest.digest == first.manifest.digest
    monkeypatch.setenv("RETQ_CACHE", str(tmp_path / "another cache"))
    second = run(spots, tmp_path / "b")
    assert first.manifest.digest == second.manifest.digest
    for name in ("QUERY", "GOLDEN", "MANIFEST", "CARD", "PICTURE"):
        name = getattr(artifact, name)
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes()


def test_training_again_keeps_what_was_written_into_the_card(
    spots: Dataset, registry_folder: Path, tmp_path: Path
) -> None:
    folder = run(spots, tmp_path / "q").folder
    assert cardfile.findings(folder) == []
    assert about((folder / artifact.PICTURE).read_bytes()).example
    card = folder / artifact.CARD
    card.write_text(card.read_text().replace("notes -->", "notes -->\nMine.", 1))
    run(spots, folder, bases=("0",), l2=0.01)
    assert cardfile.handwriting(folder).notes.startswith("Mine.")
    assert cardfile.findings(folder) == artifact.findings(folder) == []
    assert f"]({artifact.PICTURE})" in card.read_text()


def test_a_card_that_is_no_text_is_refused_before_the_work(
    spots: Dataset, registry_folder: Path, cache: Path, tmp_path: Path
) -> None:
    folder = run(spots, tmp_path / "q").folder
    (folder / artifact.CARD).write_bytes(b"\xff\xfe")
    before = (folder / artifact.MANIFEST).read_bytes()
    with pytest.raises(BadInputError, match="is no UTF-8 text"):
        run(spots, folder, bases=("0",), l2=0.01)
    assert (folder / artifact.MANIFEST).read_bytes() == before


def test_the_search_looks_at_every_candidate_and_keeps_the_best(
    spots: Dataset, registry_folder: Path, tmp_path: Path
) -> None:
    done = run(spots, tmp_path / "q", max_layers=2, l2=1e-3)
    training = done.manifest.training
    tried = {trial.basis for trial in training.trials}
    assert {"1x1:0", "1x1:1", "1x1:2"} < tried
    assert len(tried) == 5
    best = max(training.trials, key=lambda trial: trial.measure)
    assert best.basis == f"1x1:{','.join(map(str, done.manifest.basis.layers))}"
    assert "basis among 5" in training.selection
    assert f"a mean of {best.measure:.4f}" in done.manifest.head.threshold_choice


def test_tilings_are_searched_too(spots: Dataset, registry_folder: Path, tmp_path: Path) -> None:
    done = run(spots, tmp_path / "q", max_tiles=2, l2=1e-3)
    tried = {trial.basis for trial in done.manifest.training.trials}
    assert tried == {f"{tiles}x{tiles}:{layer}" for tiles in (1, 2) for layer in (0, 1, 2)}
    assert validate(done.folder, replay=True).reproduces
    assert done.manifest.training.backbone_passes == 8 * done.manifest.basis.passes[0].tiles ** 2


def test_a_given_basis_and_l2_are_taken_as_they_are(
    spots: Dataset, registry_folder: Path, tmp_path: Path
) -> None:
    done = run(spots, tmp_path / "q", bases=("2,0",), l2=0.01)
    assert done.manifest.basis.layers == (2, 0)
    assert done.manifest.training.l2 == 0.01
    assert done.manifest.training.selection == "given"
    assert [trial.basis for trial in done.manifest.training.trials] == ["1x1:2,0"]


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"bases": ("3",)}, ("tiny-vit has no layers [3]", "0-2")),
        ({"bases": ("-1",)}, ("'-1' is no pass",)),
        ({"bases": ("1,1",)}, ("names a layer twice",)),
        ({"bases": ("65x65:1",)}, ("at most 4096",)),
        ({"bases": ("1x1@70:1",)}, ("70 pixels", "patch, 16")),
        ({"l2": 0.0}, ("L2 weight of 0",)),
        ({"views": ("plain", "sideways")}, ("sideways",)),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_before_anything_is_computed(
    recipe: dict[str, object],
    words: tuple[str, ...],
    spots: Dataset,
    registry_folder: Path,
    cache: Path,
    tmp_path: Path,
) -> None:
    with pytest.raises(UsageError) as caught:
        run(spots, tmp_path / "q", **recipe)
    assert_clear(caught.value, 2, *words)
    assert not (tmp_path / "q").exists()
    assert not (cache / "tokens").exists()


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


def test_copies_of_one_image_are_one_image(
    cache: Path, registry_folder: Path, tmp_path: Path
) -> None:
    images, masks = make_folders(tmp_path / "data", 1)
    for number in (1, 2):
        (images / f"eye{number}.png").write_bytes((images / "eye0.png").read_bytes())
        (masks / f"eye{number}_spot.png").write_bytes((masks / "eye0_spot.png").read_bytes())
    copies = datasets.from_folders(images, masks, target="spot", name="spots")
    with pytest.raises(DatasetError, match="has one image"):
        run(copies, tmp_path / "q")


def test_a_target_on_one_image_alone_is_refused(
    cache: Path, registry_folder: Path, tmp_path: Path
) -> None:
    images, masks = make_folders(tmp_path / "data", 4)
    for number in (0, 1, 3):
        Image.new("1", (120, 96)).save(masks / f"eye{number}_spot.png")
    found = datasets.from_folders(images, masks, target="spot", name="spots")
    with pytest.raises(DatasetError) as caught:
        run(found, tmp_path / "q")
    assert_clear(caught.value, 6, "only one image shows spot", "at least 2")


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
    command += ["--target", "spot", "--backbone", "tiny-vit", "--basis", "1", "--l2", "0.001"]
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
    basis, led = written(shipped.basis, size_px=392), shipped.head.guided is not None
    recipe = Recipe(bases=(basis,), l2=shipped.training.l2, sharpen=led)
    done = train(split, tmp_path / name, name=name, recipe=recipe)
    assert same_vector(done.folder, REGISTRY / f"queries/{name}/{shipped.version}") < 1e-3
    head, calibration = done.manifest.head, done.manifest.head.calibration
    assert head.thresholds == shipped.head.thresholds == (0.5,)
    assert head.guided == shipped.head.guided
    assert calibration is not None and shipped.head.calibration is not None
    assert calibration.offset == pytest.approx(shipped.head.calibration.offset, abs=0.02)
    if name == "idrid-disc":
        again = train(split, tmp_path / "again", name=name, recipe=recipe)
        assert again.manifest.digest == done.manifest.digest


def test_a_folder_that_holds_something_else_is_not_overwritten(
    spots: Dataset, registry_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/draft.txt").write_text("years of work")
    with pytest.raises(UsageError, match="holds no artifact: nothing in it is overwritten"):
        run(spots, tmp_path / "thesis", bases=("1",), l2=1e-3)
    assert (tmp_path / "thesis/draft.txt").read_text() == "years of work"


def test_an_artifact_is_replaced_and_other_files_beside_it_stay(
    spots: Dataset, registry_folder: Path, tmp_path: Path
) -> None:
    run(spots, tmp_path / "q", bases=("1",), l2=1e-3)
    (tmp_path / "q/notes.txt").write_text("mine")
    done = run(spots, tmp_path / "q", bases=("2",), l2=1e-3)
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
            backbone=Backbone.asleep("tiny-vit"),
        )
    assert not (cache / "tokens").exists()


LAYOUT = "1x1:1"


def discs(root: Path, count: int = 7) -> tuple[Dataset, Dataset, Dataset]:
    """Eyes with a cup in a disc: the whole disc, its rim without the cup, and the cup."""
    places = {name: root / name for name in ("images", "disc", "rim", "cup")}
    for place in places.values():
        place.mkdir(parents=True)
    for number in range(count):
        rng = np.random.default_rng(number)
        y, x = np.mgrid[:96, :120]
        distance = np.hypot(x - rng.uniform(35, 85), y - rng.uniform(30, 66))
        pixels = np.where(distance[..., None] < 24, (230, 150, 60), (110, 45, 25))
        pixels = np.where(distance[..., None] < 12, (255, 245, 200), pixels)
        noisy = (pixels + rng.normal(0, 6, pixels.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(places["images"] / f"eye{number}.png")
        masks = {"disc": distance < 24, "cup": distance < 12}
        masks["rim"] = masks["disc"] & ~masks["cup"]
        for name, mask in masks.items():
            Image.fromarray(mask).save(places[name] / f"eye{number}.png")
    whole, rim, cup = (
        datasets.from_folders(places["images"], places[name], target=name, name="eyes")
        for name in ("disc", "rim", "cup")
    )
    return whole, rim, cup


def test_several_targets_give_one_artifact(
    registry_folder: Path, cache: Path, tmp_path: Path
) -> None:
    whole, _, cup = discs(tmp_path / "data")
    together = run([whole, cup], tmp_path / "both", bases=(LAYOUT,), l2=1e-3)
    query = Query.from_pretrained(together.folder)
    assert query.vector.shape == (2, 32)
    assert [target.name for target in query.manifest.targets] == ["disc", "cup"]
    assert query.manifest.data[0].n_positive == (7, 7)
    assert len(query.manifest.head.thresholds) == 2
    for number, one in enumerate((whole, cup)):
        alone = Query.from_pretrained(
            run(one, tmp_path / f"alone{number}", bases=(LAYOUT,), l2=1e-3).folder
        )
        torch.testing.assert_close(query.vector[number], alone.vector[0], atol=2e-3, rtol=2e-2)
    result = Pipeline.from_pretrained([together.folder])(whole.samples[0].image)["spot"]
    assert result.probability.shape == result.mask.shape == (2, 96, 120)
    assert validate(together.folder, replay=True).reproduces
    for number, one in enumerate((whole, cup)):
        assert evaluate(query, one).threshold == query.manifest.head.thresholds[number]


def test_exclusive_targets_are_marked_once(
    registry_folder: Path, cache: Path, tmp_path: Path
) -> None:
    _, rim, cup = discs(tmp_path / "data")
    done = run([rim, cup], tmp_path / "q", bases=("2x2:1,2",), l2=1e-3, loss=SoftmaxEntropy())
    assert done.manifest.head.activation == "softmax"
    assert "softmax cross-entropy" in done.manifest.training.loss
    assert validate(done.folder, replay=True).reproduces
    pipeline = Pipeline.from_pretrained([done.folder])
    found = [pipeline(sample.image)["spot"] for sample in rim.samples]
    assert max(int(one.mask.sum(axis=0).max()) for one in found) == 1
    assert all(one.probability.sum(axis=0).max() < 1 + 1e-6 for one in found)
    assert all(one.mask.any() for one in found)


@pytest.mark.parametrize(
    "loss", [CrossEntropy(positive_weight=8), SoftDice()], ids=["weight", "dice"]
)
def test_other_losses_give_intact_queries_that_say_so(
    loss: CrossEntropy | SoftDice, spots: Dataset, registry_folder: Path, tmp_path: Path
) -> None:
    plain = run(spots, tmp_path / "plain", bases=(LAYOUT,), l2=1e-3, calibration="none")
    done = run(spots, tmp_path / "q", bases=(LAYOUT,), l2=1e-3, calibration="none", loss=loss)
    assert loss.text in done.manifest.training.loss
    assert validate(done.folder, replay=True).reproduces
    means = []
    for one in (plain, done):
        pipeline = Pipeline.from_pretrained([one.folder])
        results = [pipeline(sample.image)["spot"].probability for sample in spots.samples]
        means.append(float(np.mean(results)))
    assert abs(means[1] - means[0]) > 0.01
    if isinstance(loss, CrossEntropy):
        assert means[1] > 1.5 * means[0]


def test_targets_on_different_images_are_refused(
    spots: Dataset, registry_folder: Path, tmp_path: Path
) -> None:
    whole, *_ = discs(tmp_path / "others")
    with pytest.raises(DatasetError) as caught:
        run([spots, whole], tmp_path / "q")
    assert_clear(caught.value, 6, "drawn on different images")


def test_a_target_named_twice_is_refused(
    spots: Dataset, registry_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="named twice: bright-spot, bright-spot"):
        run([spots, spots], tmp_path / "q")


def test_mirrored_views_stand_for_mirrored_images(
    registry_folder: Path, cache: Path, tmp_path: Path
) -> None:
    images, masks = make_folders(tmp_path / "data", 4)
    once = datasets.from_folders(images, masks, target="spot", name="spots")
    recipe = {"bases": ("1x1:1",), "l2": 1e-2, "calibration": "none"}
    views = run(once, tmp_path / "views", views=("plain", "mirrored"), **recipe)
    assert views.manifest.training.views == ("plain", "mirrored")
    assert views.manifest.training.backbone_passes == 8
    assert views.manifest.basis.views is None
    plain = run(once, tmp_path / "plain", **recipe)
    assert plain.manifest.training.views is None
    for folder in (images, masks):
        for path in sorted(folder.iterdir()):
            stem, dot, rest = path.name.partition("_")
            name = f"{stem}m{dot}{rest}" if dot else f"{path.stem}m.png"
            ImageOps.mirror(Image.open(path)).save(folder / name)
    twice = datasets.from_folders(images, masks, target="spot", name="spots")
    assert len(twice.samples) == 8
    both = run(twice, tmp_path / "both", **recipe)
    assert same_vector(views.folder, both.folder) < 0.02
    assert same_vector(views.folder, plain.folder) > 0.05


RICH = "2x2@64/16:1 + 1x1:2"


@pytest.fixture
def rich(spots: Dataset, registry_folder: Path, tmp_path: Path) -> Trained:
    """A query with all that may be added to it."""
    return run(
        spots, tmp_path / "rich", bases=(RICH,), l2=1e-3, pixels=True, flips=True, sharpen=True
    )


def from_cache(query: Query, dataset: Dataset) -> list[NDArray[np.float32]]:
    """Probabilities at 392 x 392 from the cache, as training and evaluation read it."""
    cache = TokenCache(backbone=Backbone.asleep("tiny-vit"))
    head, basis = query.manifest.head, query.manifest.basis
    found = []
    for sample in dataset.samples:
        grid = query(*(block[None] for block in cache.blocks(sample, basis)))[0]
        logits = pixel_logits(head, grid, EVALUATION_PX, EVALUATION_PX, sample.guide)
        found.append(probabilities(head, logits).numpy())
    return found


def test_the_pipeline_answers_as_training_and_evaluation_saw_it(
    rich: Trained, spots: Dataset
) -> None:
    manifest = rich.manifest
    assert manifest.basis.pixels == METHOD
    trials = {trial.basis: trial.measure for trial in manifest.training.trials if not trial.guided}
    assert trials["2x2/16:1 + 1x1:2 + pixels"] > trials["2x2/16:1 + 1x1:2"] + 0.002
    assert sum(trial.guided is not None for trial in manifest.training.trials) == 6
    assert Query.from_pretrained(rich.folder).vector.shape == (1, 84)
    assert manifest.head.thresholds == (0.5,)
    verdict = validate(rich.folder, replay=True)
    assert verdict.reproduces, verdict.findings
    query = Query.from_pretrained(rich.folder)
    pipeline = Pipeline.from_pretrained([rich.folder])
    scores = evaluate(rich.folder, spots).images
    for sample, expected, score in zip(
        spots.samples, from_cache(query, spots), scores, strict=True
    ):
        result = pipeline(sample.image)["spot"]
        found = result.probability_at(EVALUATION_PX, EVALUATION_PX)
        assert np.abs(found - expected).max() < 0.05
        assert np.abs(found - expected).mean() < 2e-3
        marked = result.mask_at(EVALUATION_PX, EVALUATION_PX)[0]
        mask = sample.mask(EVALUATION_PX)
        dice = 2 * (marked & mask).sum() / (marked.sum() + mask.sum())
        assert dice == pytest.approx(score.values["dice"], abs=5e-3)
    assert np.mean([one.values["dice"] for one in scores]) > 0.8


def test_every_calibration_marks_the_same_pixels(
    spots: Dataset, registry_folder: Path, tmp_path: Path
) -> None:
    masks = {}
    for kind in ("none", "prior", "platt", "isotonic"):
        done = run(spots, tmp_path / kind, bases=(LAYOUT,), l2=1e-3, calibration=kind)
        assert validate(done.folder, replay=True).reproduces
        pipeline = Pipeline.from_pretrained([done.folder])
        masks[kind] = [pipeline(one.image)["spot"].mask_at(392, 392) for one in spots.samples]
    for kind in ("prior", "platt", "isotonic"):
        differ = np.mean([a != b for a, b in zip(masks[kind], masks["none"], strict=True)])
        assert differ < 1e-4, kind


@pytest.mark.parametrize("damage", [0, 100, -1])
def test_a_trial_that_was_cut_off_is_made_anew(
    damage: int, spots: Dataset, registry_folder: Path, cache: Path, tmp_path: Path
) -> None:
    first = run(spots, tmp_path / "a", bases=(LAYOUT,), l2=1e-3)
    (path,) = (cache / "trials").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:damage])
    again = run(spots, tmp_path / "b", bases=(LAYOUT,), l2=1e-3)
    assert again.manifest.digest == first.manifest.digest
    assert path.read_bytes() == whole


def test_the_papers_recipe_gives_an_intact_query_of_the_last_layer(
    spots: Dataset, registry_folder: Path, tmp_path: Path
) -> None:
    done = run(spots, tmp_path / "q", kind="paper", epochs=2)
    assert done.manifest.basis.layers == (2,)
    assert done.manifest.head.thresholds == (0.5,)
    assert done.manifest.training.recipe == "paper"
    assert not Query.from_pretrained(done.folder).bias.any()
    assert len(done.curve.rows) == 2
    assert (done.folder / "training.csv").is_file()
    assert validate(done.folder, replay=True).reproduces


def test_the_papers_recipe_has_no_other_choices(
    spots: Dataset, registry_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no other choices than --seed and --epochs"):
        run(spots, tmp_path / "q", kind="paper", pixels=True)
