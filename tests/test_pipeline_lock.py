"""`Pipeline.from_lock`: exactly what is pinned, the same results, and nothing else."""

import json
from pathlib import Path

import numpy as np
import pytest
import tiny as tiny_vit
from eyes import draw
from graders import make_grader
from lockers import NOWHERE, code_of, publish, use_hub

from retq_hub import assembly, composition, index, publication, stock, syncing
from retq_hub.errors import BackboneMismatch, DigestMismatch, NotFoundError
from retq_hub.pipeline import Pipeline
from retq_hub.progress import Silent
from retq_hub.storage import write_json


@pytest.fixture
def home(tmp_path, monkeypatch, cache, registry_folder, make_query) -> Path:
    make_query(tmp_path / "home/queries/mine", name="mine", targets=2, seed=4)
    monkeypatch.chdir(tmp_path / "home")
    assembly.lock(["tiny-disc", "./queries/mine"], Path("retq.lock"))
    return tmp_path / "home"


def test_it_is_the_pipeline_of_its_members(home, monkeypatch):
    image = draw(0)[0]
    pinned = Pipeline.from_lock("retq.lock")
    named = Pipeline.from_pretrained(["tiny-disc", "./queries/mine"])
    assert list(pinned.queries) == ["tiny-disc", "mine"]
    one, other = pinned(image), named(image)
    for name in one:
        np.testing.assert_array_equal(one[name].logits, other[name].logits)
    np.testing.assert_array_equal(one.embedding, other.embedding)
    monkeypatch.chdir(home.parent)
    assert list(Pipeline.from_lock(home / "retq.lock", embed=False).queries) == list(named.queries)


def test_the_pinned_version_stays_when_a_newer_one_comes(home, registry_folder, make_query):
    make_query(registry_folder / "queries/tiny-disc/3.0.0", version="3.0.0", seed=8)
    index.write(registry_folder, index.build(registry_folder))
    assert stock.find("tiny-disc").record.version == "3.0.0"
    assert Pipeline.from_lock("retq.lock").queries["tiny-disc"].manifest.version == "1.9.0"


def test_it_writes_nothing_and_once_synced_needs_no_registrys_query(
    home, cache, registry_folder, monkeypatch
):
    Pipeline.from_lock("retq.lock")
    assert not (cache / "queries").exists()
    found = composition.locate("retq.lock")
    list(syncing.sync(found.lock, found.base, progress=Silent()))
    (registry_folder / "queries").rename(home / "elsewhere")
    index.write(registry_folder, index.build(registry_folder))
    monkeypatch.setenv("HF_ENDPOINT", NOWHERE)
    assert len(Pipeline.from_lock("retq.lock").queries) == 2


def test_a_changed_member_is_refused_with_both_digests(home):
    path = home / "queries/mine/retq.json"
    write_json(path, json.loads(path.read_text()) | {"summary": "Another."})
    with pytest.raises(DigestMismatch) as caught:
        Pipeline.from_lock("retq.lock")
    assert code_of(caught.value) == 4
    assert caught.value.expected in str(caught.value)
    assert caught.value.actual in str(caught.value)


def test_another_backbone_is_refused_with_both_digests(home, registry_folder, tiny):
    path = registry_folder / "backbones/tiny-vit.json"
    document = json.loads(path.read_text())
    write_json(path, document | {"weights_digest": "0" * 64})
    with pytest.raises(BackboneMismatch, match="0" * 64) as caught:
        Pipeline.from_lock("retq.lock")
    assert tiny.backbone.weights_digest in str(caught.value)


def test_weights_that_merely_compute_the_same_are_refused(home, registry_folder, tiny):
    from safetensors.torch import save_file

    nearly = {name: tensor * (1 + 1e-6) for name, tensor in tiny.state.items()}
    save_file(nearly, home / "nearly.safetensors")
    tiny_vit.write_spec(registry_folder / "backbones", source=home / "nearly.safetensors")
    assert Pipeline.from_pretrained(["tiny-disc"]).notes != []
    with pytest.raises(DigestMismatch) as caught:
        Pipeline.from_lock("retq.lock")
    assert caught.value.expected == tiny.backbone.weights_digest


def test_a_yanked_pipeline_is_loaded_with_a_warning(home, hub, tmp_path, monkeypatch):
    use_hub(monkeypatch, hub, tmp_path / "hf")
    assembly.compose(["tiny-disc"], Path("set"), name="yanked-set", version="1.0.0")
    publish(home / "set", "alice/yanked-set")
    assert list(Pipeline.from_lock("alice/yanked-set@1.0.0").queries) == ["tiny-disc"]
    publication.yank("alice/yanked-set", "1.0.0", reason="too old")
    with pytest.warns(UserWarning, match="too old"):
        Pipeline.from_lock("alice/yanked-set@v1.0.0")
    with pytest.raises(NotFoundError, match="yanked"):
        Pipeline.from_lock("alice/yanked-set")


def test_there_is_no_such_lock(home):
    with pytest.raises(NotFoundError):
        Pipeline.from_lock("other.lock")


def test_graders_are_locked_beside_queries_that_mark(home, tiny):
    make_grader(home / "queries/grade", backbone=tiny.backbone, name="grade", pool="attention")
    assembly.lock(["tiny-disc", "./queries/grade"], Path("both.lock"))
    found = Pipeline.from_lock("both.lock", embed=False)(draw(0)[0])
    assert list(found.segmentations) == ["tiny-disc"]
    assert list(found.classifications) == ["grade"]
    alone = Pipeline.from_pretrained(["./queries/grade"], backbone=tiny.backbone)(draw(0)[0])
    np.testing.assert_allclose(found["grade"].scores, alone["grade"].scores, atol=1e-5)
