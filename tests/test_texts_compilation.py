"""Artifacts made of words: the same as upstream's zero-shot classifiers, through a whole life."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import texts
import torch
from hubs import Hub
from texts import SmallText

from retq_hub import Pipeline, Query, artifact, probe, publication, registry, remote
from retq_hub.backbone import Backbone
from retq_hub.errors import NotFoundError, UsageError
from retq_hub.result import Segmentation, ZeroShot
from retq_hub.texts.compilation import compile_text, embed
from retq_hub.texts.wording import Wording, of_prompts
from retq_hub.validation import validate


@pytest.fixture(scope="module")
def module_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache for all tests here that leave the weights as they are."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("RETQ_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module", params=texts.FAMILIES)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SmallText:
    """A small backbone with text of each family."""
    return texts.make_small(request.param, tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallText:
    """A small CLIP."""
    return texts.make_small("clip-vit-b16", tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def words(small: SmallText, tmp_path_factory: pytest.TempPathFactory, module_cache: Path) -> Path:
    """An artifact of words for it."""
    folder = tmp_path_factory.mktemp("artifacts") / "words"
    compiled(small, folder)
    return folder


@pytest.fixture(scope="module")
def pipeline(small: SmallText, words: Path) -> Pipeline:
    """The small CLIP with those words."""
    return Pipeline.from_pretrained([words], backbone=Backbone.from_pretrained(str(small.spec)))


def compiled(small: SmallText, folder: Path, **options: object) -> Path:
    given = {"backbone": str(small.spec), "name": "words", "tokenizer": small.tokenizer}
    compile_text(small.targets, folder, **given | options)
    return folder


def test_probabilities_are_upstreams(family, tmp_path, module_cache):
    expected = family.golden["expected"]
    folder = compiled(family, tmp_path / "words")
    pipeline = Pipeline.from_pretrained(
        [folder], backbone=Backbone.from_pretrained(str(family.spec))
    )
    found = pipeline(probe.probe_image(pipeline.backbone.spec.preprocessing.size_px))["words"]
    query = pipeline.queries["words"]
    assert isinstance(found, ZeroShot)
    assert probe.fingerprint([query.vector.numpy()]).values == pytest.approx(
        expected["vectors"], abs=1e-4
    )
    assert query.manifest.head.similarity.scale == pytest.approx(expected["scale"], rel=1e-6)
    assert found.probabilities == pytest.approx(expected["probabilities"], abs=1e-4)
    best = int(np.argmax(expected["probabilities"]))
    assert found.prediction == family.targets[best].name
    if query.manifest.head.similarity.per == "image":
        assert found.logits.mean(axis=(1, 2)) == pytest.approx(found.scores, abs=1e-4)


def test_vectors_of_single_prompts_are_upstreams(family, module_cache):
    first = [Wording(label=one.label, prompts=one.prompts[:1]) for one in family.targets]
    found = embed(registry.backbone_spec(str(family.spec)), first, tokenizer=family.tokenizer)
    numbers = probe.fingerprint([found.vectors.numpy()]).values
    assert numbers == pytest.approx(family.golden["expected"]["first"], abs=1e-4)


def test_what_a_target_is_does_not_depend_on_the_others(family, module_cache):
    """FLAIR averages over padding, so prompts that are encoded together change each other."""
    spec = registry.backbone_spec(str(family.spec))
    one = family.targets[1]
    long = Wording(label="long", prompts=("no sign of disease with clear borders of small spots",))
    alone = embed(spec, [one], tokenizer=family.tokenizer).vectors
    among = embed(spec, [one, long], tokenizer=family.tokenizer).vectors
    assert torch.equal(alone[0], among[0])
    both = Wording(label="both", prompts=(*one.prompts, *long.prompts))
    together = embed(spec, [both], tokenizer=family.tokenizer).vectors[0]
    apart = among.mean(0)
    if spec.id == "flair":
        assert float((together - apart).abs().max()) > 1e-4
        assert float(together.norm()) < 1 - 1e-6
    else:
        assert float((together - apart / apart.norm()).abs().max()) < 1e-5


@pytest.mark.parametrize("family", texts.FAMILIES)
def test_the_measured_deviation_is_small(family):
    golden = texts.json.loads((texts.FOLDER / "text" / f"{family}.json").read_text())
    assert max(golden["deviation"].values()) <= 1e-4


def test_the_manifest_says_what_was_encoded_by_what(words, small):
    manifest = artifact.read_manifest(words)
    assert (manifest.kind, manifest.data, manifest.metrics) == ("text", (), ())
    text = manifest.text
    assert text.template == "a photo of a {}."
    assert text.prompts == tuple(one.prompts for one in small.targets)
    assert text.averaging == "mean of the prompts' unit vectors, brought to unit norm"
    assert len(text.revision) == len(text.tokenizer) == 64
    assert manifest.head.similarity.per == "token"
    assert [one.name for one in manifest.targets] == ["hard-exudates", "microaneurysms", "healthy"]
    assert np.linalg.norm(artifact.read(words).vector, axis=1) == pytest.approx(1, abs=1e-6)


def test_the_map_tells_targets_apart_place_by_place(pipeline):
    found = pipeline(probe.probe_image(224))["words"]
    assert found.probability.shape == (3, 224, 224)
    assert found.probability.sum(axis=0) == pytest.approx(1, abs=1e-5)
    marked = found.mask_at(64, 64)
    assert (marked.sum(axis=0) <= 1).all()
    best = found.probability_at(64, 64).argmax(axis=0)
    assert (marked.argmax(axis=0) == best)[marked.any(axis=0)].all()
    assert marked.any(axis=0).mean() > 0.99


def test_the_same_words_give_the_same_bytes(words, small, tmp_path, module_cache):
    again = compiled(small, tmp_path / "again")
    assert artifact.read_manifest(again).digest == artifact.read_manifest(words).digest


def test_it_validates_and_replays(words, small, tmp_path, module_cache, monkeypatch):
    backbones = tmp_path / "registry" / "backbones"
    backbones.mkdir(parents=True)
    (backbones / small.spec.name).write_text(small.spec.read_text())
    (tmp_path / "registry" / "index.json").write_text('{"spec":"retq-index/1","records":[]}\n')
    monkeypatch.setenv("RETQ_REGISTRY", str(tmp_path / "registry"))
    assert validate(words).ok
    verdict = validate(words, replay=True)
    assert (verdict.intact, verdict.reproduces, verdict.findings) == (True, True, ())


def test_it_is_pushed_and_pulled(words, hub: Hub, login: object, new_repo):
    done = publication.push(words, new_repo)
    assert done.outcome == "published"
    pulled = Query.from_pretrained(remote.locate(new_repo, None).folder)
    assert pulled.manifest.digest == artifact.read_manifest(words).digest


def test_it_is_composed_with_a_segmentation_query(
    pipeline, words, make_query: Callable[..., Path], tmp_path
):
    other = make_query(
        tmp_path / "other", backbone=pipeline.backbone, name="other", layers=(0,), size_px=224
    )
    image = probe.probe_image(224)
    found, alone = pipeline.add(other)(image), pipeline(image)["words"]
    assert type(found["other"]) is Segmentation
    assert np.array_equal(found["words"].logits, alone.logits)
    assert np.array_equal(found["words"].scores, alone.scores)


def test_a_template_of_ones_own(small, tmp_path, module_cache):
    folder = compiled(small, tmp_path / "own", template="a retina with {}")
    assert artifact.read_manifest(folder).text.template == "a retina with {}"
    with pytest.raises(UsageError, match="has no place for a prompt"):
        compiled(small, tmp_path / "none", template="a retina")


def test_a_backbone_without_text_is_refused_by_name(tmp_path, cache):
    with pytest.raises(UsageError) as caught:
        compile_text(
            of_prompts(["a", "b"]), tmp_path / "o", backbone="dinov2-small-saliency", name="o"
        )
    assert str(caught.value) == (
        "dinov2-small-saliency has no text encoder; one of these has: biomedclip, clip-vit-b16, "
        "flair"
    )


def test_a_prompt_that_is_too_long_is_told_before_weights_are_fetched(small, tmp_path, cache):
    endless = of_prompts(["spots " * 90, "retina"])
    with pytest.raises(UsageError, match=r"spots spots .*\.\.\.' has \d+ tokens, at most 77 fit"):
        compile_text(
            endless, tmp_path / "o", backbone=str(small.spec), name="o", tokenizer=small.tokenizer
        )
    assert not (cache / "weights").exists()


def test_weights_that_came_without_text_are_named(tmp_path, cache):
    small = texts.make_small("clip-vit-b16", tmp_path)
    whole = torch.load(small.checkpoint)
    image_alone = {name: one for name, one in whole.items() if name.startswith("visual.")}
    torch.save(image_alone, small.checkpoint)
    with pytest.raises(NotFoundError) as caught:
        compiled(small, tmp_path / "words")
    assert "came without its text encoder; `retq backbones fetch clip-vit-b16 --again`" in str(
        caught.value
    )
    assert not (tmp_path / "words").exists()
