"""From a text query and labelled photographs to a query that classifies, and back from disk."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from kinds import SCALE, make_classification, make_text
from labelled import CLASSES, Clip, make_clip, make_labels, photograph
from support_core import assert_clear, edit_manifest
from tiny import Tiny

from retq_hub import Pipeline, Query, artifact, twins
from retq_hub.errors import BackboneMismatch, DatasetError, ManifestError, UsageError
from retq_hub.kinds import Similarity
from retq_hub.labels.adaptation import adapt
from retq_hub.labels.fewshot import METHODS
from retq_hub.labels.labelset import LabelSet
from retq_hub.manifest import to_json
from retq_hub.progress import Silent
from retq_hub.result import Classification, ZeroShot


class Told(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        self.lines += [line] if line else []


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return make_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> LabelSet:
    return make_labels(tmp_path_factory.mktemp("colours"), 5, 5, 5)


@pytest.fixture(scope="module", autouse=True)
def kept(tmp_path_factory: pytest.TempPathFactory):
    """One cache for all of the module, so that embeddings are computed once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETQ_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def predictions(clip: Clip, folder: Path) -> list[str]:
    pipeline = Pipeline(backbone=clip.backbone, queries={"q": Query.from_pretrained(folder)})
    found = []
    for kind in range(len(CLASSES)):
        for number in range(100, 104):
            one = pipeline(photograph(number, kind))["q"]
            assert isinstance(one, Classification | ZeroShot)
            found.append(str(one.prediction))
    return found


TRUTH = [name for name in CLASSES for _ in range(4)]


def share(found: list[str]) -> float:
    return float(np.mean([one == true for one, true in zip(found, TRUTH, strict=True)]))


@pytest.mark.parametrize("method", METHODS)
def test_random_texts_learn_to_tell_the_classes_apart(
    method: str, clip: Clip, labels: LabelSet, tmp_path: Path
):
    manifest = adapt(
        clip.query, labels, tmp_path / "q", name="q", method=method, backbone=clip.lazy()
    )
    assert artifact.findings(tmp_path / "q") == []
    assert manifest.kind == "classification"
    assert manifest.training.recipe == method
    assert twins.seen(manifest, labels.samples, progress=Silent()) == [*range(len(labels.samples))]
    assert twins.is_told(manifest)
    assert share(predictions(clip, clip.query)) < 0.5
    assert share(predictions(clip, tmp_path / "q")) >= 0.9


@pytest.mark.parametrize("dense", [False, True], ids=["projected", "dense"])
def test_scores_are_cosines_of_the_projected_embedding(
    dense: bool, labels: LabelSet, tmp_path: Path
):
    clip = make_clip(tmp_path, dense=dense)
    adapt(clip.query, labels, tmp_path / "q", name="q", method="lp++", backbone=clip.lazy())
    made = artifact.read(tmp_path / "q")
    image = photograph(7, 1)
    pipeline = Pipeline(
        backbone=clip.backbone, queries={"q": Query.from_pretrained(tmp_path / "q")}
    )
    embedding = torch.from_numpy(pipeline(image).embedding)
    shared = clip.backbone.shared(embedding).numpy()
    wanted = SCALE * shared / np.linalg.norm(shared) @ made.vector.T + made.bias
    found = pipeline(image)["q"]
    assert isinstance(found, Classification)
    np.testing.assert_allclose(found.scores, wanted, atol=1e-4)
    assert float(np.abs(made.bias).max()) > 0


def test_the_manifest_says_what_it_was_made_of(clip: Clip, labels: LabelSet, tmp_path: Path):
    manifest = adapt(
        clip.query, labels, tmp_path / "q", name="q", shots=2, seed=3, backbone=clip.lazy()
    )
    text = artifact.read_manifest(clip.query)
    assert manifest.derived is not None
    (origin,) = manifest.derived
    assert (origin.how, origin.name, origin.digest) == ("adapted from", "texts", text.digest)
    assert manifest.text == text.text
    assert manifest.targets == text.targets
    assert manifest.head.similarity == Similarity(scale=SCALE, per="image")
    (data,) = manifest.data
    assert (data.n_images, data.n_positive) == (6, (2, 2, 2))
    known = {one.image_digest[:12] for one in labels.samples}
    assert set(data.images or ()) < known
    assert len(data.images or ()) == 6
    assert set(data.photographs or ()) <= set(twins.photographs(labels.samples, progress=Silent()))
    assert twins.is_told(manifest)
    assert manifest.training.seed == 3
    assert manifest.training.selection.startswith("2 images of each class drawn; ")
    assert "They are drawn." in manifest.limits
    assert "dark, pale, red" in manifest.intended_use
    assert "texts" in (tmp_path / "q" / "README.md").read_text()


def test_the_same_input_gives_the_same_bytes(clip: Clip, labels: LabelSet, tmp_path: Path):
    digests = {
        adapt(
            clip.query, labels, tmp_path / name, name="q", method="clap", backbone=clip.lazy()
        ).digest
        for name in ("one", "two")
    }
    assert len(digests) == 1


def test_classes_are_matched_by_name(clip: Clip, labels: LabelSet, tmp_path: Path):
    turned = replace(
        labels,
        targets=labels.targets[::-1],
        samples=tuple(replace(one, label=(2 - one.label[0],)) for one in labels.samples),
    )
    for name, which in (("plain", labels), ("turned", turned)):
        adapt(clip.query, which, tmp_path / name, name="q", backbone=clip.lazy())
    plain, other = (artifact.read(tmp_path / name) for name in ("plain", "turned"))
    np.testing.assert_allclose(plain.vector, other.vector, atol=1e-6)


