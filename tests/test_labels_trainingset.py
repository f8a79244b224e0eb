"""The labelled images that are trained on: what is said of them, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest
from eyes import draw
from support_core import assert_clear

from retq_hub.errors import DatasetError
from retq_hub.labels.labelset import LabelledSample, LabelSet
from retq_hub.labels.likelihood import Independent, Multinomial, Proportional
from retq_hub.labels.trainingset import LabelTrainingSet
from retq_hub.manifest import Licence, Target
from retq_hub.progress import Silent


@pytest.fixture
def images(tmp_path: Path, cache: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.png" for number in range(12)]
    for number, path in enumerate(paths):
        draw(number)[0].resize((24, 20)).save(path)
    return paths


def labelled(images: list[Path], labels: list[tuple[int, ...]], scale: str) -> LabelSet:
    width = max(len(one) for one in labels)
    count = width if scale == "multilabel" else 1 + max(one[0] for one in labels)
    return LabelSet(
        id="eyes",
        title="Eyes",
        licence=Licence(id="CC0-1.0"),
        split="train",
        scale=scale,
        targets=tuple(Target(name=f"t{n}", label=f"target {n}") for n in range(count)),
        samples=tuple(
            LabelledSample(path.stem, path, label)
            for path, label in zip(images, labels, strict=True)
        ),
    )


def grades(images: list[Path]) -> LabelSet:
    return labelled(images, [(number % 3,) for number in range(12)], "ordinal")


def test_every_fold_leaves_every_grade(images: list[Path]) -> None:
    data = LabelTrainingSet(grades(images), seed=3, progress=Silent())
    assert sorted(number for part in data.parts for number in part) == list(range(12))
    for part in data.parts:
        rest = data.rest(part)
        assert set(rest) | set(part) == set(range(12))
        assert set(data.values[rest].tolist()) == {0, 1, 2}


def test_the_manifest_names_images_and_counts(images: list[Path]) -> None:
    data = LabelTrainingSet(grades(images), seed=0, progress=Silent())
    use = data.use()
    assert (use.n_images, use.n_positive, use.split) == (12, (4, 4, 4), "train")
    assert use.images == tuple(sorted(one[:12] for one in data.digests))
    assert use.photographs is not None
    assert len(use.photographs) == 12


def test_the_scale_says_what_labels_are(images: list[Path]) -> None:
    ordinal = grades(images)
    findings = labelled(images, [(n % 2, n % 3 == 0) for n in range(12)], "multilabel")
    for labels, likelihood in (
        (ordinal, Proportional(3)),
        (replace(ordinal, scale="multiclass"), Multinomial(3)),
        (findings, Independent(2)),
    ):
        assert LabelTrainingSet(labels, seed=0, progress=Silent()).likelihood == likelihood


def test_a_finding_must_be_absent_somewhere_too(images: list[Path]) -> None:
    labels = labelled(images, [(1, n % 2) for n in range(11)] + [(0, 0)], "multilabel")
    with pytest.raises(DatasetError) as caught:
        LabelTrainingSet(labels, seed=0, progress=Silent())
    assert_clear(caught.value, 6, "no t0: 1", "at least 2")


def test_twins_that_fall_into_one_fold_leave_nothing(images: list[Path]) -> None:
    for path in images[1:9]:
        path.write_bytes(images[0].read_bytes())
    labels = labelled(images, [(0,)] * 9 + [(1,)] * 3, "multiclass")
    with pytest.raises(DatasetError) as caught:
        LabelTrainingSet(labels, seed=0, progress=Silent())
    assert_clear(caught.value, 6, "t0: 1")
