import json
import os
import runpy
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from shutil import copyfile, copytree

import pytest
from conftest import ROOT
from eyes import draw, make_folders
from PIL import Image
from safetensors.torch import save_file
from support_core import assert_clear
from tiny import SPEC, random_state, write_spec

from retq_hub import datasets, registry
from retq_hub.backbone import Backbone
from retq_hub.basis import Basis, Pass
from retq_hub.cardfile import findings
from retq_hub.errors import DatasetError, ImageError, UsageError
from retq_hub.evaluation import evaluate
from retq_hub.kinds import TEXT
from retq_hub.manifest import Head, from_json
from retq_hub.pipeline import Pipeline
from retq_hub.porting import carried, port
from retq_hub.query import Query
from retq_hub.recipe import Recipe
from retq_hub.spec import BackboneSpec
from retq_hub.training import Trained, train
from retq_hub.validation import validate

WIDER = {
    "architecture": SPEC["architecture"]
    | {"args": SPEC["architecture"]["args"] | {"embed_dim": 48, "depth": 6, "img_size": 96}},
    "tokens": SPEC["tokens"] | {"width": 48, "layers": 6, "grid": 6, "candidates": [1, 3, 5]},
    "preprocessing": SPEC["preprocessing"] | {"size_px": 96},
}
"""Another backbone: wider, deeper, larger images."""


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, make_registry: Callable[..., Path]
) -> Iterator[Path]:
    """A folder with a registry of both backbones, images without labels, and a cache."""
    folder = tmp_path_factory.mktemp("porting")
    specs = make_registry(folder / "registry") / "backbones"
    path = write_spec(specs, id="wider-vit", source=folder / "wider.safetensors", **WIDER)
    save_file(random_state(registry.backbone_spec(str(path)), seed=1), folder / "wider.safetensors")
    (folder / "unlabelled").mkdir()
    for number in range(16):
        draw(100 + number)[0].save(folder / f"unlabelled/{number}.png")
    copyfile(folder / "unlabelled/0.png", folder / "unlabelled/again.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETQ_CACHE", str(folder / "cache"))
        patch.setenv("RETQ_REGISTRY", str(folder / "registry"))
        yield folder