def test_grades_are_classes_whose_order_is_not_used(clip: Clip, labels: LabelSet, tmp_path: Path):
    grades = replace(labels, scale="ordinal")
    manifest = adapt(clip.query, grades, tmp_path / "q", name="q", backbone=clip.lazy())
    assert manifest.head.activation == "softmax"


def test_a_class_without_images_is_left_to_its_text_or_refused(clip: Clip, tmp_path: Path):
    labels, told = make_labels(tmp_path / "images", 3, 0, 2), Told()
    manifest = adapt(
        clip.query, labels, tmp_path / "q", name="q", backbone=clip.lazy(), progress=told
    )
    assert "no image shows pale: only the text speaks for that" in told.lines
    assert manifest.data[0].n_positive == (3, 0, 2)
    with pytest.raises(DatasetError) as caught:
        adapt(clip.query, labels, tmp_path / "p", name="p", method="clap", backbone=clip.lazy())
    assert_clear(caught.value, 6, "no image shows pale", "clap", "ss-text")
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(("method", "said"), [("lp++", True), ("ss-text", False)])
def test_uneven_numbers_are_said_where_the_method_minds(
    method: str, said: bool, clip: Clip, tmp_path: Path
):
    labels, told = make_labels(tmp_path / "images", 4, 1, 2), Told()
    adapt(
        clip.query,
        labels,
        tmp_path / "q",
        name="q",
        method=method,
        backbone=clip.lazy(),
        progress=told,
    )
    assert any("1 to 4 images of a class" in line for line in told.lines) == said


def test_a_photograph_with_two_labels_is_named(clip: Clip, labels: LabelSet, tmp_path: Path):
    told, first = Told(), labels.samples[0]
    other = replace(first, id="other", label=(1,))
    both = replace(labels, samples=(*labels.samples, other))
    adapt(clip.query, both, tmp_path / "q", name="q", backbone=clip.lazy(), progress=told)
    assert "the same image, several labels: dark0 = other" in told.lines


def test_a_class_with_fewer_images_than_shots_is_named(
    clip: Clip, labels: LabelSet, tmp_path: Path
):
    told, enough = Told(), min(labels.counts)
    options = {"name": "q", "backbone": clip.lazy(), "progress": told}
    adapt(clip.query, labels, tmp_path / "all", shots=enough, **options)
    assert not [line for line in told.lines if "fewer" in line]
    adapt(clip.query, labels, tmp_path / "short", shots=1000, **options)
    (line,) = [line for line in told.lines if "fewer" in line]
    assert line.startswith("fewer than 1000 images of a class, all of them taken: ")
    assert all(
        f"{name} {count}" in line for name, count in zip(CLASSES, labels.counts, strict=True)
    )


def test_labels_without_a_text_are_named(clip: Clip, labels: LabelSet, tmp_path: Path):
    renamed = tuple(replace(one, name=f"grade-{one.name}") for one in labels.targets[:2])
    strange = replace(labels, targets=(*renamed, labels.targets[2]))
    with pytest.raises(DatasetError) as caught:
        adapt(clip.query, strange, tmp_path / "q", name="q", backbone=clip.lazy())
    assert_clear(caught.value, 6, "no text for grade-dark, grade-pale of colours", *CLASSES)


def test_what_is_no_text_query_is_refused(tiny: Tiny, labels: LabelSet, tmp_path: Path):
    folder = make_classification(tmp_path / "grade", backbone=tiny.backbone)
    with pytest.raises(UsageError) as caught:
        adapt(folder, labels, tmp_path / "q", name="q")
    assert_clear(caught.value, 2, "tiny-grade", "not made of texts", "compile-text")


def test_one_text_tells_nothing_apart(clip: Clip, labels: LabelSet, tmp_path: Path):
    folder = make_text(tmp_path / "one", backbone=clip.backbone, classes=("dark",))
    head = to_json(artifact.read_manifest(folder).head) | {"activation": "sigmoid"}
    del head["background"]
    edit_manifest(folder, head=head)
    with pytest.raises(UsageError) as caught:
        adapt(folder, labels, tmp_path / "q", name="q", backbone=clip.lazy())
    assert_clear(caught.value, 2, "a text of one class")


def test_texts_of_another_backbone_are_refused(
    clip: Clip, labels: LabelSet, tiny: Tiny, tmp_path: Path
):
    other = make_clip(tmp_path, dense=True)
    with pytest.raises(BackboneMismatch) as caught:
        adapt(clip.query, labels, tmp_path / "q", name="q", backbone=other.lazy())
    assert_clear(caught.value, 4, "tiny-flair", "tiny-clip")


def test_what_makes_no_sense_is_said_before_the_work(clip: Clip, labels: LabelSet, tmp_path: Path):
    with pytest.raises(UsageError) as method:
        adapt(clip.query, labels, tmp_path / "q", name="q", method="tip", backbone=clip.lazy())
    assert_clear(method.value, 2, "'tip'", "clap, lp++, ss-text")
    several = replace(labels, scale="multilabel")
    with pytest.raises(UsageError) as scale:
        adapt(clip.query, several, tmp_path / "q", name="q", backbone=clip.lazy())
    assert_clear(scale.value, 2, "colours", "several labels")
    with pytest.raises(ManifestError):
        adapt(clip.query, labels, tmp_path / "q", name="No Name", backbone=clip.lazy())
    assert not (tmp_path / "q").exists()
