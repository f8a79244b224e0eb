"""Tests of `retq_hub.assessment.scoring`, `gradebook`, `matching` and `tally`."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from eyes import draw
from kinds import make_classification, make_text, texted
from safetensors.torch import save_file
from sklearn import metrics as sk
from support_core import assert_clear, edit_manifest
from tiny import Tiny, random_state, write_spec

from retq_hub import artifact, schema
from retq_hub.assessment.scoring import assess, record
from retq_hub.datasets import from_csv as masks_from_csv
from retq_hub.errors import BackboneMismatch, RetqError, UsageError
from retq_hub.evaluation import evaluate
from retq_hub.labels import sets
from retq_hub.labels.labelset import LabelSet
from retq_hub.manifest import Fingerprint, QueryManifest, to_json
from retq_hub.pipeline import Pipeline

N = 9
HEAD = "image,id,group,grade,he,ex,kind\n"


@pytest.fixture
def eyes(tmp_path: Path, cache: Path, registry_folder: Path) -> Path:
    """A CSV of nine photographs with grades 0-2, two findings and two kinds of words."""
    (tmp_path / "eyes").mkdir()
    rows = ""
    for number in range(N):
        draw(number)[0].save(tmp_path / f"eyes/{number}.png")
        group = "Neo" if number < 5 else ""
        kind = ("drusen", "healthy")[number % 2]
        rows += f"eyes/{number}.png,eye{number},{group},{number % 3},{number % 2},1,{kind}\n"
    (tmp_path / "eyes.csv").write_text(HEAD + rows)
    return tmp_path / "eyes.csv"


def labelled(table: Path, *columns: str, scale: str = "ordinal") -> LabelSet:
    return sets.from_csv(table, columns=columns, split="all", scale=scale, name="eyes")


@pytest.fixture
def grader(tiny: Tiny, tmp_path: Path) -> Callable[..., Path]:
    def make(name: str = "tiny-grade", **options: object) -> Path:
        return make_classification(
            tmp_path / name,
            name=name,
            backbone=tiny.backbone,
            **{"activation": "ordinal"} | options,
        )

    return make


def test_what_is_scored_is_what_the_pipeline_says(
    eyes: Path, grader: Callable[..., Path], tiny: Tiny
) -> None:
    for number, options in enumerate(({}, {"method": "embedding"}, {"activation": "softmax"})):
        folder, labels = grader(f"g{number}", **options), labelled(eyes, "grade")
        found = assess(folder, labels)
        pipe = Pipeline.from_pretrained([folder], backbone=tiny.backbone)
        said = [pipe(one.image)[folder.name] for one in labels.samples]
        for image, one in zip(found.images, said, strict=True):
            # Cached tokens are float16.
            np.testing.assert_allclose(image.probabilities, one.probabilities, atol=2e-3)
            assert image.predicted == (one.prediction,)
        truth, grades = labels.values, [one.grade for one in said]
        kappa = sk.cohen_kappa_score(truth, grades, weights="quadratic")
        if np.isfinite(kappa):
            assert found.figures["quadratic_kappa"].value == pytest.approx(kappa, abs=1e-6)
        assert found.figures["accuracy"].value == pytest.approx(np.mean(truth == grades), abs=1e-6)
        expected = sk.confusion_matrix(truth, grades, labels=range(3))
        np.testing.assert_array_equal(found.confusion, expected)
        for row, one in enumerate(found.classes):
            recall = sk.recall_score(truth, grades, labels=[row], average="macro")
            assert one.sensitivity == pytest.approx(recall)
            assert (one.n_images, one.n_predicted) == (3, grades.count(row))
        assert not schema.findings(found.document(), schema.ASSESSMENT)


def test_findings_are_scored_side_by_side(eyes: Path, grader: Callable[..., Path]) -> None:
    folder = grader(activation="sigmoid", classes=("ex", "he", "ma"))
    found = assess(folder, labelled(eyes, "he", "ex", scale="multilabel"))
    assert (found.targets, found.confusion) == (("he", "ex"), None)
    assert set(found.figures) == {"auroc", "auprc", "balanced_accuracy"}
    assert found.classes[1].specificity is None, "all images show it"
    truth = [number % 2 for number in range(N)]
    scores = [one.probabilities[0] for one in found.images]
    assert found.figures["auroc"].value == pytest.approx(sk.roc_auc_score(truth, scores), abs=1e-6)
    assert sum(one.n for one in found.reliability) == 2 * N
    assert not schema.findings(found.document(), schema.ASSESSMENT)


def test_texts_are_scored_as_zero_shot(eyes: Path, tmp_path: Path, registry_folder: Path) -> None:
    backbone = texted()
    weights = tmp_path / "tiny-clip.safetensors"
    save_file(random_state(backbone.spec), weights)
    changes = {
        member: to_json(getattr(backbone.spec, member))
        for member in ("id", "architecture", "tokens")
    }
    write_spec(registry_folder / "backbones", source=weights, **changes)
    folder = make_text(tmp_path / "text", backbone=backbone, classes=("drusen", "healthy"))
    labels = labelled(eyes, "kind", scale="multiclass")
    found = assess(folder, labels)
    pipe = Pipeline.from_pretrained([folder], backbone=backbone)
    for image, one in zip(found.images, labels.samples, strict=True):
        expected = pipe(one.image)["tiny-text"]
        np.testing.assert_allclose(image.probabilities, expected.probabilities, atol=1e-5)
    assert found.manifest.kind == "text"


def test_groups_and_typical_images(eyes: Path, grader: Callable[..., Path]) -> None:
    found = assess(grader(), labelled(eyes, "grade"))
    assert [(name, one.n_images) for name, one in found.groups.items()] == [("Neo", 5), ("", 4)]
    best, median, worst = found.typical
    merits = sorted(one.merit for one in found.images)
    assert (worst.graded.merit, best.graded.merit) == (merits[0], merits[-1])
    assert median.graded.merit == merits[N // 2]
    truth = found.images[0].label[0]
    chance = found.images[0].probabilities[found.targets.index(truth)]
    assert found.images[0].merit == pytest.approx(np.log(chance), abs=1e-6)


def test_calibration_is_of_the_predicted_class(eyes: Path, grader: Callable[..., Path]) -> None:
    found = assess(grader(), labelled(eyes, "grade"))
    chances = [max(one.probabilities) for one in found.images if one.predicted]
    assert sum(one.n for one in found.reliability) == len(chances)
    gaps = [one.n * abs(one.probability - one.observed) for one in found.reliability]
    assert found.calibration_error == pytest.approx(sum(gaps) / N)


def test_another_query_is_compared_on_the_same_images(
    eyes: Path, grader: Callable[..., Path]
) -> None:
    first, second = grader("first"), grader("second", seed=3)
    labels = labelled(eyes, "grade")
    against = assess(first, labels, against=second).against
    assert against is not None
    assert against.query == "second@1.0.0"
    ours, theirs = assess(first, labels).figures, assess(second, labels).figures
    for name, one in against.differences.items():
        assert one.value == pytest.approx(ours[name].value - theirs[name].value, abs=2e-6)


def test_figures_are_recorded_once_and_the_tensors_stay(
    eyes: Path, grader: Callable[..., Path]
) -> None:
    folder = grader()
    before = artifact.read(folder)
    found = assess(folder, labelled(eyes, "grade"))
    assert record(folder, found) == record(folder, found)
    after = artifact.read(folder)
    (graded,) = after.manifest.graded
    assert (graded.dataset, graded.split, graded.n_images) == ("eyes-grade", "all", N)
    assert graded.split_digest == labelled(eyes, "grade").digest
    assert graded.values["accuracy"].ci95 == found.figures["accuracy"].ci95
    np.testing.assert_array_equal(after.attention.vector, before.attention.vector)
    assert "eyes-grade" in (folder / artifact.CARD).read_text()
    with pytest.raises(UsageError) as caught:
        artifact.check_retrainable(folder)
    assert_clear(caught.value, 2, "recorded figures, which would be lost")


def test_images_that_were_trained_on_are_counted_and_not_recorded(
    eyes: Path, grader: Callable[..., Path]
) -> None:
    folder, labels = grader(), labelled(eyes, "grade")
    data = artifact.read_manifest(folder).data[0]
    seen = tuple(sorted(one.image_digest[:12] for one in labels.samples[:2]))
    document = schema.read_json(folder / "retq.json")
    edit_manifest(folder, data=[document["data"][0] | {"images": list(seen)}])
    assert data.images is None
    found = assess(folder, labels)
    assert found.n_trained_on == 2
    with pytest.raises(UsageError) as caught:
        record(folder, found)
    assert_clear(caught.value, 2, "trained on 2 of the 9 images")


@pytest.mark.parametrize(
    ("options", "columns", "scale", "words"),
    [
        ({"activation": "sigmoid"}, ("grade",), "ordinal", ("findings", "labels", "ordinal")),
        ({}, ("he", "ex"), "multilabel", ("one class of an image", "multilabel")),
        ({"classes": ("a", "b")}, ("grade",), "ordinal", ("tells 2 targets (a, b)", "are 3")),
        (
            {"activation": "softmax", "classes": ("healthy", "amd")},
            ("kind",),
            "multiclass",
            ("tells 2 targets (healthy, amd)", "are 2 (drusen, healthy)"),
        ),
        (
            {"activation": "softmax"},
            ("kind",),
            "multiclass",
            ("tells 3 targets", "are 2 (drusen, healthy)"),
        ),
    ],
)
def test_labels_of_other_targets_are_refused(
    eyes: Path,
    grader: Callable[..., Path],
    options: dict[str, object],
    columns: tuple[str, ...],
    scale: str,
    words: tuple[str, ...],
) -> None:
    with pytest.raises(RetqError) as caught:
        assess(grader(**options), labelled(eyes, *columns, scale=scale))
    assert_clear(caught.value, 2, *words)


def test_fewer_grades_are_taken_in_order(eyes: Path, grader: Callable[..., Path]) -> None:
    found = assess(grader(classes=("a", "b", "c", "d")), labelled(eyes, "grade"))
    assert [one.n_images for one in found.classes] == [3, 3, 3, 0]
    assert found.classes[3].sensitivity is None
    assert not schema.findings(found.document(), schema.ASSESSMENT)


def test_each_kind_is_asked_for_what_it_can_tell(
    eyes: Path, grader: Callable[..., Path], make_query: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        assess(make_query(tmp_path / "disc"), labelled(eyes, "grade"))
    assert_clear(caught.value, 2, "tiny-disc marks pixels")
    draw(0)[1].save(tmp_path / "mask.png")
    (tmp_path / "masks.csv").write_text("image,mask\neyes/0.png,mask.png\n")
    masks = masks_from_csv(tmp_path / "masks.csv", target="spot", split="all", name="spots")
    with pytest.raises(UsageError) as caught:
        evaluate(grader(), masks)
    assert_clear(caught.value, 2, "tiny-grade classifies whole images", "--labels CSV")


def test_another_backbone_is_refused(eyes: Path, grader: Callable[..., Path]) -> None:
    folder = grader()
    manifest = artifact.read_manifest(folder)
    other = replace(manifest.backbone, weights_digest="0" * 64, fingerprint=far(manifest))
    document = schema.read_json(folder / "retq.json")
    document["backbone"] |= {
        "weights_digest": other.weights_digest,
        "fingerprint": {
            "method": other.fingerprint.method,
            "values": list(other.fingerprint.values),
        },
    }
    edit_manifest(folder, backbone=document["backbone"])
    with pytest.raises(BackboneMismatch):
        assess(folder, labelled(eyes, "grade"))
    assert len(assess(folder, labelled(eyes, "grade"), allow_mismatch=True).images) == N


def far(manifest: QueryManifest) -> Fingerprint:
    """The fingerprint of quite another backbone."""
    values = tuple(one + 5 for one in manifest.backbone.fingerprint.values)
    return replace(manifest.backbone.fingerprint, values=values)
