import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from eyes import make_csv, make_folders
from sklearn.metrics import roc_auc_score
from support_core import assert_clear

from retq_hub import artifact, cardfile, datasets, schema
from retq_hub.backbone import Backbone
from retq_hub.dataset import Dataset
from retq_hub.errors import BackboneMismatch, DatasetError, UsageError
from retq_hub.evaluation import EVALUATION_PX, evaluate, record
from retq_hub.images import area_mask, decode, read_mask
from retq_hub.metrics import METRICS
from retq_hub.pipeline import Pipeline
from retq_hub.query import Query
from retq_hub.training import Recipe, train


def opened(folder: Path) -> tuple[Dataset, Dataset]:
    """The two splits of the eyes in a folder."""
    train_split, test_split = (
        datasets.from_csv(folder / "eyes.csv", target="spot", split=split, name="eyes")
        for split in ("train", "test")
    )
    return train_split, test_split


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, registry_template: Path) -> Path:
    """A folder with data, a query trained on it and the cache of both; not to be changed."""
    root = tmp_path_factory.mktemp("trained")
    make_csv(root / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETQ_CACHE", str(root / "cache"))
        patch.setenv("RETQ_REGISTRY", str(registry_template))
        recipe, backbone = Recipe(bases=("1",), l2=1e-3), Backbone.asleep("tiny-vit")
        dataset = opened(root / "data")[0]
        train(dataset, root / "spot", name="spot", recipe=recipe, backbone=backbone)
    return root


@pytest.fixture
def spots(
    tmp_path: Path, trained: Path, cache: Path, registry_folder: Path
) -> tuple[Dataset, Dataset, Path]:
    """Training split, test split, and a query trained on the first."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return *opened(tmp_path / "data"), tmp_path / "spot"


def test_the_document_fits_its_schema(spots: tuple[Dataset, Dataset, Path]) -> None:
    _, test, folder = spots
    document = evaluate(folder, test).document()
    assert schema.findings(document, schema.EVALUATION) == []
    assert document["n_images"] == 3
    assert document["query"] == "spot@1.0.0"
    assert set(document["metrics"]) == {
        "auroc", "auprc", "dice", "iou", "dice_at_0.5", "iou_at_0.5", "hd95", "nsd",
    }  # fmt: skip


def test_figures_equal_a_naive_computation_from_the_pipeline(
    spots: tuple[Dataset, Dataset, Path],
) -> None:
    _, test, folder = spots
    found = evaluate(folder, test)
    pipe = Pipeline.from_pretrained([folder])
    calibration = artifact.read_manifest(folder).head.calibration
    assert calibration is not None
    for sample, image in zip(test.samples, found.images, strict=True):
        logits = torch.from_numpy(pipe(sample.image)["spot"].logits)
        big = F.interpolate(logits[None], (EVALUATION_PX, EVALUATION_PX), mode="bilinear")[0, 0]
        big = calibration.scale[0] * big + calibration.offset[0]
        mask = area_mask(read_mask(sample.masks[0]), EVALUATION_PX)
        marked = big.sigmoid().numpy() > found.threshold
        dice = 2 * (marked & mask).sum() / (marked.sum() + mask.sum())
        assert image.values["auroc"] == pytest.approx(
            roc_auc_score(mask.ravel(), big.numpy().ravel()), abs=2e-4
        )
        assert image.values["dice"] == pytest.approx(dice, abs=2e-3)
    mean = np.mean([image.values["dice"] for image in found.images])
    assert found.metrics["dice"].mean == pytest.approx(mean, abs=1e-6)


def test_record_puts_the_figures_into_manifest_and_card(
    spots: tuple[Dataset, Dataset, Path],
) -> None:
    _, test, folder = spots
    card = folder / artifact.CARD
    card.write_text(card.read_text().replace("notes -->", "notes -->\nMine.", 1))
    found = evaluate(folder, test)
    record(folder, found)
    record(folder, found)
    assert cardfile.findings(folder) == []
    assert "Mine." in card.read_text()
    manifest = artifact.read(folder).manifest
    assert len(manifest.metrics) == 1
    assert manifest.metrics[0].values == {name: found.metrics[name] for name in METRICS}
    assert f"{found.metrics['dice'].mean:.4f}" in (folder / artifact.CARD).read_text()


def test_record_refuses_the_split_that_was_trained_on(
    spots: tuple[Dataset, Dataset, Path],
) -> None:
    training, _, folder = spots
    before = (folder / artifact.MANIFEST).read_bytes()
    with pytest.raises(
        UsageError, match="was trained on 5 of the 5 images of split 'train' of eyes"
    ):
        record(folder, evaluate(folder, training))
    assert (folder / artifact.MANIFEST).read_bytes() == before


def test_an_image_without_the_target_counts_for_dice_and_not_for_auroc(
    spots: tuple[Dataset, Dataset, Path], tmp_path: Path
) -> None:
    *_, folder = spots
    table = tmp_path / "data" / "some.csv"
    table.write_text("image,mask\nimages/eye5.png,masks/eye5_spot.png\nimages/eye6.png,\n")
    found = evaluate(folder, datasets.from_csv(table, target="spot", split="all", name="eyes"))
    assert found.document()["n_with_target"] == 1
    assert "auroc" not in found.document()["images"][1]
    assert found.metrics["auroc"].min == found.metrics["auroc"].max
    assert found.images[1].values["dice"] in (0.0, 1.0)


def test_a_query_with_several_targets_needs_the_name_of_one(
    cache: Path, registry_folder: Path, tmp_path: Path, make_query: Callable[..., Path]
) -> None:
    folder = make_query(tmp_path / "two", targets=2)
    images, masks = make_folders(tmp_path / "data", 2)
    other = datasets.from_folders(images, masks, target="spot", name="eyes")
    with pytest.raises(UsageError, match="has targets t0, t1, none is 'spot'"):
        evaluate(folder, other)
    named = datasets.from_folders(images, masks, target="t1", name="eyes")
    logits = Query.from_pretrained(folder).bias
    assert len(evaluate(folder, named).images) == 2
    assert len(logits) == 2


def test_cached_tokens_give_the_same_figures(spots: tuple[Dataset, Dataset, Path]) -> None:
    _, test, folder = spots
    assert evaluate(folder, test).document() == evaluate(folder, test).document()
    assert decode(test.samples[0].image).size == (120, 96)


def test_one_image_of_the_training_split_is_enough_to_refuse(
    spots: tuple[Dataset, Dataset, Path], tmp_path: Path
) -> None:
    *_, folder = spots
    everything = datasets.from_csv(
        tmp_path / "data/eyes.csv", target="spot", split="all", name="eyes"
    )
    found = evaluate(folder, everything)
    assert found.n_trained_on == 5
    with pytest.raises(UsageError, match="was trained on 5 of the 8 images"):
        record(folder, found)


def test_a_published_query_is_not_changed(
    spots: tuple[Dataset, Dataset, Path], registry_folder: Path
) -> None:
    _, test, _ = spots
    published = registry_folder / "queries/tiny-disc/1.0.0"
    before = (published / artifact.MANIFEST).read_bytes()
    with pytest.raises(UsageError, match="a published version never changes"):
        record(published, evaluate(published, test))
    assert (published / artifact.MANIFEST).read_bytes() == before


def test_another_preprocessing_is_refused_though_the_weights_are_the_same(
    spots: tuple[Dataset, Dataset, Path], registry_folder: Path
) -> None:
    _, test, folder = spots
    path = registry_folder / "backbones/tiny-vit.json"
    path.write_text(
        path.read_text().replace('"bicubic",\n    "size_px"', '"bilinear",\n    "size_px"')
    )
    assert "bilinear" in path.read_text()
    with pytest.raises(BackboneMismatch, match="preprocessing"):
        evaluate(folder, test)


def test_the_document_carries_pooled_lesion_and_group_figures(
    spots: tuple[Dataset, Dataset, Path],
) -> None:
    _, test, folder = spots
    cameras = [replace(one, group=("Neo", "RetCam")[n % 2]) for n, one in enumerate(test.samples)]
    found = evaluate(folder, replace(test, samples=tuple(cameras)))
    document = found.document()
    assert schema.findings(document, schema.EVALUATION) == []
    assert document["pooled"]["n_pixels"] == 3 * EVALUATION_PX**2
    assert document["pooled"]["n_positive"] == sum(one["n_positive"] for one in document["images"])
    low, high = document["pooled"]["ci95"]["auprc"]
    assert low <= document["pooled"]["auprc"] <= high
    assert document["lesions"]["n_lesions"] == 3
    assert len(document["lesions"]["sensitivities"]) == len(document["lesions"]["rates"]) == 7
    assert list(document["groups"]) == ["Neo", "RetCam"]
    by_dice = sorted(found.images, key=lambda one: one.values["dice"])
    assert [document["examples"][kind] for kind in ("worst", "median", "best")] == [
        one.id for one in by_dice
    ]


def test_pooled_areas_are_those_of_all_pixels_of_the_pipeline(
    spots: tuple[Dataset, Dataset, Path],
) -> None:
    _, test, folder = spots
    found = evaluate(folder, test)
    pipe = Pipeline.from_pretrained([folder])
    maps = [torch.from_numpy(pipe(one.image)["spot"].logits) for one in test.samples]
    size = (EVALUATION_PX, EVALUATION_PX)
    logits = np.stack([F.interpolate(one[None], size, mode="bilinear")[0, 0] for one in maps])
    masks = np.stack([one.mask(EVALUATION_PX) for one in test.samples])
    assert found.pooled.auroc == pytest.approx(
        roc_auc_score(masks.ravel(), logits.ravel()), abs=1e-3
    )


def test_another_size_gives_nearly_the_same_figures_and_is_not_recorded(
    spots: tuple[Dataset, Dataset, Path],
) -> None:
    _, test, folder = spots
    large = evaluate(folder, test, size_px=512)
    assert large.size_px == 512
    usual = evaluate(folder, test)
    assert large.metrics["dice"].mean == pytest.approx(usual.metrics["dice"].mean, abs=0.05)
    with pytest.raises(UsageError, match="of 512 x 512 pixels; a manifest records those of 392"):
        record(folder, large)


def test_a_query_against_itself_is_a_tie_and_against_another_is_not(
    spots: tuple[Dataset, Dataset, Path], tmp_path: Path
) -> None:
    training, test, folder = spots
    recipe, backbone = Recipe(bases=("1",), l2=10.0), Backbone.asleep("tiny-vit")
    weak = train(training, tmp_path / "weak", name="weak", recipe=recipe, backbone=backbone)
    same = evaluate(folder, test, against=folder).against
    assert same is not None
    assert all((one.mean, one.ties) == (0, one.n_images) for one in same.differences.values())
    found = evaluate(folder, test, against=weak.folder)
    assert found.against is not None
    other = evaluate(weak.folder, test)
    gap = found.metrics["auroc"].mean - other.metrics["auroc"].mean
    assert found.against.query == "weak@1.0.0"
    assert found.against.differences["auroc"].mean == pytest.approx(gap, abs=2e-6)
    assert schema.findings(found.document(), schema.EVALUATION) == []


def test_a_query_for_another_target_is_no_rival(
    spots: tuple[Dataset, Dataset, Path],
) -> None:
    _, test, folder = spots
    with pytest.raises(UsageError, match="spot marks 'spot' and tiny-disc marks 't0'"):
        evaluate(folder, test, against="tiny-disc")


def test_data_without_the_target_anywhere_cannot_be_scored(
    spots: tuple[Dataset, Dataset, Path], tmp_path: Path
) -> None:
    *_, folder = spots
    table = tmp_path / "data" / "none.csv"
    table.write_text("image,mask\nimages/eye5.png,\nimages/eye6.png,\n")
    empty = datasets.from_csv(table, target="spot", split="all", name="eyes")
    with pytest.raises(DatasetError) as caught:
        evaluate(folder, empty)
    assert_clear(caught.value, 6, "no image of split 'all' of eyes shows 'spot'")
