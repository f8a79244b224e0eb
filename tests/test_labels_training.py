"""Artifacts that grade images: trained, written, read back, and equal to what the pipeline says."""

from pathlib import Path

import numpy as np
import pytest
import torch
from eyes import draw
from support_core import assert_clear
from tiny import Tiny

from retq_hub import artifact, twins
from retq_hub.backbone import Backbone
from retq_hub.digest import file_digest
from retq_hub.errors import BackboneMismatch, DatasetError, RetqError, UsageError
from retq_hub.labels.labelset import LabelSet
from retq_hub.labels.recipe import LabelRecipe
from retq_hub.labels.sets import from_csv
from retq_hub.labels.training import train_labels
from retq_hub.manifest import QueryManifest
from retq_hub.pipeline import Pipeline
from retq_hub.progress import Silent
from retq_hub.query import Query
from retq_hub.result import Classification
from retq_hub.validation import validate

N = 18


@pytest.fixture(scope="module")
def eyes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of photographs that are darker in each grade, with a table of their labels."""
    root = tmp_path_factory.mktemp("eyes")
    lines = ["image,grade,kind,dark,left,rare"]
    for number in range(N):
        grade = number % 3
        image = draw(number)[0].point(lambda value, dark=grade: value - 20 * dark)
        image.save(root / f"{number}.png")
        kind = ("ring", "none", "spot")[grade]
        lines.append(
            f"{number}.png,{grade},{kind},{int(grade > 1)},{number % 2},{int(number == 4)}"
        )
    (root / "eyes.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def at_home(registry_folder: Path, cache: Path) -> None:
    """The tiny backbone's registry, and a cache of the test's own."""


def labelled(eyes: Path, *columns: str, scale: str = "ordinal") -> LabelSet:
    columns = columns or ("grade",)
    return from_csv(eyes / "eyes.csv", columns=columns, split="all", scale=scale, name="eyes")


def run(
    labels: LabelSet, folder: Path, *, weigh_by: Query | None = None, **recipe: object
) -> QueryManifest:
    return train_labels(
        labels,
        folder,
        name="grade",
        recipe=LabelRecipe(**recipe),
        weigh_by=weigh_by,
        backbone=Backbone.asleep("tiny-vit"),
    )


def read(folder: Path, eyes: Path, count: int = N) -> list[Classification]:
    pipe = Pipeline.from_pretrained([folder])
    found = [pipe(eyes / f"{number}.png")["grade"] for number in range(count)]
    assert all(isinstance(one, Classification) for one in found)
    return found


@pytest.mark.parametrize(
    ("pooling", "recipe"),
    [
        ("embedding", {}),
        ("mean", {"bases": ("0", "1")}),
        ("attention", {"bases": ("1",), "l2": 0.1}),
    ],
)
def test_grades_come_back_from_the_artifact(
    pooling: str, recipe: dict[str, object], eyes: Path, at_home: None, tmp_path: Path
) -> None:
    manifest = run(labelled(eyes), tmp_path / "q", pooling=pooling, **recipe)
    assert artifact.findings(tmp_path / "q") == []
    assert validate(tmp_path / "q", replay=True).reproduces
    found = read(tmp_path / "q", eyes)
    assert np.mean([one.grade == number % 3 for number, one in enumerate(found)]) > 0.8
    assert (found[0].weights is None) == (pooling == "embedding")
    assert manifest.kind == "classification"
    assert manifest.data[0].n_positive == (6, 6, 6)
    assert manifest.data[0].photographs == tuple(
        sorted({twins.code(eyes / f"{number}.png") for number in range(N)})
    )
    assert manifest.training.measure == "log_loss"
    assert manifest.training.recipe == ("attention" if pooling == "attention" else "linear-probe")
    best = min(manifest.training.trials, key=lambda trial: trial.loss)
    assert best.loss < np.log(3)


def test_the_plain_mean_is_attention_by_zeros(eyes: Path, at_home: None, tmp_path: Path) -> None:
    run(labelled(eyes), tmp_path / "q", pooling="mean", bases=("1",), l2=0.1)
    query = Query.from_pretrained(tmp_path / "q")
    assert query.attention is not None
    assert not query.attention[0].any()
    (found,) = read(tmp_path / "q", eyes, 1)
    assert found.weights is not None
    np.testing.assert_allclose(found.weights, 1 / 16, atol=1e-6)


def test_the_evidence_and_the_bias_are_the_scores(
    eyes: Path, at_home: None, tmp_path: Path
) -> None:
    labels = labelled(eyes, "kind", scale="multiclass")
    weigher = Query.from_pretrained("tiny-disc")
    run(labels, tmp_path / "q", weigh_by=weigher, bases=("1",), l2=0.1)
    query = Query.from_pretrained(tmp_path / "q")
    for one in read(tmp_path / "q", eyes, 3):
        assert one.evidence is not None
        np.testing.assert_allclose(
            one.evidence.sum((1, 2)) + query.bias.numpy(), one.scores, atol=1e-4
        )


def test_a_query_weighs_and_is_named(eyes: Path, at_home: None, tmp_path: Path, tiny: Tiny) -> None:
    weigher = Query.from_pretrained("tiny-disc")
    manifest = run(labelled(eyes), tmp_path / "q", weigh_by=weigher, bases=("2",), l2=0.1)
    query = Query.from_pretrained(tmp_path / "q")
    assert query.attention is not None
    assert torch.equal(query.attention[0], weigher.vector)
    assert manifest.derived == (weigher.derived("weighted by"),)
    assert [one.id for one in manifest.data] == ["eyes-grade", "nothing"]
    assert manifest.training.recipe == "query-weighted"
    assert len({one.basis for one in manifest.training.trials or ()}) == 4
    assert validate(tmp_path / "q", replay=True).reproduces
    assert read(tmp_path / "q", eyes, 1)[0].weights is not None


def test_findings_have_thresholds_between_those_without_and_with(
    eyes: Path, at_home: None, tmp_path: Path
) -> None:
    labels = labelled(eyes, "dark", "left", scale="multilabel")
    manifest = run(labels, tmp_path / "q", pooling="mean", bases=("0",))
    assert len(manifest.head.thresholds) == 2
    found = read(tmp_path / "q", eyes)
    right = [("dark" in one.prediction) == (number % 3 > 1) for number, one in enumerate(found)]
    assert np.mean(right) > 0.8


def test_flairs_probe_chooses_nothing(eyes: Path, at_home: None, tmp_path: Path) -> None:
    labels = labelled(eyes, "kind", scale="multiclass")
    manifest = run(labels, tmp_path / "q", kind="flair")
    training = manifest.training
    assert training.l2 == pytest.approx(1 / (2 * 0.316 * N))
    assert (training.trials, training.measure) == (None, None)
    assert "counting the same" in training.loss


def test_layers_are_combined_as_long_as_it_helps(eyes: Path, at_home: None, tmp_path: Path) -> None:
    manifest = run(labelled(eyes), tmp_path / "q", pooling="mean", max_layers=2, l2=0.1)
    tried = {one.basis for one in manifest.training.trials or ()}
    assert {"1x1:0", "1x1:1", "1x1:2"} < tried
    assert len(tried) > 3
    best = min(manifest.training.trials or (), key=lambda trial: trial.loss)
    assert best.basis == f"1x1:{','.join(map(str, manifest.basis.layers))}"


def test_the_same_labels_give_the_same_bytes(
    eyes: Path, at_home: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(labelled(eyes), tmp_path / "a", pooling="attention", bases=("1",), l2=0.1)
    monkeypatch.setenv("RETQ_CACHE", str(tmp_path / "another cache"))
    run(labelled(eyes), tmp_path / "b", pooling="attention", bases=("1",), l2=0.1)
    for name in (artifact.QUERY, artifact.GOLDEN, artifact.MANIFEST):
        digests = {file_digest(tmp_path / one / name) for one in ("a", "b")}
        assert len(digests) == 1, name


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"l2": 0.0}, "L2 weight of 0"),
        ({"seed": -1}, "seed of -1"),
        ({"bases": ("1",)}, "no basis to choose"),
        ({"max_layers": 2}, "no basis to choose"),
        ({"vectors": 2}, "only learned attention"),
        ({"vectors": 9, "pooling": "attention"}, "9 attention vectors"),
        ({"pooling": "mean", "bases": ("7",)}, "tiny-vit has no layers"),
        ({"pooling": "attention", "bases": ("1x1:1+2x2:1",)}, "tokens of one pass"),
        ({"kind": "flair"}, "classifies the image embedding by classes"),
    ],
)
def test_recipes_that_make_no_sense(
    recipe: dict[str, object], words: str, eyes: Path, at_home: None, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        run(labelled(eyes), tmp_path / "q", **recipe)
    assert_clear(caught.value, 2, words)
    assert not (tmp_path / "q").exists()


@pytest.mark.parametrize(
    ("column", "scale", "words"),
    [
        ("rare", "multilabel", "rare: 1"),
        ("rare", "ordinal", "1: 1"),
    ],
)
def test_labels_that_too_few_images_have(
    column: str, scale: str, words: str, eyes: Path, at_home: None, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError) as caught:
        run(labelled(eyes, column, scale=scale), tmp_path / "q")
    assert_clear(caught.value, 6, "too few images", words)


def test_a_query_of_another_backbone_cannot_weigh(
    eyes: Path, at_home: None, tmp_path: Path
) -> None:
    with pytest.raises(BackboneMismatch) as caught:
        run(labelled(eyes), tmp_path / "q", weigh_by=Query.from_pretrained("idrid-disc"))
    assert_clear(caught.value, 4, "idrid-disc", "tiny-vit")


def test_only_a_map_can_weigh(eyes: Path, at_home: None, tmp_path: Path) -> None:
    run(labelled(eyes), tmp_path / "q", l2=0.1)
    errors: list[RetqError] = []
    with pytest.raises(UsageError) as caught:
        run(labelled(eyes), tmp_path / "r", weigh_by=Query.from_pretrained(tmp_path / "q"))
    errors.append(caught.value)
    with pytest.raises(UsageError) as caught:
        run(
            labelled(eyes),
            tmp_path / "r",
            weigh_by=Query.from_pretrained("tiny-disc"),
            pooling="mean",
        )
    errors.append(caught.value)
    for error, words in zip(errors, ("no map to weigh", "not both"), strict=True):
        assert_clear(error, 2, words)


def test_contradictions_are_said(eyes: Path, at_home: None, tmp_path: Path) -> None:
    (eyes / "twin.png").write_bytes((eyes / "0.png").read_bytes())
    text = (eyes / "eyes.csv").read_text() + "twin.png,2,spot,1,1,0\n"
    (eyes / "twins.csv").write_text(text)
    labels = from_csv(
        eyes / "twins.csv", columns=("grade",), split="all", scale="ordinal", name="twins"
    )
    notes: list[str] = []

    class Notes(Silent):
        def note(self, line: str) -> None:
            notes.append(line)

    train_labels(
        labels,
        tmp_path / "q",
        name="grade",
        recipe=LabelRecipe(l2=0.1),
        backbone=Backbone.asleep("tiny-vit"),
        progress=Notes(),
    )
    assert any("with different labels: 0 = twin" in line for line in notes)