@pytest.fixture(autouse=True)
def settings(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use that cache and registry."""
    monkeypatch.setenv("RETQ_CACHE", str(place / "cache"))
    monkeypatch.setenv("RETQ_REGISTRY", str(place / "registry"))


@pytest.fixture(scope="module")
def spots(place: Path) -> Trained:
    """A query trained on masks, for the tiny backbone."""
    images, masks = make_folders(place / "labelled", 10)
    data = datasets.from_folders(images, masks, target="bright spot", name="spots")
    recipe = Recipe(bases=("1",), l2=1e-3)
    backbone = Backbone.asleep("tiny-vit")
    return train(data, place / "spots", name="spots", recipe=recipe, backbone=backbone)


@pytest.fixture(scope="module")
def other(place: Path) -> Backbone:
    """Another backbone."""
    return Backbone.asleep("wider-vit")


@pytest.fixture(scope="module")
def images(place: Path) -> Path:
    """A folder of images without labels, one of them twice."""
    return place / "unlabelled"


@pytest.fixture(scope="module")
def done(spots: Trained, other: Backbone, images: Path, place: Path) -> Trained:
    """The query carried to the other backbone."""
    return port(spots.folder, other, images, place / "ported", name="ported-spots")


def test_a_query_is_carried_to_another_backbone(spots: Trained, done: Trained) -> None:
    manifest, source = done.manifest, spots.manifest
    assert manifest.backbone.id == "wider-vit"
    assert manifest.targets == source.targets
    assert manifest.metrics == ()
    assert manifest.training.recipe == "ported"
    (origin,) = manifest.derived or ()
    assert (origin.how, origin.digest) == ("ported from", source.digest)
    assert manifest.data[0] == source.data[0]
    assert manifest.data[1].n_images == 12
    assert len(manifest.data[1].photographs or ()) == 12
    assert manifest.head.thresholds == (0.5,)
    (figures,) = manifest.agreement or ()
    assert figures.n_images == 4
    assert figures.values["dice"].value > 0.6
    assert figures.values["correlation"].value > 0.6
    verdict = validate(done.folder, replay=True)
    assert verdict.ok and verdict.reproduces
    assert findings(done.folder) == []
    assert "Not measured" in (done.folder / "README.md").read_text()


def test_what_is_carried_marks_what_the_masks_mark(
    spots: Trained, done: Trained, tmp_path: Path
) -> None:
    files = make_folders(tmp_path / "new", 18)
    data = datasets.from_folders(*files, target="bright spot", name="new")
    data = replace(data, samples=tuple(one for one in data.samples if int(one.id[3:]) >= 10))
    ours = evaluate(done.folder, data, size_px=64).metrics["dice"].mean
    theirs = evaluate(spots.folder, data, size_px=64).metrics["dice"].mean
    assert ours > theirs - 0.05
    assert ours > 0.55


def test_the_same_images_give_the_same_bytes_whatever_is_cached(
    spots: Trained,
    other: Backbone,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = port(spots.folder, other, images, tmp_path / "a", name="p", bases=("3",), l2=1e-3)
    monkeypatch.setenv("RETQ_CACHE", str(tmp_path / "cache"))
    again = port(spots.folder, other, images, tmp_path / "b", name="p", bases=("3",), l2=1e-3)
    assert made.manifest == again.manifest


def test_a_query_can_be_carried_to_a_cheaper_basis_of_its_own_backbone(
    spots: Trained, images: Path, tmp_path: Path
) -> None:
    tiny = Backbone.asleep("tiny-vit")
    done = port(spots.folder, tiny, images, tmp_path / "p", name="p", bases=("2",), l2=1e-3)
    assert done.manifest.basis.layers == (2,)
    pipe = Pipeline.from_pretrained([spots.folder, done.folder])
    found = pipe(images / "3.png")
    overlap = (found["spots"].mask & found["p"].mask).sum()
    assert 2 * overlap > 0.7 * (found["spots"].mask.sum() + found["p"].mask.sum())


def test_a_query_that_is_carried_nowhere_finds_itself(
    spots: Trained, images: Path, tmp_path: Path
) -> None:
    done = port(spots.folder, "tiny-vit", images, tmp_path / "p", name="p", bases=("1",), l2=1e-9)
    (figures,) = done.manifest.agreement or ()
    assert figures.values["correlation"].value > 0.999
    assert figures.values["dice"].value > 0.9
    found = done.manifest.head.calibration
    assert found is not None and found.offset and found.scale and found.shift
    assert found.scale[0] == pytest.approx(1, abs=0.1)
    assert found.offset[0] - found.shift[0] == pytest.approx(0, abs=0.3)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_several_targets_are_carried_together(
    activation: str, make_query: Callable[..., Path], images: Path, tmp_path: Path
) -> None:
    head = Head(activation=activation, thresholds=(0.4, 0.3), threshold_choice="given")
    source = make_query(tmp_path / "q", targets=2, head=head)
    done = port(source, "wider-vit", images, tmp_path / "p", name="p", bases=("3",), l2=1e-3)
    assert done.manifest.head.activation == activation
    assert done.manifest.head.calibration is None
    assert [one.target for one in done.manifest.agreement or ()] == ["t0", "t1"]
    assert [len(one.n_positive) for one in done.manifest.data] == [2, 2]
    assert validate(done.folder).ok


def test_layers_are_carried_by_their_relative_depth() -> None:
    tiny = from_json(SPEC | WIDER | {"id": "wide"}, BackboneSpec)
    small = from_json(SPEC, BackboneSpec)
    basis = Basis(
        passes=(
            Pass(size_px=64, tiles=2, layers=(0, 2), overlap_px=32),
            Pass(size_px=64, tiles=1, layers=(1,)),
        ),
        norm=True,
        views=("plain", "mirrored"),
    )
    found = carried(basis, small, tiny)
    assert found.passes == (
        Pass(size_px=96, tiles=2, layers=(1, 5), overlap_px=48),
        Pass(size_px=96, tiles=1, layers=(3,)),
    )
    assert found.views == basis.views
    assert carried(basis, small, tiny, shift=9).layers == (5, 5)
    back = carried(found, tiny, small)
    assert back == basis


def test_bad_images_are_refused(
    spots: Trained, other: Backbone, images: Path, tmp_path: Path
) -> None:
    def refused(folder: Path, error: type[Exception] = DatasetError) -> Exception:
        with pytest.raises(error) as found:
            port(spots.folder, other, folder, tmp_path / "p", name="p", bases=("3",))
        return found.value

    assert_clear(refused(tmp_path / "none"), 6, "no folder")
    (tmp_path / "empty").mkdir()
    assert_clear(refused(tmp_path / "empty"), 6, "no images")
    few = tmp_path / "few"
    few.mkdir()
    for number in range(3):
        draw(number)[0].save(few / f"{number}.png")
    assert_clear(refused(few), 6, "3 different images", "10")
    copytree(images, tmp_path / "broken")
    (tmp_path / "broken/1.png").write_bytes(b"no image")
    assert_clear(refused(tmp_path / "broken", ImageError), 6, "1.png")


def test_images_without_anything_marked_are_refused(
    spots: Trained, other: Backbone, tmp_path: Path
) -> None:
    folder = tmp_path / "dark"
    folder.mkdir()
    for number in range(12):
        Image.new("RGB", (40, 40), (number, 0, 0)).save(folder / f"{number}.png")
    with pytest.raises(DatasetError) as found:
        port(spots.folder, other, folder, tmp_path / "p", name="p")
    assert_clear(found.value, 6, "bright spot", "none of the 12 images")
    assert not (tmp_path / "p").exists()


def test_only_what_marks_pixels_is_carried(
    spots: Trained, other: Backbone, images: Path, tmp_path: Path
) -> None:
    query = Query.from_pretrained(spots.folder)
    query.manifest = replace(query.manifest, kind=TEXT)
    with pytest.raises(UsageError) as found:
        port(query, other, images, tmp_path / "p", name="p")
    assert_clear(found.value, 2, "text", "compile")


def test_a_basis_that_the_other_backbone_cannot_give_is_refused(
    spots: Trained, other: Backbone, images: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as found:
        port(spots.folder, other, images, tmp_path / "p", name="p", bases=("7",))
    assert_clear(found.value, 2, "7", "0-5")


def test_the_command_says_how_far_both_agree(
    spots: Trained, images: Path, place: Path, tmp_path: Path, retq_folder: Path
) -> None:
    def run(*more: object) -> subprocess.CompletedProcess[str]:
        options = ("--to", "wider-vit", "-o", tmp_path / "my-port", "--basis", "3", "--l2", "0.001")
        command = ("port", spots.folder, "--images", images, *options, *more)
        return subprocess.run(
            [retq_folder / "retq", *map(str, command)],
            env=os.environ | {"COLUMNS": "80"},
            capture_output=True,
            text=True,
        )

    plain = run()
    assert plain.returncode == 0, plain.stderr
    lines = plain.stdout.splitlines()
    assert lines[0].startswith("my-port against spots 1.0.0 on 4 images")
    assert lines[-1] == str(tmp_path / "my-port")
    assert max(map(len, lines[:-1])) <= 80
    document = json.loads(run("--json").stdout)
    assert document["derived"][0]["how"] == "ported from"
    assert document["agreement"][0]["n_images"] == 4
    wrong = run("--version", "new")
    assert (wrong.returncode, "is no version" in wrong.stderr) == (2, True)


def test_the_example_runs(
    spots: Trained,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [str(spots.folder), "wider-vit", str(images), str(tmp_path / "wide")]
    monkeypatch.setattr("sys.argv", ["porting.py", *arguments])
    runpy.run_path(str(ROOT / "examples/porting.py"))
    said = capsys.readouterr().out
    assert "spots 1.0.0 was made for tiny-vit" in said
    assert "bright-spot: dice 0." in said
